//! One source's annotation file, line by line: what is sound goes on, what is not is counted.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use cutout_runtime::{CocoRle, Size};
use flate2::read::MultiGzDecoder;
use serde::Deserialize;

use super::dataset::AnnotatedImage;
use super::skipped::{Reason, Skipped};
use crate::{Error, Result};

/// No line of annotations is as long as this; a longer one is damage and counts as broken.
const LONGEST_LINE: u64 = 64 << 20;

/// One line of the annotations, as far as evaluation needs it.
#[derive(Deserialize)]
struct Line {
    file: String,
    width: Option<usize>,
    height: Option<usize>,
    split: Option<String>,
    segments: Vec<serde_json::Value>,
}

/// The annotation file of `dir` itself, or else those of its folders, with the sources' names in order.
pub(super) fn find_sources(dir: &Path) -> Result<Vec<(String, PathBuf)>> {
    let absolute = dir.canonicalize().map_err(|e| Error::io(dir, e))?;
    let name_of = |path: &Path| path.file_name().map_or_else(|| "/".into(), |n| n.to_string_lossy().into_owned());
    if let Some(annotations) = annotations_in(dir)? {
        return Ok(vec![(name_of(&absolute), annotations)]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|e| Error::io(dir, e))? {
        let path = entry.map_err(|e| Error::io(dir, e))?.path();
        if path.is_dir()
            && let Some(annotations) = annotations_in(&path)?
        {
            found.push((name_of(&path), annotations));
        }
    }
    if found.is_empty() {
        return Err(Error::dataset(format!(
            "{}: neither it nor a folder in it holds annotations.jsonl.gz or annotations.jsonl",
            dir.display()
        )));
    }
    found.sort();
    Ok(found)
}

fn annotations_in(dir: &Path) -> Result<Option<PathBuf>> {
    let [packed, plain] = ["annotations.jsonl.gz", "annotations.jsonl"].map(|name| dir.join(name));
    match (packed.is_file(), plain.is_file()) {
        (true, true) => {
            Err(Error::dataset(format!("{} and {} both exist: keep one", packed.display(), plain.display())))
        }
        (true, false) => Ok(Some(packed)),
        (false, true) => Ok(Some(plain)),
        (false, false) => Ok(None),
    }
}

/// All sound objects of `split` in one source; the names of all splits go to `splits`.
pub(super) fn read_source(
    annotations: &Path,
    split: &str,
    splits: &mut BTreeSet<String>,
    skipped: &mut Skipped,
) -> Result<Vec<AnnotatedImage>> {
    let file = File::open(annotations).map_err(|e| Error::io(annotations, e))?;
    let mut reader: Box<dyn BufRead> = if annotations.extension().is_some_and(|e| e == "gz") {
        Box::new(BufReader::new(MultiGzDecoder::new(BufReader::new(file))))
    } else {
        Box::new(BufReader::new(file))
    };
    let folder = annotations.parent().unwrap_or(Path::new("."));
    let (mut images, mut bytes, mut number) = (vec![], vec![], 0);
    while read_line(&mut reader, &mut bytes).map_err(|e| Error::io(annotations, e))? {
        number += 1;
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let at = || format!("{}:{number}", annotations.display());
        let line: Line = match serde_json::from_slice(&bytes) {
            Ok(line) => line,
            Err(_) if bytes.len() as u64 >= LONGEST_LINE => {
                skipped.add(Reason::BrokenLines, format!("{}: longer than {LONGEST_LINE} bytes", at()));
                continue;
            }
            Err(error) => {
                skipped.add(Reason::BrokenLines, format!("{}: {error}", at()));
                continue;
            }
        };
        splits.extend(line.split.clone());
        if line.split.as_deref().is_some_and(|name| name != split) {
            continue;
        }
        let Some(path) = image_path(folder, &line.file) else {
            skipped.add(Reason::MissingImages, format!("{}: no image '{}' in {}", at(), line.file, folder.display()));
            continue;
        };
        let size = line.width.zip(line.height).map(|(width, height)| Size { width, height });
        let objects: Vec<CocoRle> = (line.segments.iter().enumerate())
            .filter_map(|(i, segment)| match object(segment, size) {
                Ok(rle) => Some(rle),
                Err((reason, what)) => {
                    skipped.add(reason, format!("{}: segment {i}: {what}", at()));
                    None
                }
            })
            .collect();
        if !objects.is_empty() {
            images.push(AnnotatedImage { path, objects });
        }
    }
    Ok(images)
}

/// Reads one line without its end, at most [`LONGEST_LINE`] bytes of it; false at the end of the file.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
    line.clear();
    if reader.by_ref().take(LONGEST_LINE).read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() as u64 >= LONGEST_LINE {
        reader.skip_until(b'\n')?;
    }
    Ok(true)
}

/// The image that `file` names, inside the source's folder; `None` where there is none.
fn image_path(folder: &Path, file: &str) -> Option<PathBuf> {
    let inside = Path::new(file).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let candidates = [folder.join(file), folder.join("images").join(file)];
    candidates.into_iter().find(|path| inside && path.is_file())
}

/// The mask of one segment, checked to be of the image's size where that is known, to decode, and to have a pixel.
fn object(segment: &serde_json::Value, image: Option<Size>) -> Result<CocoRle, (Reason, String)> {
    let broken = |what: String| (Reason::BrokenMasks, what);
    let rle = segment.get("rle").ok_or_else(|| broken("no 'rle'".into()))?;
    let rle = CocoRle::deserialize(rle).map_err(|e| broken(e.to_string()))?;
    let [height, width] = rle.size;
    let own = Size { width: width as usize, height: height as usize };
    // First, for decoding costs as much as the size that the mask claims.
    if let Some(image) = image.filter(|&image| image != own) {
        return Err((Reason::WrongSizeMasks, format!("the mask is {own}, the image {image}")));
    }
    let mask = rle.decode().map_err(|e| broken(e.to_string()))?;
    if mask.is_empty() {
        return Err((Reason::EmptyMasks, "the mask has no pixel".into()));
    }
    Ok(rle)
}
