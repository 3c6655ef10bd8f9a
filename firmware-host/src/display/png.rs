//! PNG files instead of a display: for a look over the network, and for tests.

use std::fs;
use std::path::{Path, PathBuf};

use embedded_graphics::geometry::Size;

use super::spec::{MAX_SIDE, PngSpec};
use super::{DisplayError, Painter, Scene, Screen};
use crate::output::write_rgb_png;

/// How names of numbered files begin.
const NAME: &str = "scene-";

/// Writes each scene to a file, whole or not at all.
pub(super) struct PngFiles {
    painter: Painter,
    size: Option<(u32, u32)>,
    files: Files,
}

enum Files {
    One(PathBuf),
    Numbered {
        folder: PathBuf,
        keep: usize,
        /// Numbers of the files there, the oldest first.
        there: std::collections::VecDeque<u64>,
    },
}

impl PngFiles {
    /// Makes the folder if need be. Numbers go on from what an earlier run left there.
    pub(super) fn open(spec: &PngSpec) -> Result<Self, DisplayError> {
        let files = if spec.is_file() {
            Files::One(spec.path.clone())
        } else {
            let folder = spec.path.clone();
            let failed = |error| DisplayError::folder(&folder, &error);
            fs::create_dir_all(&folder).map_err(failed)?;
            let mut there: Vec<u64> = Vec::new();
            for entry in fs::read_dir(&folder).map_err(failed)? {
                let name = entry.map_err(failed)?.file_name();
                there.extend(name.to_str().and_then(number_of));
            }
            there.sort_unstable();
            Files::Numbered { keep: spec.keep.max(1), there: there.into(), folder }
        };
        Ok(PngFiles { painter: Painter::new(), size: spec.size, files })
    }
}

impl Screen for PngFiles {
    fn show(&mut self, scene: &Scene<'_>) -> Result<(), DisplayError> {
        let side = |side: usize| side.clamp(1, MAX_SIDE as usize) as u32;
        let (width, height) = self.size.unwrap_or((side(scene.frame.width), side(scene.frame.height)));
        let pixels = self.painter.paint(scene, Size::new(width, height))?;
        let size = cutout_runtime::Size::new(width as usize, height as usize);
        match &mut self.files {
            Files::One(path) => write_rgb_png(path, size, pixels).map_err(DisplayError::File),
            Files::Numbered { folder, keep, there } => {
                // Room is made first, so that a disk that the files themselves fill is no dead end.
                while there.len() >= *keep {
                    let Some(oldest) = there.pop_front() else { break };
                    // One that somebody took away is gone as well.
                    let _ = fs::remove_file(path(folder, oldest));
                }
                let next = there.back().map_or(0, |last| last.saturating_add(1));
                write_rgb_png(&path(folder, next), size, pixels).map_err(DisplayError::File)?;
                there.push_back(next);
                Ok(())
            }
        }
    }

    fn describe(&self) -> String {
        match &self.files {
            Files::One(path) => format!("PNG file {}", path.display()),
            Files::Numbered { folder, keep, .. } => {
                format!("PNG files in {}, the newest {keep}", folder.display())
            }
        }
    }
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{NAME}{number:06}.png"))
}

/// The number in a name that [`path`] makes, and in no other.
fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(NAME)?.strip_suffix(".png")?;
    let number = digits.parse().ok()?;
    (format!("{number:06}") == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_one_is_told_as_such() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let told = |path: &Path| {
            let spec = PngSpec { path: path.into(), keep: 1, size: None };
            PngFiles::open(&spec).err().unwrap().to_string()
        };
        let inside = file.path().join("shots");
        for path in [file.path(), &inside] {
            let said = told(path);
            assert!(said.contains("is no folder") && said.contains(path.to_str().unwrap()), "{said}");
        }
    }
}
