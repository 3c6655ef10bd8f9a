//! Many pictures: those in a folder, or the frames of a recorded camera stream.

mod recording;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cutout_quantize::calibrate::{PictureError, Pictures};
use cutout_runtime::Size;

use crate::photo::Photo;

pub use recording::Recording;

/// Endings of files that are taken for pictures.
const ENDINGS: [&str; 10] = ["jpg", "jpeg", "png", "webp", "bmp", "pnm", "ppm", "pgm", "pbm", "pam"];

/// Pictures in files.
pub struct Folder {
    files: Vec<PathBuf>,
}

impl Folder {
    /// The pictures in a folder and those below it, by name. Files are told by their endings and not opened yet.
    ///
    /// # Errors
    /// Where the folder, or one below it, cannot be read.
    pub fn open(folder: &Path) -> Result<Self> {
        let mut files = Vec::new();
        collect(folder, &mut files)?;
        files.sort();
        Ok(Folder { files })
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let cannot = || format!("{} cannot be read: check the path and its permissions", folder.display());
    for entry in std::fs::read_dir(folder).with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        let (path, kind) = (entry.path(), entry.file_type().with_context(cannot)?);
        if kind.is_dir() {
            collect(&path, files)?;
        } else if is_picture(&path) {
            files.push(path);
        }
    }
    Ok(())
}

fn is_picture(path: &Path) -> bool {
    path.extension().is_some_and(|e| ENDINGS.contains(&e.to_string_lossy().to_lowercase().as_str()))
}

impl Pictures for Folder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn name(&self, number: usize) -> String {
        self.files[number].display().to_string()
    }

    fn load(&self, number: usize) -> Result<(Vec<u8>, Size), PictureError> {
        // The name is said by whoever reports the fault.
        let bytes = std::fs::read(&self.files[number])?;
        let photo = Photo::decode(&bytes).map_err(|fault| fault.to_string())?;
        Ok((photo.pixels().to_vec(), photo.size()))
    }
}

/// The pictures that a path means: those of a folder, or the frames of a recording.
///
/// # Errors
/// Where it cannot be read, or is a file of another kind; says what to do.
pub fn open(path: &Path) -> Result<Box<dyn Pictures>> {
    if path.is_dir() {
        return Ok(Box::new(Folder::open(path)?));
    }
    if is_picture(path) && path.is_file() {
        bail!("{} is a single picture: give a folder of pictures, or a recording (.y4m, .mjpeg)", path.display());
    }
    Ok(Box::new(Recording::open(path)?))
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
