//! The operators, over the kernels.

mod attention;
mod bytes;
mod bytes_attention;
mod elementwise;
mod integers;
mod inverted_residual;
mod maps;
mod products;
mod projections;

pub(super) use attention::{Attention, Bias};
pub(super) use bytes::{
    AddBytes, CopyBytes, Dequantize, Interleave, LayerNormBytes, Levels, MapBytes, MeanPoolBytes, PIXEL, Quantize, by,
};
pub(super) use bytes_attention::ByteAttention;
pub(super) use elementwise::{Binary, BinaryOp, Concat, Copy, Pad, Select, Target, Unary, UnaryOp};
pub(super) use integers::{ByteConvolution, ByteDepthwise, ByteLinear, ByteMap, ByteSource, ByteStages, Finish, Sums};
pub(super) use inverted_residual::{FloatStages, InvertedResidual};
pub(super) use maps::{Depthwise, LayerNorm, MeanPool, Softmax};
pub(super) use products::{Convolution, Linear, Product, RowMap, Source};
pub(super) use projections::{FewKeys, FewQueries};
