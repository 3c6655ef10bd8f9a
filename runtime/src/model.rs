//! [`Model`]: a bundle made ready to run on this machine.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use cutout_kernels::{linear, linear_u8};
use cutout_models::arch::InputSize;
use cutout_models::compiled::CompiledWriter;
use cutout_models::{Bundle, Normalization};

use crate::embedding::ImageEmbedding;
use crate::engine::{Layer, Operators, Precision, Threads, level_of, wrong_size};
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::Size;
use crate::image_encoder::ImageEncoder;
use crate::input_shape::InputShape;
use crate::mask_decoder::MaskDecoder;

/// How to load a model.
#[derive(Clone, Copy, Debug, Default)]
pub struct ModelOptions {
    /// Input size in model pixels; `None` takes the bundle's default.
    pub input: Option<InputShape>,
    /// Worker threads; 0 means one for each core that this process may use.
    pub threads: usize,
    /// What runs the networks.
    pub operators: Operators,
    /// What our own operators keep weights in. (Networks that they do not cover are run by tract, in f32.)
    pub precision: Precision,
}

/// An image encoder and a mask decoder, ready to run. Cheap to clone; safe to share between threads.
#[derive(Clone)]
pub struct Model {
    inner: Arc<Inner>,
}

struct Inner {
    bundle: Bundle,
    id: String,
    input: InputShape,
    threads: Threads,
    operators: Operators,
    precision: Precision,
    /// Those input sizes that a compiled model was made for and that belong to `input`; none where any can be built.
    sizes: Vec<InputSize>,
    /// The networks by input size, the last used first.
    stages: Mutex<Vec<(InputSize, Stages)>>,
}

/// The networks for one input size.
#[derive(Clone)]
pub(crate) struct Stages {
    pub(crate) image_encoder: ImageEncoder,
    pub(crate) mask_decoder: MaskDecoder,
}

impl Model {
    /// Input sizes whose networks are kept at once. A camera needs one.
    const KEPT_SIZES: usize = 4;

    /// Takes a bundle. Networks of a fixed input size are built and optimised here; where the input fits the image,
    /// they are built when the first image of a size comes, or by [`prepare`](Self::prepare).
    ///
    /// # Errors
    /// `ModelMismatch` if the weights do not fit the architecture, the input size is one that it cannot take, or a compiled model was
    /// not made for that input size or for what runs the networks, or int8 is asked for; `Engine` if a network cannot be prepared, or tract is asked for
    /// anything but f32.
    pub fn load(bundle: Bundle, options: ModelOptions) -> Result<Self> {
        if options.operators == Operators::Tract && options.precision != Precision::F32 {
            let what =
                format!("tract computes in f32, not in {}: choose that, or our own operators", options.precision);
            return Err(Error::new(ErrorKind::Engine, what));
        }
        if options.precision == Precision::Int8 {
            let what = "int8 is what a model is, not what floats are kept in: load a quantised model";
            return Err(Error::new(ErrorKind::ModelMismatch, what));
        }
        let input = options.input.unwrap_or_else(|| InputShape::of_bundle(&bundle));
        input.largest().multiple_of(bundle.architecture().size_multiple())?;
        let sizes = match bundle.compiled() {
            None => Vec::new(),
            Some(model) => {
                level_of(model, options.operators, options.precision)?;
                let mut sizes = model.sizes();
                sizes.retain(|size| match input {
                    InputShape::Fixed(wanted) => *size == wanted,
                    InputShape::Fit(side) => size.height.max(size.width) == side,
                });
                if sizes.is_empty() {
                    return Err(wrong_size(model, input.largest()));
                }
                sizes
            }
        };
        let threads = Threads::new(options.threads)?;
        let id = bundle.id();
        let model = Model {
            inner: Arc::new(Inner {
                bundle,
                id,
                input,
                threads,
                operators: options.operators,
                precision: options.precision,
                sizes,
                stages: Mutex::default(),
            }),
        };
        if let InputShape::Fixed(size) = input {
            model.stages(size)?;
        }
        Ok(model)
    }

    /// Writes a model, prepared for what runs it and for these input sizes, to one file, for `Bundle::open_compiled`. Its weights are packed
    /// as the kernels read them, so that it starts without building or packing anything, and are used where they lie.
    ///
    /// # Errors
    /// `ModelMismatch` as [`load`](Self::load), or if there are no sizes; `Engine` if our own operators do not cover a network; `Io` if the
    /// file cannot be written. An earlier file is left as it was then.
    pub fn compile(
        bundle: &Bundle,
        sizes: &[InputSize],
        (operators, precision): (Operators, Precision),
        path: &Path,
    ) -> Result<()> {
        let Operators::Own(level) = operators else {
            return Err(Error::new(ErrorKind::Engine, "tract prepares nothing that can be kept: choose a SIMD level"));
        };
        if sizes.is_empty() {
            return Err(Error::new(ErrorKind::ModelMismatch, "a model is compiled for input sizes: give one or more"));
        }
        let mut file = CompiledWriter::create(path)?;
        for &size in sizes {
            let input = Some(InputShape::Fixed(size));
            let stages =
                Model::load(bundle.clone(), ModelOptions { input, threads: 0, operators, precision })?.stages(size)?;
            stages.image_encoder.network().write(size, &mut file)?;
            stages.mask_decoder.network().write(size, &mut file)?;
        }
        Ok(file.finish(bundle, level.name(), precision.name())?)
    }

    /// Builds the networks for images of size `image`, so that the first of them takes no longer than the next.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn prepare(&self, image: Size) -> Result<()> {
        self.stages(self.input_for(image)).map(drop)
    }

    /// The model's id: its name and the start of its weights' sha256.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// The bundle that it was loaded from.
    pub fn bundle(&self) -> &Bundle {
        &self.inner.bundle
    }

    /// How the input size follows from the image.
    pub fn input_shape(&self) -> InputShape {
        self.inner.input
    }

    /// The input size, in model pixels, for an image of size `image`: of a compiled model, the one that it was made for and that shows the
    /// image largest.
    pub fn input_for(&self, image: Size) -> InputSize {
        match self.inner.sizes.as_slice() {
            [] => self.inner.input.for_image(image),
            sizes => self.inner.input.best_of(sizes, image),
        }
    }

    /// Mean and standard deviation that preprocessing takes out, in grey levels.
    pub fn normalization(&self) -> Normalization {
        self.inner.bundle.normalization()
    }

    /// The pool that all stages compute on.
    pub fn threads(&self) -> &Threads {
        &self.inner.threads
    }

    /// The steps of the image encoder at an input size, each with the median of its times over `rounds` runs on a picture of one
    /// colour; none where tract runs it.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn profile_encoder(&self, size: InputSize, rounds: usize) -> Result<Vec<Layer>> {
        self.stages(size)?.image_encoder.profile(size, rounds)
    }

    /// What runs the image encoder at an input size: what was asked for, or tract where our own operators do not cover it.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn encoder_operators(&self, size: InputSize) -> Result<Operators> {
        Ok(if self.stages(size)?.image_encoder.is_tract() { Operators::Tract } else { self.inner.operators })
    }

    /// The precision in which the image encoder really does most of its arithmetic at an input size: what was asked for, or what the
    /// model, the processor and tract can.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn encoder_precision(&self, size: InputSize) -> Result<Precision> {
        self.stages(size)?.image_encoder.precision()
    }

    /// Multiply-accumulates per second of products that stay in the first-level cache, on as many threads as the model has, in f32 or in
    /// integers; `None` where tract was asked for. What the encoder's rate can be compared with.
    pub fn peak_macs_per_second(&self, precision: Precision) -> Option<f64> {
        let peak = match precision {
            Precision::Int8 => linear_u8::peak_macs_per_second,
            Precision::F32 | Precision::F16 | Precision::F16Arithmetic => linear::peak_macs_per_second,
        };
        match self.inner.operators {
            Operators::Own(level) => Some(self.threads().install(|| peak(level))),
            Operators::Tract => None,
        }
    }

    /// The networks for an input size, built if they are not at hand.
    pub(crate) fn stages(&self, size: InputSize) -> Result<Stages> {
        let inner = &self.inner;
        let lock = || inner.stages.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut kept = lock();
            if let Some(at) = kept.iter().position(|(s, _)| *s == size) {
                kept[..=at].rotate_right(1);
                return Ok(kept[0].1.clone());
            }
        }
        // Not under the lock: a worker that waits inside may take up a run that wants it.
        let run = (inner.operators, inner.precision);
        let image_encoder = ImageEncoder::load(&inner.bundle, size, run, &inner.threads)?;
        let mask_decoder = MaskDecoder::load(&inner.bundle, size, run, &inner.threads)?;
        // The networks have weights of their own.
        inner.bundle.weights().release();
        let stages = Stages { image_encoder, mask_decoder };
        let mut kept = lock();
        kept.retain(|(s, _)| *s != size);
        kept.truncate(Self::KEPT_SIZES - 1);
        kept.insert(0, (size, stages.clone()));
        Ok(stages)
    }

    /// Checks that an embedding comes from this model at the input size that this model has for its image.
    ///
    /// # Errors
    /// `ModelMismatch`, naming both models or both sizes.
    pub fn accepts(&self, embedding: &ImageEmbedding) -> Result<()> {
        let (mine, theirs) = (self.id(), embedding.model_id());
        if mine != theirs {
            return Err(Error::new(
                ErrorKind::ModelMismatch,
                format!("the embedding was made by {theirs}, this model is {mine}: encode the image again"),
            ));
        }
        let input = self.input_for(embedding.image_size());
        let (input, made) = (Size::new(input.width, input.height), embedding.transform().model_size());
        if input != made {
            return Err(Error::new(
                ErrorKind::ModelMismatch,
                format!("the embedding was made at {made}, this model runs at {input}: load it with that input size"),
            ));
        }
        Ok(())
    }
}
