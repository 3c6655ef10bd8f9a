//! [`Board`]: what the machine says of itself, read from the files in which Linux tells it.

use std::fmt;
use std::fs;

use serde::Serialize;

/// The machine, and how it is at the moment. What it does not tell is absent.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct Board {
    /// The board's or the processor's name.
    pub(crate) name: Option<String>,
    /// Processors that this process may use.
    pub(crate) cores: usize,
    /// The most memory that this process has held, in MB.
    pub(crate) peak_memory_mb: Option<f64>,
    /// Memory that this process holds now, in KiB.
    #[serde(skip)]
    pub(crate) resident_kib: Option<u64>,
    /// The hottest of its sensors, in degrees Celsius.
    pub(crate) temperature_c: Option<f64>,
    /// The first core's clock and the highest that it can have, in MHz.
    pub(crate) clock_mhz: Option<(u32, u32)>,
    /// Whether the board holds its processor back because of heat or a weak supply.
    #[serde(skip)]
    pub(crate) held_back: Option<bool>,
}

impl Board {
    /// Reads it.
    pub(crate) fn read() -> Self {
        let file = |path: &str| fs::read_to_string(path).ok();
        let number = |path: &str| file(path)?.trim().parse::<u32>().ok();
        let model = file("/proc/device-tree/model").map(|name| name.trim_end_matches(['\0', '\n']).to_owned());
        let clock = |what: &str| number(&format!("/sys/devices/system/cpu/cpu0/cpufreq/{what}")).map(|khz| khz / 1000);
        let status = file("/proc/self/status");
        let zones = (0..16).filter_map(|i| number(&format!("/sys/class/thermal/thermal_zone{i}/temp")));
        Board {
            name: model.or_else(|| processor(&file("/proc/cpuinfo")?)),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            peak_memory_mb: status
                .as_ref()
                .and_then(|text| memory(text, "VmHWM:"))
                .map(|kib| kib as f64 * 1024.0 / 1e6),
            resident_kib: status.as_ref().and_then(|text| memory(text, "VmRSS:")),
            temperature_c: zones.max().map(|milli| f64::from(milli) / 1000.0),
            clock_mhz: clock("scaling_cur_freq").zip(clock("cpuinfo_max_freq")),
            held_back: file("/sys/devices/platform/soc/soc:firmware/get_throttled")
                .and_then(|text| firmware_holds_back(&text))
                .or_else(|| {
                    cooling((0..16).filter_map(|i| {
                        let device = format!("/sys/class/thermal/cooling_device{i}");
                        Some((file(&format!("{device}/type"))?, number(&format!("{device}/cur_state"))?))
                    }))
                }),
        }
    }
}

/// The processor's name in `/proc/cpuinfo`.
fn processor(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|l| l.starts_with("model name") || l.starts_with("CPU part"))?;
    Some(line.split(':').nth(1)?.trim().to_owned())
}

/// What a Raspberry Pi's firmware says: its lower four bits are of now (low voltage, capped, throttled, hot), the others of earlier.
fn firmware_holds_back(text: &str) -> Option<bool> {
    let bits = u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok()?;
    Some(bits & 0xf != 0)
}

/// Whether one of the kernel's means to cool a processor is in use; `None` where it has none.
fn cooling(devices: impl Iterator<Item = (String, u32)>) -> Option<bool> {
    let of_processor = |kind: &str| kind.contains("cpufreq") || kind.trim() == "Processor";
    devices.filter(|(kind, _)| of_processor(kind)).map(|(_, state)| state > 0).reduce(|any, one| any || one)
}

/// A line of `/proc/self/status` that says a size, in KiB.
fn memory(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find(|l| l.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

impl fmt::Display for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} cores", self.name.as_deref().unwrap_or("an unnamed machine"), self.cores)?;
        if let Some(memory) = self.peak_memory_mb {
            write!(f, "; memory {memory:.0} MB at most")?;
        }
        if let Some(temperature) = self.temperature_c {
            write!(f, "; {temperature:.0} \u{b0}C")?;
        }
        if let Some((now, most)) = self.clock_mhz {
            let throttled = if now * 10 < most * 9 { ", throttled" } else { "" };
            write!(f, "; {now} of {most} MHz{throttled}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_linux_are_understood() {
        let pi = "processor\t: 0\nBogoMIPS\t: 108.00\nCPU part\t: 0xd0b\n";
        assert_eq!(processor(pi).as_deref(), Some("0xd0b"));
        assert_eq!(processor("model name\t: Some CPU @ 3 GHz\n").as_deref(), Some("Some CPU @ 3 GHz"));
        assert_eq!(memory("VmPeak:\t  9 kB\nVmHWM:\t    2000 kB\n", "VmHWM:"), Some(2000));
        assert_eq!((processor(""), memory("VmHWM: none", "VmHWM:")), (None, None));
    }

    #[test]
    fn a_board_that_holds_back_is_known_by_what_it_says_of_now() {
        assert_eq!(
            ["0\n", "0x50000\n", "50005", "x"].map(firmware_holds_back),
            [Some(false), Some(false), Some(true), None]
        );
        let device = |kind: &str, state| (kind.to_owned(), state);
        assert_eq!(cooling([device("cpufreq-cpu0\n", 0), device("gpio-fan\n", 2)].into_iter()), Some(false));
        assert_eq!(cooling([device("Processor\n", 0), device("Processor\n", 3)].into_iter()), Some(true));
        assert_eq!(cooling([device("gpio-fan\n", 2)].into_iter()), None);
    }

    #[test]
    fn a_low_clock_is_called_throttled() {
        let board = |clock| Board { cores: 4, clock_mhz: Some(clock), temperature_c: Some(82.4), ..Board::default() };
        assert_eq!(
            board((1500, 2400)).to_string(),
            "an unnamed machine, 4 cores; 82 \u{b0}C; 1500 of 2400 MHz, throttled"
        );
        assert!(board((2400, 2400)).to_string().ends_with("2400 of 2400 MHz"));
    }
}
