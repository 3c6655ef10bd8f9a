//! The operators, over the kernels.

mod attention;
mod elementwise;
mod inverted_residual;
mod maps;
mod products;
mod projections;

pub(super) use attention::{Attention, Bias};
pub(super) use elementwise::{Binary, BinaryOp, Concat, Copy, Pad, Select, Unary, UnaryOp};
pub(super) use inverted_residual::InvertedResidual;
pub(super) use maps::{Depthwise, LayerNorm, MeanPool, Softmax};
pub(super) use products::{Convolution, Linear, Product, RowMap, Source};
pub(super) use projections::{FewKeys, FewQueries};
