//! [`MaskDecoder`]: prompt encoder and mask decoder, one run per prompt or batch of prompts.

use std::ops::Range;
use std::sync::Arc;

use cutout_models::Bundle;
use cutout_models::arch::InputSize;
use cutout_models::arch::mask_decoder::DecoderShape;
use cutout_models::onnx::Dim;
use rayon::prelude::*;

use crate::embedding::ImageEmbedding;
use crate::engine::{InF32, Inputs, Layer, Network, Operators, Precision, Tensor, Threads};
use crate::error::{Error, ErrorKind, Result};
use crate::prompt::{LowResLogits, ModelPrompt};

const NAME: &str = "mask decoder";

/// Masks that every run gives: token 0, then tokens 1 to 3.
const MASK_TOKENS: usize = 4;

/// What the decoder says of one prompt, of the mask tokens that were asked for.
#[derive(Clone, Debug)]
pub(crate) struct DecodedPrompt {
    /// Logits at a quarter of the model input, and predicted IoU.
    pub(crate) masks: Vec<(LowResLogits, f32)>,
}

/// A prompt in model pixels, and the logits of an earlier answer.
pub(crate) type DecoderInput<'a> = (ModelPrompt, Option<&'a LowResLogits>);

/// The mask decoder of a model on one feature grid; one plan answers prompts of any number of points.
#[derive(Clone)]
pub(crate) struct MaskDecoder {
    network: Network,
    grid: (usize, usize),
    threads: Threads,
    /// What the network gets in place of a mask that is not given.
    no_mask: Arc<Tensor>,
}

impl MaskDecoder {
    /// Prompts that are worth a task of their own: the network shares some of its work between them.
    const TOGETHER: usize = 8;

    pub(crate) fn load(
        bundle: &Bundle,
        input: InputSize,
        (operators, precision): (Operators, Precision),
        threads: &Threads,
    ) -> Result<Self> {
        let grid = (input.height / 16, input.width / 16);
        let shape = DecoderShape { prompts: Dim::Fixed(1), points: Dim::Symbol("num_points"), embedding: grid };
        let early = &["image_embeddings", "high_res_s0", "high_res_s1"];
        // Calibration looks at what pictures do in the encoder; the decoder's range nobody has measured.
        let inputs = Inputs { early, fixed: &["has_mask_input"], in_f32: InF32::All, ..Inputs::default() };
        let network = match bundle.compiled() {
            Some(model) => Network::open(NAME, model, input, inputs, (operators, precision), threads)?,
            None => Network::load(NAME, bundle.mask_decoder_onnx(shape)?, inputs, operators, precision, threads)?,
        };
        let (height, width) = (grid.0 * 4, grid.1 * 4);
        let no_mask = Arc::new(Tensor::new([1, 1, height, width], vec![0.0; height * width])?);
        Ok(MaskDecoder { network, grid, threads: threads.clone(), no_mask })
    }

    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// Decodes prompts on one embedding, on the model's threads, and gives the masks of `tokens`: 0 is the single mask, 1 to 3 are
    /// those of multimask.
    ///
    /// # Errors
    /// `InvalidPrompt` if a mask prompt is not of the size that this model gives, `Engine` if the network fails.
    pub(crate) fn decode(
        &self,
        embedding: &ImageEmbedding,
        prompts: &[DecoderInput<'_>],
        tokens: Range<usize>,
    ) -> Result<Vec<DecodedPrompt>> {
        // Prompts of one shape next to each other, and back in order at the end.
        let mut order: Vec<usize> = (0..prompts.len()).collect();
        let shape = |i: &usize| (prompts[*i].0.coords.len(), prompts[*i].1.is_some());
        order.sort_by_key(shape);
        // Each thread has prompts of its own: one prompt is too small a job for several.
        let size = prompts.len().div_ceil(self.threads.count()).clamp(1, Self::TOGETHER);
        let run = |chunk: &[usize]| {
            let inputs: Vec<&DecoderInput<'_>> = chunk.iter().map(|i| &prompts[*i]).collect();
            self.run(embedding, &inputs, tokens.clone())
        };
        let decoded: Vec<Vec<DecodedPrompt>> = match prompts {
            // One prompt has all threads.
            [_] => vec![run(&order)?],
            _ => self.threads.install(|| order.par_chunks(size).map(run).collect::<Result<_>>())?,
        };
        let mut decoded: Vec<_> = order.into_iter().zip(decoded.into_iter().flatten()).collect();
        decoded.sort_by_key(|(i, _)| *i);
        Ok(decoded.into_iter().map(|(_, decoded)| decoded).collect())
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
        self.network.profile(&self.named(&own, embedding), rounds)
    }

    /// The inputs of the network that are a prompt's own.
    fn inputs(&self, prompt: &ModelPrompt, mask: Option<&LowResLogits>) -> Result<PromptInputs> {
        let (height, width) = (self.grid.0 * 4, self.grid.1 * 4);
        let points = prompt.coords.len();
        let mask = match mask {
            Some(m) if (m.height, m.width) == (height, width) => {
                Some(Tensor::new([1, 1, height, width], m.values.clone())?)
            }
            Some(m) => {
                return Err(Error::new(
                    ErrorKind::InvalidPrompt,
                    format!(
                        "the mask prompt is {}x{}, this model takes the {width}x{height} logits of an earlier answer",
                        m.width, m.height
                    ),
                ));
            }
            None => None,
        };
        Ok(PromptInputs {
            coords: Tensor::new([1, points, 2], prompt.coords.as_flattened().to_vec())?,
            labels: Tensor::new([1, points], prompt.labels.clone())?,
            has_mask: Tensor::new([1], vec![f32::from(u8::from(mask.is_some()))])?,
            mask,
        })
    }

    /// All inputs of the network, by their names.
    fn named<'t>(&'t self, own: &'t PromptInputs, embedding: &'t ImageEmbedding) -> Vec<(&'static str, &'t Tensor)> {
        let mut inputs = vec![
            ("image_embeddings", embedding.features()),
            ("point_coords", &own.coords),
            ("point_labels", &own.labels),
            ("mask_input", own.mask.as_ref().unwrap_or(&self.no_mask)),
            ("has_mask_input", &own.has_mask),
        ];
        inputs.extend(["high_res_s0", "high_res_s1"].into_iter().zip(embedding.high_res()));
        inputs
    }

    fn run(
        &self,
        embedding: &ImageEmbedding,
        prompts: &[&DecoderInput<'_>],
        tokens: Range<usize>,
    ) -> Result<Vec<DecodedPrompt>> {
        let (height, width) = (self.grid.0 * 4, self.grid.1 * 4);
        let own = prompts.iter().map(|(prompt, mask)| self.inputs(prompt, *mask)).collect::<Result<Vec<_>>>()?;
        let inputs: Vec<_> = own.iter().map(|own| self.named(own, embedding)).collect();
        let inputs: Vec<&[_]> = inputs.iter().map(Vec::as_slice).collect();
        let decoded = |outputs: &Vec<Tensor>| {
            let [logits, ious] = outputs.as_slice() else {
                return Err(Error::new(ErrorKind::Engine, "the mask decoder must have two outputs"));
            };
            if logits.shape() != [1, MASK_TOKENS, height, width] || ious.shape() != [1, MASK_TOKENS] {
                let shapes = format!("{:?} and {:?}", logits.shape(), ious.shape());
                return Err(Error::new(ErrorKind::Engine, format!("the mask decoder gave shapes {shapes}")));
            }
            let plane = height * width;
            let mask = |token: usize| {
                let values = logits.values()[token * plane..(token + 1) * plane].to_vec();
                (LowResLogits { height, width, values }, ious.values()[token])
            };
            Ok(DecodedPrompt { masks: tokens.clone().map(mask).collect() })
        };
        self.network.run_batch(embedding.prepared(), &inputs)?.iter().map(decoded).collect()
    }
}

/// Coordinates and labels of the points, the mask, and whether there is one.
struct PromptInputs {
    coords: Tensor,
    labels: Tensor,
    has_mask: Tensor,
    mask: Option<Tensor>,
}
