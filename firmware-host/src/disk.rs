//! Free space of a disk.

#[cfg(feature = "pull")]
use std::path::Path;

/// Bytes that the user may still write on the disk of `folder`, which must exist; `None` where that is unknown.
#[cfg(all(unix, feature = "pull"))]
pub(crate) fn free_bytes(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

/// Bytes that the user may still write on the disk of `folder`; `None` where that is unknown.
#[cfg(all(not(unix), feature = "pull"))]
pub(crate) fn free_bytes(_folder: &Path) -> Option<u64> {
    None
}

/// A number of bytes for people: three digits and a decimal unit.
pub(crate) fn human_bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB"] {
        if value < 999.5 {
            break;
        }
        (value, unit) = (value / 1000.0, next);
    }
    let decimals = if unit == "B" || value >= 99.95 { 0 } else { 1 };
    format!("{value:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_for_people() {
        let cases = [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (40_728_226, "40.7 MB"), (375_042_383, "375 MB")];
        for (bytes, text) in cases {
            assert_eq!(human_bytes(bytes), text);
        }
        assert_eq!(human_bytes(999_600), "1.0 MB");
        assert_eq!(human_bytes(2_564_550_879), "2.6 GB");
    }

    #[cfg(unix)]
    #[test]
    fn the_disk_of_an_existing_folder_is_known() {
        assert!(free_bytes(Path::new("/")).is_some());
        assert!(free_bytes(Path::new("/no/such/folder")).is_none());
    }
}
