//! The closed set of names that a pickle may use, and what calling them means.
//!
//! Nothing is looked up or run: each name stands for one description, see `torch/_utils.py` and
//! `persistent_id` in `torch/serialization.py` of PyTorch for the arguments.

use super::pickle::{Id, Object};
use super::refusal::named;
use super::tensor::{Dtype, MAX_RANK};
use crate::error::{Error, Result};

/// A name that a checkpoint may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Global {
    /// `collections.OrderedDict`.
    OrderedDict,
    /// `torch._utils._rebuild_tensor`: storage, offset, size, stride.
    RebuildTensor,
    /// `torch._utils._rebuild_tensor_v2`: as above, then requires_grad, backward hooks, metadata.
    RebuildTensorV2,
    /// `torch._utils._rebuild_parameter`: tensor, requires_grad, backward hooks.
    RebuildParameter,
    /// A storage class such as `torch.FloatStorage`.
    Storage(Dtype),
}

/// What a persistent id names: elements in an entry of the archive.
#[derive(Debug)]
pub(crate) struct StorageRef<'a> {
    pub(crate) dtype: Dtype,
    /// Name of the entry below `data/`.
    pub(crate) key: &'a str,
    /// Number of elements.
    pub(crate) count: usize,
}

/// A tensor as the pickle describes it: a view of a storage.
#[derive(Debug)]
pub(crate) struct TensorRef {
    pub(crate) storage: Id,
    pub(crate) offset: usize,
    pub(crate) shape: Vec<usize>,
    pub(crate) strides: Vec<usize>,
}

impl Global {
    /// Looks a name up in the closed set.
    ///
    /// # Errors
    /// `Refused`, naming it, if it is any other.
    pub(crate) fn resolve(module: &str, name: &str) -> Result<Self> {
        Ok(match (module, name) {
            ("collections", "OrderedDict") => Global::OrderedDict,
            ("torch._utils", "_rebuild_tensor") => Global::RebuildTensor,
            ("torch._utils", "_rebuild_tensor_v2") => Global::RebuildTensorV2,
            ("torch._utils", "_rebuild_parameter") => Global::RebuildParameter,
            ("torch", "DoubleStorage") => Global::Storage(Dtype::F64),
            ("torch", "FloatStorage") => Global::Storage(Dtype::F32),
            ("torch", "HalfStorage") => Global::Storage(Dtype::F16),
            ("torch", "BFloat16Storage") => Global::Storage(Dtype::Bf16),
            ("torch", "LongStorage") => Global::Storage(Dtype::I64),
            ("torch", "IntStorage") => Global::Storage(Dtype::I32),
            ("torch", "ShortStorage") => Global::Storage(Dtype::I16),
            ("torch", "CharStorage") => Global::Storage(Dtype::I8),
            ("torch", "ByteStorage") => Global::Storage(Dtype::U8),
            ("torch", "BoolStorage") => Global::Storage(Dtype::Bool),
            _ => return Err(named(module, name)),
        })
    }
}

/// What a call gives.
pub(crate) enum Called<'a> {
    /// A new object.
    New(Object<'a>),
    /// One of the arguments.
    Same(Id),
}

/// Calls a known callable.
///
/// # Errors
/// `Malformed` if the arguments are not those that torch writes, `Refused` if `callable` is a class
/// that is only ever named.
pub(crate) fn call<'a>(objects: &[Object<'a>], callable: Global, arguments: &[Id]) -> Result<Called<'a>> {
    let get = |id: Id| &objects[id as usize];
    match (callable, arguments) {
        (Global::OrderedDict, []) => Ok(Called::New(Object::Dict { ordered: true, entries: Vec::new() })),
        (Global::RebuildTensor, [storage, offset, shape, strides])
        | (Global::RebuildTensorV2, [storage, offset, shape, strides, _, _]) => {
            tensor(objects, *storage, *offset, *shape, *strides).map(Called::New)
        }
        (Global::RebuildTensorV2, [storage, offset, shape, strides, _, _, metadata]) => match get(*metadata) {
            Object::None => tensor(objects, *storage, *offset, *shape, *strides).map(Called::New),
            Object::Dict { entries, .. } if entries.is_empty() => {
                tensor(objects, *storage, *offset, *shape, *strides).map(Called::New)
            }
            _ => Err(Error::malformed("a tensor is a negated or conjugated view; save a plain copy of it")),
        },
        (Global::RebuildParameter, [data, _, _]) if matches!(get(*data), Object::Tensor(_)) => Ok(Called::Same(*data)),
        (Global::Storage(_), _) => Err(Error::refused("the pickle constructs a storage by itself")),
        _ => Err(Error::malformed(format!("the arguments of {callable:?} are not those that torch.save writes"))),
    }
}

fn tensor<'a>(objects: &[Object<'a>], storage: Id, offset: Id, shape: Id, strides: Id) -> Result<Object<'a>> {
    let get = |id: Id| &objects[id as usize];
    let size = |id: Id| match get(id) {
        Object::Int(n) => usize::try_from(*n).ok(),
        _ => None,
    };
    let sizes = |id: Id| match get(id) {
        // One long tuple may serve many tensors: its length is checked before it is copied.
        Object::Tuple(items) if items.len() <= MAX_RANK => items.iter().map(|i| size(*i)).collect::<Option<Vec<_>>>(),
        _ => None,
    };
    let parts = match get(storage) {
        Object::Storage(_) => size(offset).zip(sizes(shape).zip(sizes(strides))),
        _ => None,
    };
    let Some((offset, (shape, strides))) = parts else {
        return Err(Error::malformed("a tensor's storage, offset, size or stride is not one that torch.save writes"));
    };
    Ok(Object::Tensor(Box::new(TensorRef { storage, offset, shape, strides })))
}

/// Resolves a persistent id: `("storage", class, key, location, count)`.
///
/// # Errors
/// `Malformed` if it has another form.
pub(crate) fn persistent<'a>(objects: &[Object<'a>], id: Id) -> Result<Object<'a>> {
    let get = |id: &Id| &objects[*id as usize];
    if let Object::Tuple(items) = get(&id)
        && let [kind, class, key, location, count] = items.as_slice()
        && let (Object::Str("storage"), Object::Str(key), Object::Str(_)) = (get(kind), get(key), get(location))
        && let (Object::Global(Global::Storage(dtype)), Object::Int(count)) = (get(class), get(count))
        && let Ok(count) = usize::try_from(*count)
    {
        return Ok(Object::Storage(Box::new(StorageRef { dtype: *dtype, key, count })));
    }
    Err(Error::malformed("a persistent id is not a storage that torch.save writes"))
}
