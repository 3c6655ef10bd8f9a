//! Image encoders on trial: what one gives, and how far that is from what another gives.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use cutout_models::Bundle;
use cutout_models::arch::InputSize;
use cutout_models::onnx::OnnxModel;
use cutout_runtime::engine::{Inputs, Network, Operators, Precision, Tensor, Threads};
use cutout_runtime::{ImageView, InputShape, Preprocessor, Size};

use crate::Result;

/// The input of every image encoder.
const IMAGE: &str = "image";

/// A picture as an image encoder takes it.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The input size that suits it.
    pub size: InputSize,
    /// The normalised image.
    pub image: Tensor,
}

/// What encoders are tried with.
#[derive(Clone, Debug)]
pub struct Bench {
    threads: Threads,
    operators: Operators,
    input: InputShape,
}

impl Bench {
    /// `threads` as of `ModelOptions`; input sizes are those that `input` gives for each picture.
    ///
    /// # Errors
    /// [`Error::Engine`](crate::Error::Engine) if threads cannot be started.
    pub fn new(input: InputShape, operators: Operators, threads: usize) -> Result<Self> {
        Ok(Bench { threads: Threads::new(threads)?, operators, input })
    }

    /// The input size for pictures of a size.
    pub fn input_for(&self, picture: Size) -> InputSize {
        self.input.for_image(picture)
    }

    /// The largest input size.
    pub fn largest(&self) -> InputSize {
        self.input.largest()
    }

    /// Prepares a picture, row-major RGB.
    ///
    /// # Errors
    /// [`Error::Engine`](crate::Error::Engine) if its size is not possible.
    pub fn sample(&self, bundle: &Bundle, rgb: &[u8], picture: Size) -> Result<Sample> {
        let size = self.input_for(picture);
        let model = Size::new(size.width, size.height);
        let mut preprocessor = Preprocessor::new(model, bundle.normalization());
        let mut values = Vec::new();
        let view = ImageView::rgb8(rgb, picture)?;
        self.threads.install(|| preprocessor.run(&view, &mut values))?;
        Ok(Sample { size, image: Tensor::new([1, 3, size.height, size.width], values)? })
    }

    /// Makes a graph ready.
    ///
    /// # Errors
    /// [`Error::Engine`](crate::Error::Engine) if it cannot be.
    pub fn network(&self, model: OnnxModel) -> Result<Network> {
        let (inputs, precision) = (Inputs::default(), Precision::F32);
        Ok(Network::load("image encoder", model, inputs, self.operators, precision, &self.threads)?)
    }

    /// Runs a network on a picture.
    ///
    /// # Errors
    /// [`Error::Engine`](crate::Error::Engine) if it fails.
    pub fn run(&self, network: &Network, sample: &Sample) -> Result<Vec<Tensor>> {
        Ok(network.run(&[(IMAGE, &sample.image)])?)
    }

    /// What the image encoder of a bundle gives for each picture.
    ///
    /// # Errors
    /// [`Error::Bundle`](crate::Error::Bundle) if the graph cannot be built, [`Error::Engine`](crate::Error::Engine) if it cannot be run.
    pub fn outputs(&self, bundle: &Bundle, samples: &[Sample]) -> Result<Vec<Vec<Tensor>>> {
        let mut networks: BTreeMap<(usize, usize), Network> = BTreeMap::new();
        let mut outputs = Vec::with_capacity(samples.len());
        for sample in samples {
            let key = (sample.size.height, sample.size.width);
            let network = match networks.entry(key) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(self.network(bundle.image_encoder_onnx(sample.size)?)?),
            };
            outputs.push(self.run(network, sample)?);
        }
        Ok(outputs)
    }
}

/// How far outputs are from a reference: the root of the mean, over pictures and outputs, of the squares of the difference by those of the
/// reference. 0 where they are equal; 1 where nothing is known.
pub fn distance(reference: &[Vec<Tensor>], outputs: &[Vec<Tensor>]) -> f64 {
    let relative = |(a, b): (&Tensor, &Tensor)| {
        let (mut difference, mut square) = (0.0, 0.0);
        for (&a, &b) in a.values().iter().zip(b.values()) {
            difference += f64::from(a - b).powi(2);
            square += f64::from(a).powi(2);
        }
        if square > 0.0 { difference / square } else { difference }
    };
    let pairs = reference.iter().zip(outputs).flat_map(|(a, b)| a.iter().zip(b));
    let errors: Vec<f64> = pairs.map(relative).collect();
    (errors.iter().sum::<f64>() / errors.len().max(1) as f64).sqrt()
}
