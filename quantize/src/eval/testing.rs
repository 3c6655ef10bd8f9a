//! What the tests of this module share: a tiny data set, and segmenters whose scores are known beforehand.

use std::path::{Path, PathBuf};

use cutout_runtime::{CocoRle, LowResLogits, Mask, Prompt, Result, ScoredMask, Size};

use super::segmenter::Segmenter;

/// A data set in a temporary folder. Its images, `0.img` and `1.img`, are texts "number width height".
pub(crate) struct Tiny(tempfile::TempDir);

impl Tiny {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a source with two images of 12x10 pixels and these lines.
    pub(crate) fn source(&self, name: &str, lines: &[serde_json::Value]) -> PathBuf {
        let folder = self.path().join(name);
        std::fs::create_dir_all(folder.join("images")).unwrap();
        for image in 0..2 {
            std::fs::write(folder.join(format!("images/{image}.img")), format!("{image} 12 10")).unwrap();
        }
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(folder.join("annotations.jsonl"), text).unwrap();
        folder
    }

    /// A source with objects in its two images.
    pub(crate) fn objects(&self, name: &str, images: &[Vec<Mask>]) {
        let segments = |objects: &Vec<Mask>| {
            objects.iter().map(|m| serde_json::json!({"rle": CocoRle::encode(m)})).collect::<Vec<_>>()
        };
        let lines = images.iter().zip(0..).map(|(objects, i)| {
            serde_json::json!({"file": format!("images/{i}.img"), "split": "heldout", "segments": segments(objects)})
        });
        self.source(name, &lines.collect::<Vec<_>>());
    }
}

/// Decodes the images of [`Tiny`]: every byte is the image's number.
pub(crate) fn decode(path: &Path) -> Result<(Vec<u8>, Size), Box<dyn std::error::Error + Send + Sync>> {
    let text = std::fs::read_to_string(path)?;
    let numbers = text.split(' ').map(str::parse).collect::<Result<Vec<usize>, _>>()?;
    let [image, width, height] = numbers[..] else { return Err("three numbers make an image".into()) };
    Ok((vec![image as u8; width * height * 3], Size { width, height }))
}

pub(crate) fn rectangle(size: Size, x: usize, y: usize, w: usize, h: usize) -> Mask {
    let inside = |i: usize| (x..x + w).contains(&(i % size.width)) && (y..y + h).contains(&(i / size.width));
    Mask::from_bools(size, &(0..size.pixels()).map(inside).collect::<Vec<_>>()).unwrap()
}

pub(crate) fn answer(mask: Mask, predicted_iou: f32) -> ScoredMask {
    let low_res_logits = LowResLogits { height: 1, width: 1, values: vec![predicted_iou] };
    ScoredMask { mask, predicted_iou, stability_score: 1.0, low_res_logits }
}

/// Knows the objects of every image (they must not overlap) and answers with the one that is meant.
pub(crate) struct Oracle {
    pub(crate) images: Vec<Vec<Mask>>,
    pub(crate) image: usize,
}

impl Oracle {
    pub(crate) fn meant(&self, prompt: &Prompt) -> Mask {
        let meant = |m: &&Mask| match &prompt.bbox {
            Some(b) => m.bbox().is_some_and(|(x, y, w, h)| {
                [b.x0, b.y0, b.x1, b.y1] == [x as f32, y as f32, (x + w) as f32, (y + h) as f32]
            }),
            None => prompt.points.first().is_some_and(|(p, _)| m.contains(p.x as usize, p.y as usize)),
        };
        self.images[self.image].iter().find(meant).expect("the prompt means an object").clone()
    }
}

impl Segmenter for Oracle {
    fn set_image(&mut self, rgb: &[u8], _size: Size) -> Result<()> {
        self.image = usize::from(rgb[0]);
        Ok(())
    }

    fn predict(&mut self, prompts: &[Prompt], multimask: bool) -> Result<Vec<Vec<ScoredMask>>> {
        let count = if multimask { 3 } else { 1 };
        Ok(prompts.iter().map(|prompt| vec![answer(self.meant(prompt), 0.5); count]).collect())
    }
}
