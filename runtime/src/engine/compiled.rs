//! Networks of compiled models: what is stored of one, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use cutout_kernels::linear;
use cutout_kernels::{Bytes, Shared, SimdLevel, depthwise, depthwise_u8, linear_u8};
use cutout_models::arch::InputSize;
use cutout_models::compiled::{CompiledModel, CompiledWriter, Part};
use serde::{Deserialize, Serialize};

use super::own::Own;
use super::program::{Constant, Description, Packs, Store};
use super::{Inputs, Operators, Precision};
use crate::error::{Error, ErrorKind, Result};

/// A network without its numbers, which are parts of the file.
#[derive(Serialize, Deserialize)]
struct Stored {
    graph: Description,
    constants: BTreeMap<String, StoredConstant>,
    linear: Vec<StoredLinear>,
    depthwise: Vec<StoredDepthwise>,
    /// Of integers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    linear_u8: Vec<StoredIntegers>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    depthwise_u8: Vec<StoredIntegers>,
    /// Weights that are not multiplied in f16.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    in_f32: BTreeSet<String>,
}

#[derive(Serialize, Deserialize)]
struct StoredConstant {
    shape: Vec<usize>,
    values: Numbers,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Numbers {
    F32(Part),
    Ints(Vec<i64>),
    I8(Part),
    /// They are among the packed weights.
    Packed,
}

#[derive(Serialize, Deserialize)]
struct StoredLinear {
    weight: String,
    outputs: usize,
    inputs: usize,
    panels: Part,
}

#[derive(Serialize, Deserialize)]
struct StoredDepthwise {
    weight: String,
    bias: String,
    channels: usize,
    kernel: usize,
    taps: Part,
    biases: Part,
}

/// Outputs and inputs of a linear map, channels and kernel of a depthwise convolution.
#[derive(Serialize, Deserialize)]
struct StoredIntegers {
    weight: String,
    shape: [usize; 2],
    panels: Part,
}

impl Own {
    /// Adds the network to a file.
    ///
    /// # Errors
    /// `Io` if it cannot be written.
    pub(super) fn write(&self, name: &str, input: InputSize, file: &mut CompiledWriter) -> Result<()> {
        let numbers = |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|v| v.to_le_bytes()).collect() };
        let mut constants = BTreeMap::new();
        for (name, (shape, constant)) in self.store.constants().iter() {
            let values = match constant {
                Constant::F32(values) => Numbers::F32(file.add(&numbers(values))?),
                Constant::Ints(values) => Numbers::Ints(values.clone()),
                Constant::I8(values) => Numbers::I8(file.add(bytemuck::cast_slice(values))?),
                Constant::Packed => Numbers::Packed,
            };
            constants.insert(name.clone(), StoredConstant { shape: shape.clone(), values });
        }
        let packs = self.store.packs();
        let mut linear = Vec::with_capacity(packs.linear.len());
        for (weight, weights) in &packs.linear {
            let (outputs, inputs) = (weights.outputs(), weights.inputs());
            let panels = file.add(weights.as_bytes())?;
            linear.push(StoredLinear { weight: weight.clone(), outputs, inputs, panels });
        }
        let mut depthwise = Vec::with_capacity(packs.depthwise.len());
        for ((weight, bias), weights) in &packs.depthwise {
            let (taps, biases) = weights.parts();
            depthwise.push(StoredDepthwise {
                weight: weight.clone(),
                bias: bias.clone(),
                channels: weights.channels(),
                kernel: weights.kernel(),
                taps: file.add(&numbers(taps))?,
                biases: file.add(&numbers(biases))?,
            });
        }
        let mut integers = |weight: &str, shape, bytes: &[u8]| {
            Ok::<_, Error>(StoredIntegers { weight: weight.to_owned(), shape, panels: file.add(bytes)? })
        };
        let of_linear = packs.linear_u8.iter().map(|(name, w)| integers(name, [w.outputs(), w.inputs()], w.as_bytes()));
        let linear_u8 = of_linear.collect::<Result<_>>()?;
        let spread = packs.depthwise_u8.iter();
        let depthwise_u8 = spread.map(|(name, w)| integers(name, [w.channels(), w.kernel()], w.as_bytes()));
        let depthwise_u8 = depthwise_u8.collect::<Result<_>>()?;
        drop(packs);
        let in_f32 = self.store.in_f32().clone();
        let stored =
            Stored { graph: self.graph.clone(), constants, linear, depthwise, linear_u8, depthwise_u8, in_f32 };
        let text = serde_json::to_vec(&stored)
            .map_err(|e| Error::new(ErrorKind::Engine, format!("cannot write the {name}")).with_source(e))?;
        Ok(file.add_network(name, input, &text)?)
    }

    /// A network of a compiled model, whose numbers are used where they lie.
    ///
    /// # Errors
    /// `ModelMismatch` if the model was not made for that input size, naming those that it was made for; `Malformed` if what is stored
    /// cannot be what was written.
    pub(super) fn open(
        model: &Arc<CompiledModel>,
        name: &str,
        input: InputSize,
        inputs: Inputs<'_>,
        (level, precision): (SimdLevel, Precision),
    ) -> Result<Self> {
        let damaged = |what: &str| Error::from(model.damaged(&format!("its {name} for {input}: {what}")));
        let text = model.network(name, input)?.ok_or_else(|| wrong_size(model, input))?;
        let stored: Stored = serde_json::from_slice(text).map_err(|e| damaged(&e.to_string()))?;
        let bytes = |part: Part| -> Option<(Bytes, Range<usize>)> { Some((Arc::clone(model) as Bytes, part.range()?)) };
        let floats = |part: Part| {
            let (bytes, range) = bytes(part)?;
            Shared::<f32>::from_bytes(bytes, range)
        };
        let outside = || damaged("numbers lie outside the file, or are too many or too few");
        let mut constants = BTreeMap::new();
        for (name, StoredConstant { shape, values }) in stored.constants {
            let elements = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
            let (constant, count) = match values {
                Numbers::F32(part) => {
                    let values = floats(part).ok_or_else(outside)?;
                    let count = values.len();
                    (Constant::F32(values), Some(count))
                }
                Numbers::Ints(values) => {
                    let count = values.len();
                    (Constant::Ints(values), Some(count))
                }
                Numbers::I8(part) => {
                    let (bytes, range) = bytes(part).ok_or_else(outside)?;
                    let values = Shared::<i8>::from_bytes(bytes, range).ok_or_else(outside)?;
                    let count = values.len();
                    (Constant::I8(values), Some(count))
                }
                Numbers::Packed => (Constant::Packed, elements),
            };
            if count.is_none() || count != elements {
                return Err(outside());
            }
            constants.insert(name, (shape, constant));
        }
        let mut packs = Packs::default();
        for StoredLinear { weight, outputs, inputs, panels } in stored.linear {
            let (bytes, range) = bytes(panels).ok_or_else(outside)?;
            let storage = Store::storage_of(&weight, precision.storage(), &stored.in_f32);
            let weights = linear::Weights::from_bytes(level, (outputs, inputs), storage, bytes, range);
            packs.linear.insert(weight, weights.ok_or_else(outside)?);
        }
        for StoredDepthwise { weight, bias, channels, kernel, taps, biases } in stored.depthwise {
            let (taps, biases) = (floats(taps).ok_or_else(outside)?, floats(biases).ok_or_else(outside)?);
            let weights = depthwise::Weights::from_parts(level, channels, kernel, taps, biases);
            packs.depthwise.insert((weight, bias), Arc::new(weights.ok_or_else(outside)?));
        }
        for StoredIntegers { weight, shape: [outputs, inputs], panels } in stored.linear_u8 {
            let (bytes, range) = bytes(panels).ok_or_else(outside)?;
            let weights = linear_u8::Weights::from_bytes(level, (outputs, inputs), bytes, range);
            packs.linear_u8.insert(weight, weights.ok_or_else(outside)?);
        }
        for StoredIntegers { weight, shape: [channels, kernel], panels } in stored.depthwise_u8 {
            let (bytes, range) = bytes(panels).ok_or_else(outside)?;
            let weights = depthwise_u8::Weights::from_bytes(level, (channels, kernel), bytes, range);
            packs.depthwise_u8.insert(weight, Arc::new(weights.ok_or_else(outside)?));
        }
        let store = Store::new(constants, packs, precision.storage(), stored.in_f32);
        Own::of(stored.graph, store, inputs, level).map_err(|why| damaged(&why))
    }
}

/// The error for an input size that a compiled model was not made for.
pub(crate) fn wrong_size(model: &CompiledModel, input: InputSize) -> Error {
    let sizes: Vec<String> = model.sizes().iter().map(InputSize::to_string).collect();
    Error::new(
        ErrorKind::ModelMismatch,
        format!(
            "{} was compiled for inputs of {} (height x width), not of {input}: choose one of them, or make it again with \
             `cutout models compile --size {input}`",
            model.path().display(),
            sizes.join(", ")
        ),
    )
}

/// The SIMD level of a compiled model, if it and the precision are those that its networks are to be run at.
///
/// # Errors
/// `ModelMismatch`, naming both.
pub(crate) fn level_of(model: &CompiledModel, operators: Operators, precision: Precision) -> Result<SimdLevel> {
    let (file, made_for) = (model.path().display(), model.level());
    if precision.name() != model.precision() {
        let made_in = model.precision();
        let what = format!(
            "{file} was compiled in {made_in}, not in {precision}: choose `--precision {made_in}`, or make it again with `cutout models \
             compile --precision {precision}`"
        );
        return Err(Error::new(ErrorKind::ModelMismatch, what));
    }
    let what = match operators {
        Operators::Own(level) if level.name() == made_for => return Ok(level),
        Operators::Own(level) => format!(
            "{file} was compiled for {made_for}, which is not what runs here, {level}: make it again with `cutout models compile \
             --operators {level}`, or choose `--operators {made_for}` if this processor has it"
        ),
        Operators::Tract => {
            format!("{file} was compiled for {made_for}, tract runs plain models only: name the model itself")
        }
    };
    Err(Error::new(ErrorKind::ModelMismatch, what))
}
