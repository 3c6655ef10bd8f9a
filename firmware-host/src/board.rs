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
    /// The hottest of its sensors, in degrees Celsius.
    pub(crate) temperature_c: Option<f64>,
    /// The first core's clock and the highest that it can have, in MHz.
    pub(crate) clock_mhz: Option<(u32, u32)>,
}

impl Board {
    /// Reads it.
    pub(crate) fn read() -> Self {
        let file = |path: &str| fs::read_to_string(path).ok();
        let number = |path: &str| file(path)?.trim().parse::<u32>().ok();
        let model = file("/proc/device-tree/model").map(|name| name.trim_end_matches(['\0', '\n']).to_owned());
        let clock = |what: &str| number(&format!("/sys/devices/system/cpu/cpu0/cpufreq/{what}")).map(|khz| khz / 1000);
        let zones = (0..16).filter_map(|i| number(&format!("/sys/class/thermal/thermal_zone{i}/temp")));
        Board {
            name: model.or_else(|| processor(&file("/proc/cpuinfo")?)),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            peak_memory_mb: file("/proc/self/status").and_then(|text| peak_memory(&text)),
            temperature_c: zones.max().map(|milli| f64::from(milli) / 1000.0),
            clock_mhz: clock("scaling_cur_freq").zip(clock("cpuinfo_max_freq")),
        }
    }
}

/// The processor's name in `/proc/cpuinfo`.
fn processor(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|l| l.starts_with("model name") || l.starts_with("CPU part"))?;
    Some(line.split(':').nth(1)?.trim().to_owned())
}

/// `VmHWM` of `/proc/self/status`, in MB.
fn peak_memory(status: &str) -> Option<f64> {
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024.0 / 1e6)
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
        assert_eq!(peak_memory("VmPeak:\t  9 kB\nVmHWM:\t    2000 kB\n"), Some(2.048));
        assert_eq!((processor(""), peak_memory("VmHWM: none")), (None, None));
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
