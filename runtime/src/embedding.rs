//! [`ImageEmbedding`]: what the image encoder made of an image; a value that can be kept, saved and loaded.

use std::collections::HashMap;
use std::path::Path;

use cutout_models::checkpoint::{self, StateDict};
use safetensors::tensor::{Dtype, TensorView};

use crate::engine::{Prepared, Tensor};
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{ResizeLongestSide, Size};

const FORMAT: &str = "cutout-embedding-1";

/// The image encoder's result, with everything that is needed to prompt it later: the transform from
/// image pixels to model pixels and the id of the model that made it.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageEmbedding {
    features: Tensor,
    high_res: Vec<Tensor>,
    transform: ResizeLongestSide,
    model_id: String,
    /// What the mask decoder computed of the features alone.
    prepared: Prepared,
    /// Which image this is, in the caller's own counting. Carried, never interpreted.
    pub frame_id: Option<u64>,
}

impl ImageEmbedding {
    pub(crate) fn new(features: Tensor, high_res: Vec<Tensor>, transform: ResizeLongestSide, model_id: String) -> Self {
        ImageEmbedding { features, high_res, transform, model_id, prepared: Prepared::default(), frame_id: None }
    }

    /// Features at a sixteenth of the model input, `[1, 256, h, w]`.
    pub fn features(&self) -> &Tensor {
        &self.features
    }

    /// Features at a quarter `[1, 32, 4h, 4w]` and an eighth `[1, 64, 2h, 2w]` of the model input, for models whose
    /// decoder refines its masks with them; empty for the others.
    pub fn high_res(&self) -> &[Tensor] {
        &self.high_res
    }

    pub(crate) fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    /// The transform from image pixels to model pixels.
    pub fn transform(&self) -> &ResizeLongestSide {
        &self.transform
    }

    /// Size of the image, in pixels.
    pub fn image_size(&self) -> Size {
        self.transform.image_size()
    }

    /// Id of the model that made it.
    pub fn model_id(&self) -> &str {
        &self.model_id
    }

    /// Rows and columns of the feature grid.
    pub fn grid(&self) -> (usize, usize) {
        let s = self.features.shape();
        (s[2], s[3])
    }

    /// The embedding as the bytes of a safetensors file.
    ///
    /// # Errors
    /// `Engine` if the tensors cannot be serialised.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let named = [("features", &self.features)]
            .into_iter()
            .chain(["high_res_s0", "high_res_s1"].into_iter().zip(&self.high_res));
        let buffers: Vec<(&str, &Tensor, Vec<u8>)> =
            named.map(|(n, t)| (n, t, t.values().iter().flat_map(|v| v.to_le_bytes()).collect())).collect();
        let mut views = Vec::with_capacity(buffers.len());
        for (name, tensor, bytes) in &buffers {
            let view = TensorView::new(Dtype::F32, tensor.shape().to_vec(), bytes).map_err(unwritable)?;
            views.push((*name, view));
        }
        let (image, model) = (self.transform.image_size(), self.transform.model_size());
        let mut metadata = HashMap::from([
            ("format".to_owned(), FORMAT.to_owned()),
            ("model_id".to_owned(), self.model_id.clone()),
            ("image_size".to_owned(), format!("{}x{}", image.width, image.height)),
            ("model_size".to_owned(), format!("{}x{}", model.width, model.height)),
        ]);
        if let Some(id) = self.frame_id {
            metadata.insert("frame_id".into(), id.to_string());
        }
        safetensors::serialize(views, Some(metadata)).map_err(unwritable)
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// `ModelMismatch` if the bytes are not a Cutout embedding, are truncated, hold NaN, or their shapes disagree.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let bad = |what: String| Error::new(ErrorKind::ModelMismatch, format!("not a usable embedding: {what}"));
        let file = StateDict::from_bytes(bytes.to_vec()).map_err(|e| bad(e.to_string()))?;
        let metadata = file.metadata();
        let field = |name: &str| metadata.get(name).ok_or_else(|| bad(format!("its header has no '{name}'")));
        if field("format")? != FORMAT {
            return Err(bad(format!("its format is '{}', this program reads '{FORMAT}'", field("format")?)));
        }
        let size = |name: &str| -> Result<Size> {
            let text = field(name)?;
            let parsed = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
            let (width, height) = parsed.ok_or_else(|| bad(format!("its {name} reads '{text}'")))?;
            Ok(Size { width, height })
        };
        let transform = ResizeLongestSide::new(size("image_size")?, size("model_size")?)?;
        let tensor = |name: &str| -> Result<Tensor> {
            let stored = file.get(name).ok_or_else(|| bad(format!("it has no '{name}'")))?;
            if stored.dtype() != checkpoint::Dtype::F32 {
                return Err(bad(format!("'{name}' is {:?}, not F32", stored.dtype())));
            }
            let values = file.to_f32(name).map_err(|e| bad(e.to_string()))?;
            if values.iter().any(|v| !v.is_finite()) {
                return Err(bad(format!("'{name}' holds NaN or infinite values")));
            }
            Tensor::new(stored.shape(), values.iter().copied().collect())
        };
        let (model, features) = (transform.model_size(), tensor("features")?);
        let expect = |t: &Tensor, name: &str, channels: usize, stride: usize| {
            let shape = [1, channels, model.height / stride, model.width / stride];
            if t.shape() == shape {
                Ok(())
            } else {
                Err(bad(format!("'{name}' has shape {:?}, not {shape:?}", t.shape())))
            }
        };
        expect(&features, "features", 256, 16)?;
        let mut high_res = Vec::new();
        if file.contains("high_res_s0") {
            high_res = vec![tensor("high_res_s0")?, tensor("high_res_s1")?];
            expect(&high_res[0], "high_res_s0", 32, 4)?;
            expect(&high_res[1], "high_res_s1", 64, 8)?;
        }
        let mut out = ImageEmbedding::new(features, high_res, transform, field("model_id")?.clone());
        out.frame_id = metadata.get("frame_id").and_then(|id| id.parse().ok());
        Ok(out)
    }

    /// Saves the embedding to a file, replacing it only once all bytes are written.
    ///
    /// # Errors
    /// `Io` if the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let part = path.with_extension("part");
        let written = std::fs::write(&part, self.to_bytes()?).and_then(|()| std::fs::rename(&part, path));
        written.map_err(|e| {
            // The half-written file is of no use; the first error is the one to report.
            let _ = std::fs::remove_file(&part);
            Error::new(ErrorKind::Io, format!("cannot save the embedding to {}", path.display())).with_source(e)
        })
    }

    /// Loads an embedding that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// `Io` if the file cannot be read, `ModelMismatch` as [`from_bytes`](Self::from_bytes).
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| {
            Error::new(ErrorKind::Io, format!("cannot read the embedding {}", path.display())).with_source(e)
        })?;
        Self::from_bytes(&bytes)
    }
}

fn unwritable(e: safetensors::SafeTensorError) -> Error {
    Error::new(ErrorKind::Engine, "cannot serialise the embedding").with_source(e)
}
