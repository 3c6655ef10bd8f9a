//! The latency timer of FTDI adaptors.

use std::fs;
use std::path::Path;

/// Asks the driver to hand bytes over after 1 ms instead of holding them back for up to 16 ms, which would be most of the
/// time of a short answer. Only some adaptors have such a timer, and only root may set it.
pub(super) fn shorten(port: &Path) {
    // The path may be a link such as those in /dev/serial.
    let Ok(device) = fs::canonicalize(port) else { return };
    let Some(name) = device.file_name() else { return };
    let timer = Path::new("/sys/class/tty").join(name).join("device/latency_timer");
    let Some(held) = fs::read_to_string(&timer).ok().and_then(|text| text.trim().parse::<u32>().ok()) else { return };
    if held > 1 && fs::write(&timer, "1").is_err() {
        tracing::warn!(
            "the adaptor of {} holds bytes back for {held} ms; `echo 1 > {}` as root shortens every answer",
            port.display(),
            timer.display()
        );
    }
}
