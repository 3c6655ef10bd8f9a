//! [`Store`]: the constants of a network, and its weights as the kernels read them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cutout_kernels::linear::{self, Storage};
use cutout_kernels::{Aligned, Bytes, Shared, depthwise, depthwise_u8, linear_u8};
use cutout_models::onnx::OnnxModel;
use cutout_models::onnx::proto::TensorProto;

use super::description::Description;
use super::quantization::WeightScale;

/// What is known of a value before the graph runs.
#[derive(Clone, Debug)]
pub(crate) enum Constant {
    F32(Shared<f32>),
    Ints(Vec<i64>),
    /// Integers with [scales](Description::scaled).
    I8(Shared<i8>),
    /// Weights whose numbers are there in the layout of the kernels only.
    Packed,
}

/// Constants by name, with their shapes, and packed weights by the names of theirs (and their bias's). All programs of a network
/// share them.
#[derive(Debug)]
pub(crate) struct Store {
    /// How weights of linear maps are packed.
    storage: Storage,
    /// Weights that are not multiplied in f16.
    in_f32: BTreeSet<String>,
    constants: Mutex<BTreeMap<String, (Vec<usize>, Constant)>>,
    packs: Mutex<Packs>,
    /// Names of constants that are not let go, whatever is packed of them.
    plain: Mutex<HashSet<String>>,
}

#[derive(Debug, Default)]
pub(crate) struct Packs {
    pub(crate) linear: BTreeMap<String, linear::Weights>,
    pub(crate) depthwise: BTreeMap<(String, String), Arc<depthwise::Weights>>,
    pub(crate) linear_u8: BTreeMap<String, linear_u8::Weights>,
    pub(crate) depthwise_u8: BTreeMap<String, Arc<depthwise_u8::Weights>>,
}

/// The numbers that a [`Store`] took out of a model.
pub(crate) struct Taken(Vec<Arc<Vec<u8>>>);

impl Taken {
    /// Puts them back.
    pub(crate) fn give_back(self, onnx: &mut OnnxModel) {
        let constants = onnx.proto_mut().graph.iter_mut().flat_map(|g| &mut g.initializer);
        for (constant, numbers) in constants.zip(self.0) {
            constant.raw_data = Arc::try_unwrap(numbers).unwrap_or_else(|held| held.to_vec());
        }
    }
}

impl Store {
    pub(crate) fn new(
        constants: BTreeMap<String, (Vec<usize>, Constant)>,
        packs: Packs,
        storage: Storage,
        in_f32: BTreeSet<String>,
    ) -> Self {
        Store { storage, in_f32, constants: Mutex::new(constants), packs: Mutex::new(packs), plain: Mutex::default() }
    }

    /// Takes the constants of a model out of it, but those that its notes on quantisation alone read; weights of linear maps will be
    /// packed as `storage` says.
    ///
    /// # Errors
    /// Names the constant that is of a type that is not known here, or has another number of elements than its shape says; the
    /// model is as it was then.
    pub(crate) fn take(
        onnx: &mut OnnxModel,
        description: &Description,
        storage: Storage,
        in_f32: BTreeSet<String>,
    ) -> Result<(Self, Taken), String> {
        let graph = onnx.proto_mut().graph.as_mut().ok_or("there is no graph")?;
        let read = description.read();
        let is_read = |tensor: &&mut TensorProto| read.contains(tensor.name.as_str());
        graph.initializer.iter_mut().filter(is_read).try_for_each(|t| check(t, description.scaled.get(&t.name)))?;
        let (mut known, mut taken) = (BTreeMap::new(), Vec::with_capacity(graph.initializer.len()));
        for tensor in &mut graph.initializer {
            let numbers = Arc::new(std::mem::take(&mut tensor.raw_data));
            taken.push(Arc::clone(&numbers));
            if !read.contains(tensor.name.as_str()) {
                continue;
            }
            let constant = match (tensor.data_type, description.scaled.get(&tensor.name)) {
                (TensorProto::FLOAT, _) => Constant::F32(floats(numbers)),
                (TensorProto::INT8, _) => {
                    let range = 0..numbers.len();
                    let bytes = Shared::from_bytes(numbers as Bytes, range);
                    Constant::I8(bytes.ok_or("bytes are bytes wherever they lie")?)
                }
                (TensorProto::INT32, Some(scale)) => Constant::F32(scale.numbers(&shape(tensor), &integers(&numbers))),
                _ => Constant::Ints(numbers.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect()),
            };
            known.insert(tensor.name.clone(), (shape(tensor), constant));
        }
        Ok((Store::new(known, Packs::default(), storage, in_f32), Taken(taken)))
    }

    /// How weights of linear maps are packed, in general.
    pub(crate) fn storage(&self) -> Storage {
        self.storage
    }

    /// Weights that are not multiplied in f16, whatever the others are.
    pub(crate) fn in_f32(&self) -> &BTreeSet<String> {
        &self.in_f32
    }

    /// How weights are packed. Those that are a part of a constant have its name, a space, and which part.
    pub(crate) fn storage_of(name: &str, storage: Storage, in_f32: &BTreeSet<String>) -> Storage {
        let is_of =
            |whole: &String| name.strip_prefix(whole).is_some_and(|part| part.is_empty() || part.starts_with(' '));
        match storage {
            Storage::F16Arithmetic if in_f32.iter().any(is_of) => Storage::F16,
            other => other,
        }
    }

    /// Makes constants of integers that the kernels do not take those of the numbers that they stand for. Their scales have been checked.
    pub(crate) fn take_no_lowest(&self, scaled: &BTreeMap<String, WeightScale>) {
        for (name, (shape, constant)) in self.constants().iter_mut() {
            if let (Constant::I8(integers), Some(scale)) = (&*constant, scaled.get(name))
                && integers.contains(&i8::MIN)
            {
                *constant = Constant::F32(scale.numbers(shape, integers));
            }
        }
    }

    pub(crate) fn constants(&self) -> MutexGuard<'_, BTreeMap<String, (Vec<usize>, Constant)>> {
        self.constants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn packs(&self) -> MutexGuard<'_, Packs> {
        self.packs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the numbers of a constant, whatever is packed of them.
    pub(super) fn keep(&self, name: &str) {
        self.plain.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
    }

    /// Lets go of the numbers of those weights that are packed and that nothing in `plain` names.
    pub(crate) fn forget_packed(&self, plain: &HashSet<&str>) {
        let kept = self.plain.lock().unwrap_or_else(PoisonError::into_inner);
        let packs = self.packs();
        let spread: HashSet<&str> = packs.depthwise.keys().map(|(weight, _)| weight.as_str()).collect();
        for (name, (_, constant)) in self.constants().iter_mut() {
            let packed = packs.linear.contains_key(name)
                || spread.contains(name.as_str())
                || packs.linear_u8.contains_key(name)
                || packs.depthwise_u8.contains_key(name);
            if packed && !plain.contains(name.as_str()) && !kept.contains(name) {
                *constant = Constant::Packed;
            }
        }
    }

    /// The packed `[outputs, inputs]` weights of that name, packed now if they are not yet.
    ///
    /// # Errors
    /// As `pack`; or says that those at hand are of another shape.
    pub(super) fn linear(
        &self,
        name: &str,
        [outputs, inputs]: [usize; 2],
        pack: impl FnOnce(Storage) -> Result<linear::Weights, String>,
    ) -> Result<linear::Weights, String> {
        let mut packs = self.packs();
        let weights = match packs.linear.get(name) {
            Some(weights) => weights.clone(),
            None => {
                let storage = Self::storage_of(name, self.storage, &self.in_f32);
                packs.linear.entry(name.to_owned()).or_insert(pack(storage)?).clone()
            }
        };
        if (weights.outputs(), weights.inputs()) != (outputs, inputs) {
            return Err(format!("the packed weights {name} are not of shape {outputs} x {inputs}"));
        }
        Ok(weights)
    }

    /// Whether weights of that name are packed as integers.
    pub(super) fn has_integers(&self, name: &str) -> bool {
        let packs = self.packs();
        packs.linear_u8.contains_key(name) || packs.depthwise_u8.contains_key(name)
    }

    /// As [`linear`](Self::linear), of integers.
    ///
    /// # Errors
    /// As there.
    pub(super) fn linear_u8(
        &self,
        name: &str,
        [outputs, inputs]: [usize; 2],
        pack: impl FnOnce() -> Result<linear_u8::Weights, String>,
    ) -> Result<linear_u8::Weights, String> {
        let mut packs = self.packs();
        let weights = match packs.linear_u8.get(name) {
            Some(weights) => weights.clone(),
            None => packs.linear_u8.entry(name.to_owned()).or_insert(pack()?).clone(),
        };
        if (weights.outputs(), weights.inputs()) != (outputs, inputs) {
            return Err(format!("the packed weights {name} are not of shape {outputs} x {inputs}"));
        }
        Ok(weights)
    }

    /// As [`linear_u8`](Self::linear_u8), for a depthwise convolution.
    ///
    /// # Errors
    /// As there.
    pub(super) fn depthwise_u8(
        &self,
        name: &str,
        [channels, kernel]: [usize; 2],
        pack: impl FnOnce() -> Result<depthwise_u8::Weights, String>,
    ) -> Result<Arc<depthwise_u8::Weights>, String> {
        let mut packs = self.packs();
        let weights = match packs.depthwise_u8.get(name) {
            Some(weights) => Arc::clone(weights),
            None => Arc::clone(packs.depthwise_u8.entry(name.to_owned()).or_insert(Arc::new(pack()?))),
        };
        if (weights.channels(), weights.kernel()) != (channels, kernel) {
            return Err(format!("the packed weights {name} are not of {channels} channels and kernel {kernel}"));
        }
        Ok(weights)
    }

    /// As [`linear`](Self::linear), for a depthwise convolution, whose bias is packed with its weights.
    ///
    /// # Errors
    /// As `pack`; or says that those at hand are of another shape.
    pub(super) fn depthwise(
        &self,
        weight: &str,
        bias: &str,
        [channels, kernel]: [usize; 2],
        pack: impl FnOnce() -> Result<depthwise::Weights, String>,
    ) -> Result<Arc<depthwise::Weights>, String> {
        let mut packs = self.packs();
        let key = (weight.to_owned(), bias.to_owned());
        let weights = match packs.depthwise.get(&key) {
            Some(weights) => Arc::clone(weights),
            None => Arc::clone(packs.depthwise.entry(key).or_insert(Arc::new(pack()?))),
        };
        if (weights.channels(), weights.kernel()) != (channels, kernel) {
            return Err(format!("the packed weights {weight} are not of {channels} channels and kernel {kernel}"));
        }
        Ok(weights)
    }
}

fn shape(tensor: &TensorProto) -> Vec<usize> {
    tensor.dims.iter().map(|&d| d.max(0) as usize).collect()
}

fn check(tensor: &TensorProto, scale: Option<&WeightScale>) -> Result<(), String> {
    let (size, shape) = match (tensor.data_type, scale) {
        (TensorProto::FLOAT, None) => (size_of::<f32>(), shape(tensor)),
        (TensorProto::INT64, None) => (size_of::<i64>(), shape(tensor)),
        (TensorProto::INT8, Some(_)) => (size_of::<i8>(), shape(tensor)),
        (TensorProto::INT32, Some(_)) => (size_of::<i32>(), shape(tensor)),
        (other, _) => return Err(format!("constant {} is of element type {other}", tensor.name)),
    };
    let bytes = tensor.raw_data.len();
    if bytes != size * shape.iter().product::<usize>() {
        return Err(format!("constant {} has {} elements for shape {shape:?}", tensor.name, bytes / size));
    }
    Ok(())
}

fn integers(bytes: &[u8]) -> Vec<i32> {
    bytes.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b)).collect()
}

/// Little-endian numbers, where they are, or in memory of their own if they start between two numbers.
fn floats(bytes: Arc<Vec<u8>>) -> Shared<f32> {
    let range = 0..bytes.len();
    let in_place = cfg!(target_endian = "little").then(|| Arc::clone(&bytes) as Bytes);
    in_place.and_then(|bytes| Shared::from_bytes(bytes, range)).unwrap_or_else(|| {
        let numbers = bytes.as_chunks().0;
        let mut out = Aligned::zeros(numbers.len());
        out.iter_mut().zip(numbers).for_each(|(out, bytes)| *out = f32::from_le_bytes(*bytes));
        out.into()
    })
}
