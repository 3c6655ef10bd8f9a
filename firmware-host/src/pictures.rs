//! Pictures for calibration: those of a folder, or the frames of a recording.

use std::path::Path;

use anyhow::{Result, bail};
use cutout_quantize::calibrate::{PictureError, Pictures};
use cutout_runtime::Size;

use crate::source::Collection;

impl Pictures for Collection {
    fn len(&self) -> usize {
        self.len()
    }

    fn name(&self, number: usize) -> String {
        self.name(number)
    }

    fn load(&self, number: usize) -> Result<(Vec<u8>, Size), PictureError> {
        // The name is said by whoever reports the fault.
        let photo = self.read(number)?.develop()?.to_rgb();
        let size = photo.size();
        Ok((photo.into_pixels(), size))
    }
}

/// The pictures that a path means: those of a folder, or the frames of a recording.
///
/// # Errors
/// Where it cannot be read, or is a file of another kind; says what to do.
pub fn open(path: &Path) -> Result<Box<dyn Pictures>> {
    let pictures = Collection::open(path)?;
    if matches!(pictures, Collection::Folder(_)) && !path.is_dir() {
        bail!("{} is a single picture: give a folder of pictures, or a recording (.y4m, .mjpeg)", path.display());
    }
    Ok(Box::new(pictures))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::write_rgb_png;

    #[test]
    fn folders_below_count_and_other_files_do_not() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("b")).unwrap();
        let size = Size::new(2, 1);
        write_rgb_png(&folder.path().join("b/one.PNG"), size, &[1, 2, 3, 4, 5, 6]).unwrap();
        std::fs::write(folder.path().join("a.jpg"), b"no picture").unwrap();
        std::fs::write(folder.path().join("notes.txt"), b"x").unwrap();
        let pictures = open(folder.path()).unwrap();
        assert_eq!(pictures.len(), 2);
        assert!(pictures.load(0).unwrap_err().to_string().contains("not a picture"));
        assert_eq!(pictures.load(1).unwrap(), (vec![1, 2, 3, 4, 5, 6], size));
        assert!(open(&folder.path().join("gone")).is_err());
        let single = open(&folder.path().join("a.jpg")).err().unwrap().to_string();
        assert!(single.contains("give a folder"), "{single}");
    }
}
