//! [`ImageEncoder`]: the heavy half, one run per image.

use cutout_models::Bundle;
use cutout_models::arch::InputSize;

use crate::engine::{InF32, Inputs, Layer, LevelImage, Network, Operators, Precision, Tensor, Threads};
use crate::error::{Error, ErrorKind, Result};

const NAME: &str = "image encoder";
const INPUT: &str = "image";

/// The image encoder of a model at one input size.
#[derive(Clone)]
pub(crate) struct ImageEncoder {
    network: Network,
}

impl ImageEncoder {
    pub(crate) fn load(
        bundle: &Bundle,
        input: InputSize,
        (operators, precision): (Operators, Precision),
        threads: &Threads,
    ) -> Result<Self> {
        let in_f32 = InF32::Nodes(&bundle.manifest().f16_arithmetic_excluded);
        let inputs = Inputs { levels: Some((INPUT, bundle.normalization())), in_f32, ..Inputs::default() };
        let network = match bundle.compiled() {
            Some(model) => Network::open(NAME, model, input, inputs, (operators, precision), threads)?,
            None => Network::load(NAME, bundle.image_encoder_onnx(input)?, inputs, operators, precision, threads)?,
        };
        Ok(ImageEncoder { network })
    }

    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// Whether tract runs it.
    pub(crate) fn is_tract(&self) -> bool {
        self.network.is_tract()
    }

    /// The precision of most of its arithmetic.
    pub(crate) fn precision(&self) -> Result<Precision> {
        self.network.precision()
    }

    /// Whether the image may come as levels.
    pub(crate) fn takes_levels(&self) -> bool {
        self.network.takes_levels()
    }

    /// The steps of the network on a picture of one colour at its input size, see [`Network::profile`].
    pub(crate) fn profile(&self, InputSize { height, width }: InputSize, rounds: usize) -> Result<Vec<Layer>> {
        if self.takes_levels() {
            let levels = &vec![150; 3 * height * width];
            return self.network.profile_on_levels(LevelImage { levels, height, width }, rounds);
        }
        let image = Tensor::new([1, 3, height, width], vec![0.25; 3 * height * width])?;
        self.network.profile(&[(INPUT, &image)], rounds)
    }

    /// As [`encode`](Self::encode), of an image of levels.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn encode_levels(&self, image: LevelImage<'_>) -> Result<(Tensor, Vec<Tensor>)> {
        checked(self.network.run_on_levels(image)?)
    }

    /// Encodes a normalised, zero-padded image `[1, 3, H, W]`. Returns the features `[1, 256, H/16, W/16]` and, for
    /// models that have them, the high-resolution features `[1, 32, H/4, W/4]` and `[1, 64, H/8, W/8]`.
    ///
    /// # Errors
    /// `Engine` if the image is of another shape or the network gives values that are not finite.
    pub(crate) fn encode(&self, image: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        checked(self.network.run(&[(INPUT, image)])?)
    }
}

/// The features, which must be finite, and the others.
fn checked(outputs: Vec<Tensor>) -> Result<(Tensor, Vec<Tensor>)> {
    let mut outputs = outputs.into_iter();
    let features = outputs.next().ok_or_else(|| Error::new(ErrorKind::Engine, "the image encoder has no output"))?;
    if features.values().iter().any(|v| !v.is_finite()) {
        return Err(Error::new(ErrorKind::Engine, "the image encoder gave values that are not finite"));
    }
    Ok((features, outputs.collect()))
}
