//! Writing results so that a file is there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use cutout_runtime::Size;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

/// Writes a colour PNG: `pixels` are `size.height` rows of `size.width` RGB triples without gaps.
///
/// Writes as [`write()`] does, and fails as it does, or if `pixels` are not `3 * width * height` bytes.
pub fn write_rgb_png(path: &Path, size: Size, pixels: &[u8]) -> io::Result<()> {
    write_png(path, size, pixels, ExtendedColorType::Rgb8)
}

/// Writes a mask as an 8-bit grey PNG, `values` being one byte per pixel, by use 0 outside the object and 255 inside:
/// any viewer shows it, and any library reads it as one channel without being told about palettes or packed bits. It
/// packs to little more than a 1-bit picture would. Otherwise as [`write_rgb_png`].
pub fn write_mask_png(path: &Path, size: Size, values: &[u8]) -> io::Result<()> {
    write_png(path, size, values, ExtendedColorType::L8)
}

fn write_png(path: &Path, size: Size, pixels: &[u8], color: ExtendedColorType) -> io::Result<()> {
    write(path, &encode(size, pixels, color).map_err(|error| named(path, &error))?)
}

fn encode(size: Size, pixels: &[u8], color: ExtendedColorType) -> io::Result<Vec<u8>> {
    let channels = usize::from(color.bits_per_pixel() / 8);
    let (Ok(width), Ok(height)) = (u32::try_from(size.width), u32::try_from(size.height)) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{size} is too large for a PNG file")));
    };
    if size.pixels() == 0 || pixels.len() != size.pixels().saturating_mul(channels) {
        let what = format!("{} bytes are no {size} picture of {channels} channels", pixels.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes).write_image(pixels, width, height, color).map_err(io::Error::other)?;
    Ok(bytes)
}

/// Makes `bytes` the content of the file at `path` in one step, written beside it and renamed: a reader sees the old file
/// or the new one, never a part. A symbolic link keeps pointing to the file, which is replaced; pipes and devices are
/// written to.
///
/// Fails with one line that names the file, and leaves nothing behind, if the folder is missing or closed, or the disk
/// is full.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_unnamed(path, bytes).map_err(|error| named(path, &error))
}

fn write_unnamed(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let target: PathBuf = match fs::metadata(path) {
        Ok(there) if there.is_file() => fs::canonicalize(path)?,
        Ok(there) if there.is_dir() => return Err(io::Error::from(io::ErrorKind::IsADirectory)),
        Ok(_) => return File::options().write(true).open(path)?.write_all(bytes),
        Err(_) => path.into(),
    };
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".cutout-").suffix(".part");
    #[cfg(unix)]
    builder.permissions(permissions(&target));
    let mut file = builder.tempfile_in(folder).map_err(|error| error.kind())?;
    file.write_all(bytes)?;
    file.persist(&target).map_err(|error| error.error)?;
    Ok(())
}

/// Those of the file to be replaced, or what any new file gets (the user's mask applies).
#[cfg(unix)]
fn permissions(target: &Path) -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(target).map_or(fs::Permissions::from_mode(0o666), |there| there.permissions())
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    let what = match error.kind() {
        io::ErrorKind::NotFound => "the folder does not exist; make it first".into(),
        io::ErrorKind::PermissionDenied => "may not be written; choose another folder".into(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "the disk is full; nothing was written".into(),
        io::ErrorKind::IsADirectory => "is a folder; name a file in it".into(),
        _ => format!("cannot be written: {error}"),
    };
    io::Error::new(error.kind(), format!("{}: {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn pictures_and_masks_come_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.png");
        let size = Size::new(3, 2);
        let rgb: Vec<u8> = (0..18).map(|i| i * 14).collect();
        write_rgb_png(&path, size, &rgb).unwrap();
        let back = image::open(&path).unwrap();
        assert_eq!((back.color(), back.width(), back.height()), (image::ColorType::Rgb8, 3, 2));
        assert_eq!(back.as_bytes(), rgb);

        let mask = [0, 255, 255, 0, 0, 255];
        write_mask_png(&path, size, &mask).unwrap();
        let back = image::open(&path).unwrap();
        assert_eq!((back.color(), back.as_bytes()), (image::ColorType::L8, &mask[..]));
        assert_eq!(names(folder.path()), ["out.png"]);
    }

    #[test]
    fn pixels_that_do_not_fit_the_size_are_refused_and_leave_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.png");
        for size in [Size::new(2, 2), Size::new(0, 4), Size::new(4, 0), Size::new(usize::MAX, usize::MAX)] {
            assert_eq!(write_rgb_png(&path, size, &[0; 9]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn errors_are_one_line_that_names_the_file_and_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("no/such/a.png");
        let error = write(&missing, b"x").unwrap_err();
        assert_eq!(error.to_string(), format!("{}: the folder does not exist; make it first", missing.display()));
        let error = write(folder.path(), b"x").unwrap_err();
        assert_eq!(error.to_string(), format!("{}: is a folder; name a file in it", folder.path().display()));
        assert!(names(folder.path()).is_empty());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn devices_are_written_to_and_a_full_one_says_so() {
        write(Path::new("/dev/null"), b"x").unwrap();
        let error = write(Path::new("/dev/full"), b"x").unwrap_err();
        assert_eq!(error.to_string(), "/dev/full: the disk is full; nothing was written");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link_and_permissions_stay() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, b"old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write(&link, b"new").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        // A new file is not private to its owner, as temporary files are: it follows the user's mask.
        let (new, plain) = (folder.path().join("new"), folder.path().join("plain"));
        write(&new, b"x").unwrap();
        fs::write(&plain, b"x").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&new), mode(&plain));
    }
}
