//! [`Segmenter`]: whatever answers prompts about an image, be it a model or a baseline.

use cutout_runtime::{Error, ErrorKind, ImageView, PredictOptions, Predictor, Prompt, Result, ScoredMask, Size, Zoom};

/// Answers prompts about one image at a time.
pub trait Segmenter {
    /// Takes an image: `rgb` is row-major, three bytes a pixel, without padding. Prompts refer to it from now on.
    ///
    /// # Errors
    /// Kind `InvalidImage` has the evaluation leave the image out and count it; any other kind ends the evaluation.
    fn set_image(&mut self, rgb: &[u8], size: Size) -> Result<()>;

    /// Answers each prompt for itself, in order: one mask (token 0), or three (tokens 1 to 3) with `multimask`. Masks
    /// are of the image's size.
    ///
    /// # Errors
    /// Any error ends the evaluation.
    fn predict(&mut self, prompts: &[Prompt], multimask: bool) -> Result<Vec<Vec<ScoredMask>>>;
}

impl Segmenter for Predictor {
    fn set_image(&mut self, rgb: &[u8], size: Size) -> Result<()> {
        Predictor::set_image(self, &ImageView::rgb8(rgb, size)?).map(drop)
    }

    fn predict(&mut self, prompts: &[Prompt], multimask: bool) -> Result<Vec<Vec<ScoredMask>>> {
        let answers = self.predict_batch(prompts, &PredictOptions { multimask })?;
        Ok(answers.into_iter().map(|answer| answer.masks).collect())
    }
}

/// A model that zooms in on small objects: every prompt goes through [`Predictor::predict_zoomed`].
pub struct Zoomed {
    predictor: Predictor,
    zoom: Zoom,
    image: Option<(Vec<u8>, Size)>,
}

impl Zoomed {
    /// A segmenter without an image.
    pub fn new(predictor: Predictor, zoom: Zoom) -> Self {
        Zoomed { predictor, zoom, image: None }
    }
}

impl Segmenter for Zoomed {
    fn set_image(&mut self, rgb: &[u8], size: Size) -> Result<()> {
        self.image = None;
        Segmenter::set_image(&mut self.predictor, rgb, size)?;
        self.image = Some((rgb.to_vec(), size));
        Ok(())
    }

    fn predict(&mut self, prompts: &[Prompt], multimask: bool) -> Result<Vec<Vec<ScoredMask>>> {
        let (rgb, size) = self.image.as_ref().ok_or_else(|| Error::new(ErrorKind::InvalidPrompt, "no image is set"))?;
        let (view, options) = (ImageView::rgb8(rgb, *size)?, PredictOptions { multimask });
        let mut answers = Vec::with_capacity(prompts.len());
        for prompt in prompts {
            answers.push(self.predictor.predict_zoomed(&view, prompt, &options, &self.zoom)?.masks);
        }
        Ok(answers)
    }
}
