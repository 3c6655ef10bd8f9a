//! [`MaskDecoder`]: prompt encoder and mask decoder, one run per prompt or batch of prompts.

use cutout_models::Bundle;
use cutout_models::arch::mask_decoder::DecoderShape;
use cutout_models::onnx::Dim;
use rayon::prelude::*;

use crate::embedding::ImageEmbedding;
use crate::engine::{Inputs, Layer, Network, Operators, Tensor, Threads};
use crate::error::{Error, ErrorKind, Result};
use crate::prompt::{LowResLogits, ModelPrompt};

/// Masks that every run gives: token 0, then tokens 1 to 3.
pub(crate) const MASK_TOKENS: usize = 4;

/// What the decoder says of one prompt.
#[derive(Clone, Debug)]
pub(crate) struct DecodedPrompt {
    /// Logits of the four mask tokens at a quarter of the model input: the single mask, then the three of multimask.
    pub(crate) logits: [LowResLogits; MASK_TOKENS],
    /// Predicted IoU of each.
    pub(crate) predicted_iou: [f32; MASK_TOKENS],
}

/// The mask decoder of a model on one feature grid; one plan answers prompts of any number of points.
#[derive(Clone)]
pub(crate) struct MaskDecoder {
    network: Network,
    grid: (usize, usize),
    threads: Threads,
}

impl MaskDecoder {
    pub(crate) fn load(bundle: &Bundle, grid: (usize, usize), operators: Operators, threads: &Threads) -> Result<Self> {
        let shape = DecoderShape { prompts: Dim::Fixed(1), points: Dim::Symbol("num_points"), embedding: grid };
        let inputs = Inputs { early: &["image_embeddings", "high_res_s0", "high_res_s1"], fixed: &["has_mask_input"] };
        let network = Network::load("mask decoder", bundle.mask_decoder_onnx(shape)?, inputs, operators, threads)?;
        Ok(MaskDecoder { network, grid, threads: threads.clone() })
    }

    /// Decodes prompts on one embedding, side by side on the model's threads.
    ///
    /// # Errors
    /// `InvalidPrompt` if a mask prompt is not of the size that this model gives, `Engine` if the network fails.
    pub(crate) fn decode(
        &self,
        embedding: &ImageEmbedding,
        prompts: &[(ModelPrompt, Option<&LowResLogits>)],
    ) -> Result<Vec<DecodedPrompt>> {
        let run = |(prompt, mask): &(ModelPrompt, Option<&LowResLogits>)| self.run(embedding, prompt, *mask);
        match prompts {
            // One prompt has all threads; of several, each has one. A batch dimension in the graph gains nothing over
            // this: tract's cost per prompt is the same or higher.
            [prompt] => Ok(vec![run(prompt)?]),
            _ => self.threads.install(|| prompts.par_iter().map(run).collect()),
        }
    }

    /// The steps of the network on a prompt, see [`Network::profile`]; those before the first that reads the prompt come first.
    pub(crate) fn profile(
        &self,
        embedding: &ImageEmbedding,
        prompt: &ModelPrompt,
        mask: Option<&LowResLogits>,
        rounds: usize,
    ) -> Result<Vec<Layer>> {
        let own = self.inputs(prompt, mask)?;
        self.network.profile(&named(&own, embedding), rounds)
    }

    /// Coordinates and labels of the points, the mask, and whether there is one.
    fn inputs(&self, prompt: &ModelPrompt, mask: Option<&LowResLogits>) -> Result<[Tensor; 4]> {
        let (height, width) = (self.grid.0 * 4, self.grid.1 * 4);
        let points = prompt.coords.len();
        let coords = Tensor::new([1, points, 2], prompt.coords.as_flattened().to_vec())?;
        let labels = Tensor::new([1, points], prompt.labels.clone())?;
        let has_mask = Tensor::new([1], vec![f32::from(u8::from(mask.is_some()))])?;
        let mask = match mask {
            Some(m) if (m.height, m.width) == (height, width) => m.values.clone(),
            Some(m) => {
                return Err(Error::new(
                    ErrorKind::InvalidPrompt,
                    format!(
                        "the mask prompt is {}x{}, this model takes the {width}x{height} logits of an earlier answer",
                        m.width, m.height
                    ),
                ));
            }
            None => vec![0.0; height * width],
        };
        Ok([coords, labels, Tensor::new([1, 1, height, width], mask)?, has_mask])
    }

    fn run(
        &self,
        embedding: &ImageEmbedding,
        prompt: &ModelPrompt,
        mask: Option<&LowResLogits>,
    ) -> Result<DecodedPrompt> {
        let (height, width) = (self.grid.0 * 4, self.grid.1 * 4);
        let own = self.inputs(prompt, mask)?;
        let outputs = self.network.run_prepared(embedding.prepared(), &named(&own, embedding))?;
        let [logits, ious] = outputs.as_slice() else {
            return Err(Error::new(ErrorKind::Engine, "the mask decoder must have two outputs"));
        };
        if logits.shape() != [1, MASK_TOKENS, height, width] || ious.shape() != [1, MASK_TOKENS] {
            let shapes = format!("{:?} and {:?}", logits.shape(), ious.shape());
            return Err(Error::new(ErrorKind::Engine, format!("the mask decoder gave shapes {shapes}")));
        }
        let plane = height * width;
        Ok(DecodedPrompt {
            logits: std::array::from_fn(|token| {
                let values = logits.values()[token * plane..(token + 1) * plane].to_vec();
                LowResLogits { height, width, values }
            }),
            predicted_iou: std::array::from_fn(|token| ious.values()[token]),
        })
    }
}

/// All inputs of the network, by their names.
fn named<'t>(
    [coords, labels, mask, has_mask]: &'t [Tensor; 4],
    embedding: &'t ImageEmbedding,
) -> Vec<(&'static str, &'t Tensor)> {
    let mut inputs = vec![
        ("image_embeddings", embedding.features()),
        ("point_coords", coords),
        ("point_labels", labels),
        ("mask_input", mask),
        ("has_mask_input", has_mask),
    ];
    inputs.extend(["high_res_s0", "high_res_s1"].into_iter().zip(embedding.high_res()));
    inputs
}
