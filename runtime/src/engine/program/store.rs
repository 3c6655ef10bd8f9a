//! [`Store`]: the constants of a network, and its weights as the kernels read them.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cutout_kernels::linear::{self, Storage};
use cutout_kernels::{Aligned, Bytes, Shared, depthwise};
use cutout_models::onnx::OnnxModel;
use cutout_models::onnx::proto::TensorProto;

/// What is known of a value before the graph runs.
#[derive(Clone, Debug)]
pub(crate) enum Constant {
    F32(Shared<f32>),
    Ints(Vec<i64>),
    /// Weights whose numbers are there in the layout of the kernels only.
    Packed,
}

/// Constants by name, with their shapes, and packed weights by the names of theirs (and their bias's). All programs of a network
/// share them.
#[derive(Debug)]
pub(crate) struct Store {
    /// How weights of linear maps are packed.
    storage: Storage,
    constants: Mutex<BTreeMap<String, (Vec<usize>, Constant)>>,
    packs: Mutex<Packs>,
    /// Names of constants that are not let go, whatever is packed of them.
    plain: Mutex<HashSet<String>>,
}

#[derive(Debug, Default)]
pub(crate) struct Packs {
    pub(crate) linear: BTreeMap<String, linear::Weights>,
    pub(crate) depthwise: BTreeMap<(String, String), Arc<depthwise::Weights>>,
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
    pub(crate) fn new(constants: BTreeMap<String, (Vec<usize>, Constant)>, packs: Packs, storage: Storage) -> Self {
        Store { storage, constants: Mutex::new(constants), packs: Mutex::new(packs), plain: Mutex::default() }
    }

    /// Takes the constants of a model out of it; weights of linear maps will be packed as `storage` says.
    ///
    /// # Errors
    /// Names the constant that is of another type than float32 and int64, or has another number of elements than its shape says; the
    /// model is as it was then.
    pub(crate) fn take(onnx: &mut OnnxModel, storage: Storage) -> Result<(Self, Taken), String> {
        let graph = onnx.proto_mut().graph.as_mut().ok_or("there is no graph")?;
        graph.initializer.iter().try_for_each(check)?;
        let (mut known, mut taken) = (BTreeMap::new(), Vec::with_capacity(graph.initializer.len()));
        for tensor in &mut graph.initializer {
            let numbers = Arc::new(std::mem::take(&mut tensor.raw_data));
            taken.push(Arc::clone(&numbers));
            let constant = match tensor.data_type {
                TensorProto::FLOAT => Constant::F32(floats(numbers)),
                _ => Constant::Ints(numbers.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect()),
            };
            known.insert(tensor.name.clone(), (shape(tensor), constant));
        }
        Ok((Store::new(known, Packs::default(), storage), Taken(taken)))
    }

    /// How weights of linear maps are packed.
    pub(crate) fn storage(&self) -> Storage {
        self.storage
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
            let packed = packs.linear.contains_key(name) || spread.contains(name.as_str());
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
            None => packs.linear.entry(name.to_owned()).or_insert(pack(self.storage)?).clone(),
        };
        if (weights.outputs(), weights.inputs()) != (outputs, inputs) {
            return Err(format!("the packed weights {name} are not of shape {outputs} x {inputs}"));
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

fn check(tensor: &TensorProto) -> Result<(), String> {
    let (size, shape) = match tensor.data_type {
        TensorProto::FLOAT => (size_of::<f32>(), shape(tensor)),
        TensorProto::INT64 => (size_of::<i64>(), shape(tensor)),
        other => return Err(format!("constant {} is of element type {other}", tensor.name)),
    };
    let bytes = tensor.raw_data.len();
    if bytes != size * shape.iter().product::<usize>() {
        return Err(format!("constant {} has {} elements for shape {shape:?}", tensor.name, bytes / size));
    }
    Ok(())
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
