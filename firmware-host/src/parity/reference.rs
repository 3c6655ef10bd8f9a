//! [`Reference`]: a folder of answers that the official code gave.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use cutout_models::registry::{MOBILE_SAM, SAM_VIT_B, SAM_VIT_H, SAM_VIT_L};
use cutout_models::{Bundle, Manifest, ModelSpec, standin};
use cutout_runtime::{BBox, LowResLogits, Mask, Prompt, Size};
use ndarray::ArrayD;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// More parameters than any network that a reference can be of; ViT-H has 641 million.
const MAX_PARAMETERS: usize = 2_000_000_000;

/// A folder in the form that `shared/reference` describes: `cases.json`, `state_dict.json`, pictures and arrays.
pub(super) struct Reference {
    folder: PathBuf,
    pub(super) cases: Cases,
}

/// `cases.json`.
#[derive(Deserialize)]
pub(super) struct Cases {
    /// The official code's name of the network.
    pub(super) model: String,
    /// Seed of the stand-in weights.
    pub(super) seed: u64,
    /// Height and width of the image.
    pub(super) image: Option<[usize; 2]>,
    pub(super) cases: Vec<Case>,
}

/// One prompt, in image pixels, and what the official code says of it in numbers.
#[derive(Deserialize)]
pub(super) struct Case {
    pub(super) name: String,
    points_px: Option<Vec<[f64; 2]>>,
    labels: Option<Vec<i32>>,
    box_px: Option<[f64; 4]>,
    mask_input: Option<String>,
    pub(super) iou_multimask: [f32; 3],
    pub(super) iou_single: [f32; 1],
    pub(super) area_px_mask1: Option<u64>,
    pub(super) logits_full_res_mean: Option<f64>,
    pub(super) logits_full_res_std: Option<f64>,
}

/// RGB pixels, three bytes each.
pub(super) struct Picture {
    pub(super) size: Size,
    pub(super) pixels: Vec<u8>,
}

impl Reference {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let cases: Cases = json(&folder.join("cases.json"))?;
        ensure!(!cases.cases.is_empty(), "{} has no cases", folder.join("cases.json").display());
        Ok(Reference { folder: folder.into(), cases })
    }

    /// The network, with stand-in weights, at an input of a given size.
    pub(super) fn bundle(&self, input: Size) -> Result<Bundle> {
        let spec: &ModelSpec = match self.cases.model.as_str() {
            "vit_t" => &MOBILE_SAM,
            "vit_b" => &SAM_VIT_B,
            "vit_l" => &SAM_VIT_L,
            "vit_h" | "default" => &SAM_VIT_H,
            other => bail!("cases.json names the model '{other}'; known are vit_t, vit_b, vit_l, vit_h"),
        };
        let shapes: BTreeMap<String, Vec<usize>> = json(&self.folder.join("state_dict.json"))?;
        let count = |shape: &Vec<usize>| shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
        let total = shapes.values().try_fold(0usize, |n, shape| n.checked_add(count(shape)?));
        ensure!(total.is_some_and(|n| n <= MAX_PARAMETERS), "state_dict.json describes too many parameters");
        let weights = standin::state_dict(shapes.iter().map(|(n, s)| (n.as_str(), s.as_slice())), self.cases.seed);
        let mut manifest = Manifest::of(spec);
        manifest.name = format!("{}-standin-{}", self.cases.model, self.cases.seed);
        manifest.input_size.height = input.height;
        manifest.input_size.width = input.width;
        Ok(Bundle::from_parts(manifest, &weights)?)
    }

    pub(super) fn picture(&self, name: &str) -> Result<Picture> {
        let decoded = self.decode(name)?.into_rgb8();
        let size = Size { width: decoded.width() as usize, height: decoded.height() as usize };
        Ok(Picture { size, pixels: decoded.into_raw() })
    }

    /// The image, whose size must be the one that `cases.json` gives.
    pub(super) fn image(&self) -> Result<Picture> {
        let image = self.picture("image.png")?;
        if let Some([height, width]) = self.cases.image {
            let Size { width: w, height: h } = image.size;
            ensure!((h, w) == (height, width), "image.png is {w}x{h}, cases.json says {width}x{height}");
        }
        Ok(image)
    }

    /// The image embedding, `[1, 256, h, w]`.
    pub(super) fn embedding(&self) -> Result<ArrayD<f32>> {
        let embedding = self.array("embedding.npy")?;
        match embedding.shape() {
            &[1, 256, h, w] if (1..=512).contains(&h) && (1..=512).contains(&w) => Ok(embedding),
            other => bail!("embedding.npy has shape {other:?}, not [1, 256, h, w]"),
        }
    }

    /// Logits of the four tokens, `[4, height, width]` for an input of four times that size.
    pub(super) fn low_res(&self, case: &str, (height, width): (usize, usize)) -> Result<ArrayD<f32>> {
        let name = format!("{case}.low_res.npy");
        let logits = self.array(&name)?;
        let expected = [4, height, width];
        ensure!(logits.shape() == expected, "{name} has shape {:?}, not {expected:?}", logits.shape());
        Ok(logits)
    }

    /// The mask of token 1.
    pub(super) fn mask1(&self, case: &str) -> Result<Mask> {
        let grey = self.decode(&format!("{case}.mask1.png"))?.into_luma8();
        let size = Size { width: grey.width() as usize, height: grey.height() as usize };
        let inside: Vec<bool> = grey.into_raw().iter().map(|v| *v > 127).collect();
        Ok(Mask::from_bools(size, &inside)?)
    }

    /// The prompt of a case; the mask that it may feed back is the reference's own.
    pub(super) fn prompt(&self, case: &Case, low_res: (usize, usize)) -> Result<Prompt> {
        let mut prompt = Prompt::new();
        let points = case.points_px.as_deref().unwrap_or_default();
        let labels = case.labels.as_deref().unwrap_or_default();
        ensure!(points.len() == labels.len(), "it has {} points and {} labels", points.len(), labels.len());
        for ([x, y], label) in points.iter().zip(labels) {
            ensure!(matches!(label, 0 | 1), "label {label} is neither 0 (background) nor 1 (foreground)");
            prompt = prompt.with_point(*x as f32, *y as f32, *label == 1);
        }
        if let Some([x0, y0, x1, y1]) = case.box_px {
            prompt = prompt.with_box(BBox { x0: x0 as f32, y0: y0 as f32, x1: x1 as f32, y1: y1 as f32 });
        }
        if let Some(name) = &case.mask_input {
            prompt = prompt.with_mask(self.fed_back(name, low_res)?);
        }
        Ok(prompt)
    }

    /// Logits named as `CASE.low_res.npy[TOKEN]`.
    fn fed_back(&self, name: &str, low_res: (usize, usize)) -> Result<LowResLogits> {
        let parsed = name.strip_suffix(']').and_then(|n| n.split_once(".low_res.npy["));
        let (case, token) = parsed.with_context(|| format!("mask_input '{name}' is not CASE.low_res.npy[TOKEN]"))?;
        let token: usize = token.parse().with_context(|| format!("mask_input '{name}' names no token"))?;
        ensure!(token < 4, "mask_input '{name}' names token {token}; there are four");
        let logits = self.low_res(case, low_res)?;
        let values = logits.index_axis(ndarray::Axis(0), token).iter().copied().collect();
        Ok(LowResLogits { height: low_res.0, width: low_res.1, values })
    }

    fn array(&self, name: &str) -> Result<ArrayD<f32>> {
        let path = self.path(name)?;
        let array: ArrayD<f32> =
            ndarray_npy::read_npy(&path).with_context(|| format!("cannot read {}", path.display()))?;
        ensure!(array.iter().all(|v| v.is_finite()), "{} holds values that are not finite", path.display());
        Ok(array)
    }

    fn decode(&self, name: &str) -> Result<image::DynamicImage> {
        let path = self.path(name)?;
        image::open(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// A file of the folder. Names come from `cases.json` too, so they must be names and not paths.
    fn path(&self, name: &str) -> Result<PathBuf> {
        ensure!(Path::new(name).file_name().is_some_and(|n| n == name), "'{name}' is not a plain file name");
        Ok(self.folder.join(name))
    }
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_reader(BufReader::new(file)).with_context(|| format!("cannot read {}", path.display()))
}
