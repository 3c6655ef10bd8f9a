//! Checkpoints: named tensors on disk, read by memory map, never executed.
//!
//! [`StateDict::open`] reads what `torch.save` writes (a zip archive of a pickle and raw storages) and
//! `.safetensors`. The pickle is interpreted by a machine with a closed set of opcodes and a closed set
//! of names, so that a hostile file can do nothing but fail with an error.

mod int8;
mod pickle;
mod rebuild;
mod refusal;
mod safetensors;
mod state_dict;
mod storage;
mod tensor;
mod torch;

pub use int8::ChannelScales;
pub(crate) use int8::{is_scale, quantized, runs};
pub use safetensors::write_safetensors;
pub use state_dict::StateDict;
pub(crate) use storage::Storage;
pub use tensor::{Dtype, TensorData};
