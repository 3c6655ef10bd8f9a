//! The elements of constants, wherever a file has them, as `raw_data`.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::proto::TensorProto;
use crate::checkpoint::Storage;
use crate::error::{Error, Result};

/// Files beside the model, by name, and the folder that they are in.
pub(super) struct Beside<'a> {
    folder: Option<&'a Path>,
    files: BTreeMap<String, Storage>,
}

impl<'a> Beside<'a> {
    /// The files of a folder; without one, elements outside the model are refused.
    pub(super) fn new(folder: Option<&'a Path>) -> Self {
        Beside { folder, files: BTreeMap::new() }
    }

    /// Moves the elements of a constant to `raw_data`, and checks that there are as many as its shape says.
    ///
    /// # Errors
    /// `Malformed` if they are not; `Refused` for element types and places that are not read; `Io` if a file cannot be read.
    pub(super) fn settle(&mut self, tensor: &mut TensorProto) -> Result<()> {
        self.settled(tensor).map_err(|e| e.about_tensor(&tensor.name.escape_debug().to_string()))
    }

    fn settled(&mut self, tensor: &mut TensorProto) -> Result<()> {
        let size = element_size(tensor.data_type)
            .ok_or_else(|| Error::refused(format!("element type {} is not read", tensor.data_type)))?;
        let shape = tensor.shape()?;
        let bytes = shape.iter().try_fold(size, |n, d| n.checked_mul(*d));
        if tensor.data_location == Some(TensorProto::EXTERNAL) {
            tensor.raw_data = self.elements_beside(tensor)?;
        } else if tensor.raw_data.is_empty() {
            tensor.raw_data = typed_elements(tensor, size)?;
        }
        (tensor.float_data, tensor.double_data) = (Vec::new(), Vec::new());
        (tensor.int32_data, tensor.int64_data) = (Vec::new(), Vec::new());
        (tensor.external_data, tensor.data_location) = (Vec::new(), None);
        if bytes != Some(tensor.raw_data.len()) {
            let found = tensor.raw_data.len();
            return Err(Error::malformed(format!("shape {shape:?} of {size} bytes each does not fit {found} bytes")));
        }
        Ok(())
    }

    fn elements_beside(&mut self, tensor: &TensorProto) -> Result<Vec<u8>> {
        let entry = |key: &str| tensor.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str());
        let location = entry("location").unwrap_or_default();
        let plain = Path::new(location).file_name().is_some_and(|name| name == location);
        let (Some(folder), true) = (self.folder, plain) else {
            return Err(Error::refused(format!(
                "its elements are in the file {location:?}, not in the model's folder"
            )));
        };
        if !self.files.contains_key(location) {
            self.files.insert(location.into(), Storage::open(&folder.join(location))?);
        }
        let file = &self.files[location];
        let number = |key: &str, otherwise: usize| entry(key).map_or(Some(otherwise), |text| text.parse().ok());
        let part = number("offset", 0).and_then(|start| {
            let length = number("length", file.len().saturating_sub(start))?;
            file.slice(start..start.checked_add(length)?)
        });
        let part = part.ok_or_else(|| Error::malformed(format!("its elements reach outside the file {location:?}")))?;
        Ok(part.bytes()?.to_vec())
    }
}

/// Elements that are not in `raw_data`, as it has them.
fn typed_elements(tensor: &TensorProto, size: usize) -> Result<Vec<u8>> {
    Ok(match tensor.data_type {
        TensorProto::FLOAT => tensor.float_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        TensorProto::DOUBLE => tensor.double_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        TensorProto::INT64 => tensor.int64_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        _ => {
            // Signed and unsigned types alike, and half precision by its bits.
            let bits = 8 * size.min(size_of::<i32>());
            let range = -(1i64 << (bits - 1))..(1i64 << bits);
            if let Some(beyond) = tensor.int32_data.iter().find(|v| !range.contains(&i64::from(**v))) {
                return Err(Error::malformed(format!("{beyond} is no element of {size} bytes")));
            }
            tensor.int32_data.iter().flat_map(|v| v.to_le_bytes().into_iter().take(size)).collect()
        }
    })
}

/// Bytes of an element, by ONNX's number of its type; texts, complex numbers and types of less than a byte have none.
fn element_size(data_type: i32) -> Option<usize> {
    Some(match data_type {
        // uint8, int8, bool
        2 | 3 | 9 => 1,
        // uint16, int16, float16, bfloat16
        4 | 5 | 10 | 16 => 2,
        // float32, int32, uint32
        1 | 6 | 12 => 4,
        // int64, float64, uint64
        7 | 11 | 13 => 8,
        _ => return None,
    })
}
