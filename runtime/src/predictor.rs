//! [`Predictor`]: the facade. Set an image, then prompt it as often as you like.

use std::time::Instant;

use cutout_models::arch::InputSize;

use crate::embedding::ImageEmbedding;
use crate::engine::{Layer, LevelImage, Tensor};
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{Region, Size};
use crate::image::ImageView;
use crate::mask::Mask;
use crate::mask_decoder::DecodedPrompt;
use crate::model::Model;
use crate::postprocess::Upscaler;
use crate::preprocess::{InputLayout, Preprocessor};
use crate::prompt::{LowResLogits, Prompt};
use crate::timings::StageTimings;

/// Logits above this belong to the mask.
pub const MASK_THRESHOLD: f32 = 0.0;
/// How far around the threshold a mask's stability is measured.
const STABILITY_OFFSET: f32 = 1.0;

/// What to answer a prompt with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PredictOptions {
    /// Three masks (whole, part, subpart) for a prompt that may mean several things, instead of one.
    pub multimask: bool,
}

/// One mask of an answer.
#[derive(Clone, Debug)]
pub struct ScoredMask {
    /// The mask, in image pixels.
    pub mask: Mask,
    /// The model's own estimate of the mask's IoU with what was meant; about 0 to 1, not clamped.
    pub predicted_iou: f32,
    /// IoU of the masks at logits +1 and -1: how little the outline depends on the threshold. 0 to 1.
    pub stability_score: f32,
    /// The logits at a quarter of the model input, to be given back as the mask of a further prompt.
    pub low_res_logits: LowResLogits,
}

/// The answer to one prompt.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// One mask, or three with [`PredictOptions::multimask`]; never empty.
    pub masks: Vec<ScoredMask>,
    /// Time that this prompt took; a batch shares its decoding time equally.
    pub timings: StageTimings,
    /// The part of the image that was encoded for this answer; `None` where it is that of the whole image.
    pub zoomed: Option<Region>,
}

impl Prediction {
    /// The mask of the highest predicted IoU.
    pub fn best(&self) -> &ScoredMask {
        let first = &self.masks[0];
        self.masks.iter().fold(first, |best, m| if m.predicted_iou > best.predicted_iou { m } else { best })
    }
}

/// Holds an image's embedding and answers prompts about it, as `SamPredictor` of the official code.
pub struct Predictor {
    model: Model,
    /// With the input size that it is for.
    preprocessor: Option<(Size, Preprocessor)>,
    /// The encoder's input, as it takes it.
    levels: Vec<u8>,
    input: Vec<f32>,
    upscaler: Upscaler,
    embedding: Option<ImageEmbedding>,
    timings: StageTimings,
}

impl Predictor {
    /// A predictor without an image.
    pub fn new(model: Model) -> Self {
        Predictor {
            model,
            preprocessor: None,
            levels: Vec::new(),
            input: Vec::new(),
            upscaler: Upscaler::new(),
            embedding: None,
            timings: StageTimings::default(),
        }
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Preprocesses and encodes an image; prompts refer to it from now on.
    ///
    /// # Errors
    /// `InvalidImage` if the image cannot be preprocessed, `Engine` if encoding fails. The earlier image, if any, is
    /// gone in either case.
    pub fn set_image(&mut self, image: &ImageView<'_>) -> Result<&ImageEmbedding> {
        self.embedding = None;
        self.timings = StageTimings::default();
        let (embedding, timings) = self.encode(image, self.model.input_for(image.size()))?;
        self.timings = timings;
        Ok(self.embedding.insert(embedding))
    }

    /// Preprocesses and encodes an image at an input size, and says how long both took.
    pub(crate) fn encode(&mut self, image: &ImageView<'_>, size: InputSize) -> Result<(ImageEmbedding, StageTimings)> {
        let mut timings = StageTimings::default();
        let stages = self.model.stages(size)?;
        let mut start = Instant::now();
        let model_size = Size::new(size.width, size.height);
        let normalization = self.model.normalization();
        self.preprocessor.take_if(|(made_for, _)| *made_for != model_size);
        let (_, preprocessor) =
            self.preprocessor.get_or_insert_with(|| (model_size, Preprocessor::new(model_size, normalization)));
        let threads = self.model.threads();
        let (transform, encoded) = if stages.image_encoder.takes_levels() {
            let levels = &mut self.levels;
            let transform = threads.install(|| preprocessor.run_as(image, InputLayout::Planar, levels))?;
            timings.preprocess = start.elapsed();
            start = Instant::now();
            let Size { width, height } = transform.resized_size();
            (transform, stages.image_encoder.encode_levels(LevelImage { levels, height, width }))
        } else {
            let buffer = &mut self.input;
            let transform = threads.install(|| preprocessor.run(image, buffer))?;
            let input = Tensor::new([1, 3, size.height, size.width], std::mem::take(&mut self.input))?;
            timings.preprocess = start.elapsed();
            start = Instant::now();
            let encoded = stages.image_encoder.encode(&input);
            self.input = input.into_values();
            (transform, encoded)
        };
        let (features, high_res) = encoded?;
        timings.encode = start.elapsed();
        let id = self.model.id().to_owned();
        Ok((ImageEmbedding::new(features, high_res, transform, id), timings))
    }

    /// Takes an embedding that was made earlier instead of an image.
    ///
    /// # Errors
    /// `ModelMismatch` if another model or another input size made it.
    pub fn set_embedding(&mut self, embedding: ImageEmbedding) -> Result<()> {
        self.model.accepts(&embedding)?;
        self.timings = StageTimings::default();
        self.embedding = Some(embedding);
        Ok(())
    }

    /// Takes the embedding back that prompts refer to, with what was computed of it for them; none is set then.
    pub fn take_embedding(&mut self) -> Option<ImageEmbedding> {
        self.embedding.take()
    }

    /// The embedding that prompts refer to.
    pub fn embedding(&self) -> Option<&ImageEmbedding> {
        self.embedding.as_ref()
    }

    /// Time that [`set_image`](Self::set_image) took, in its two stages.
    pub fn image_timings(&self) -> StageTimings {
        self.timings
    }

    /// Answers one prompt.
    ///
    /// # Errors
    /// `InvalidPrompt` if no image is set, or the prompt is empty, not finite or outside the image; `Engine` if
    /// decoding fails.
    pub fn predict(&mut self, prompt: &Prompt, options: &PredictOptions) -> Result<Prediction> {
        let mut answers = self.predict_batch(std::slice::from_ref(prompt), options)?;
        answers.pop().ok_or_else(|| Error::new(ErrorKind::Engine, "the prompt was not answered"))
    }

    /// The steps of the mask decoder on a prompt about the image that is set, each with the median of its times over `rounds` runs; none
    /// where tract runs it. The first of them are those that later prompts find done.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn profile_decoder(&self, prompt: &Prompt, rounds: usize) -> Result<Vec<Layer>> {
        let embedding = self.embedding.as_ref().ok_or_else(no_image)?;
        prompt.validate(embedding.image_size())?;
        let size = embedding.transform().model_size();
        let stages = self.model.stages(InputSize::new(size.height, size.width))?;
        stages.mask_decoder.profile(embedding, &prompt.to_model(embedding.transform()), prompt.mask.as_ref(), rounds)
    }

    /// Answers prompts about another image than the one that is set, which stays.
    pub(crate) fn predict_about(
        &mut self,
        embedding: ImageEmbedding,
        prompts: &[Prompt],
        options: &PredictOptions,
    ) -> Result<Vec<Prediction>> {
        let set = self.embedding.replace(embedding);
        let answers = self.predict_batch(prompts, options);
        self.embedding = set;
        answers
    }

    /// Answers several prompts about the same image, each for itself, sharing runs of the decoder.
    ///
    /// # Errors
    /// As [`predict`](Self::predict); one bad prompt fails the batch, and the error says which.
    pub fn predict_batch(&mut self, prompts: &[Prompt], options: &PredictOptions) -> Result<Vec<Prediction>> {
        let embedding = self.embedding.as_ref().ok_or_else(no_image)?;
        let mut inputs = Vec::with_capacity(prompts.len());
        for (index, prompt) in prompts.iter().enumerate() {
            prompt.validate(embedding.image_size()).map_err(|e| match prompts.len() {
                1 => e,
                n => Error::new(e.kind(), format!("prompt {} of {n}: {e}", index + 1)),
            })?;
            inputs.push((prompt.to_model(embedding.transform()), prompt.mask.as_ref()));
        }
        let size = embedding.transform().model_size();
        let stages = self.model.stages(InputSize::new(size.height, size.width))?;
        let start = Instant::now();
        let tokens = if options.multimask { 1..4 } else { 0..1 };
        let decoded = stages.mask_decoder.decode(embedding, &inputs, tokens)?;
        let decode = start.elapsed() / prompts.len().max(1) as u32;
        let mut answers = Vec::with_capacity(decoded.len());
        for answer in decoded {
            let start = Instant::now();
            let upscaler = &mut self.upscaler;
            let masks = self.model.threads().install(|| finish(answer, embedding, upscaler))?;
            let timings = StageTimings { decode, postprocess: start.elapsed(), ..StageTimings::default() };
            answers.push(Prediction { masks, timings, zoomed: None });
        }
        Ok(answers)
    }
}

fn no_image() -> Error {
    Error::new(ErrorKind::InvalidPrompt, "no image is set: call set_image or set_embedding first")
}

fn finish(answer: DecodedPrompt, embedding: &ImageEmbedding, upscaler: &mut Upscaler) -> Result<Vec<ScoredMask>> {
    let masks = answer.masks.into_iter().map(|(low_res_logits, predicted_iou)| {
        let transform = embedding.transform();
        let (mask, stability_score) = upscaler.mask(&low_res_logits, transform, MASK_THRESHOLD, STABILITY_OFFSET)?;
        Ok(ScoredMask { mask, predicted_iou, stability_score, low_res_logits })
    });
    masks.collect()
}
