//! Operators that treat every element alike, and those that only move elements.

use cutout_kernels::SimdLevel;
use cutout_kernels::activation::{self, Activation};
use cutout_kernels::transpose::transpose;
use rayon::prelude::*;

use super::super::super::Precision;
use super::super::nest::{Nest, gather};
use super::super::operation::{Operation, bytes, bytes_mut};
use super::super::view::View;

/// A function of two numbers.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Equal,
}

/// A function of two values, with broadcasting.
pub(in super::super) struct Binary {
    pub(in super::super) op: BinaryOp,
    pub(in super::super) nest: Nest<2>,
}

impl Operation for Binary {
    fn kind(&self) -> &'static str {
        match self.op {
            BinaryOp::Add => "add",
            BinaryOp::Sub => "subtract",
            BinaryOp::Mul => "multiply",
            BinaryOp::Div => "divide",
            BinaryOp::Equal => "equal",
        }
    }

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        match self.op {
            BinaryOp::Add => self.each(inputs, out, |a, b| a + b),
            BinaryOp::Sub => self.each(inputs, out, |a, b| a - b),
            BinaryOp::Mul => self.each(inputs, out, |a, b| a * b),
            BinaryOp::Div => self.each(inputs, out, |a, b| a / b),
            BinaryOp::Equal => self.each(inputs, out, |a, b| f32::from(u8::from(a == b))),
        }
    }
}

impl Binary {
    fn each(&self, inputs: &[&[f32]], out: &mut [f32], f: impl Fn(f32, f32) -> f32 + Sync) {
        let &[a, b] = inputs else { unreachable!("lowering gives two inputs") };
        self.nest.run(out, |[from_a, from_b], steps, out| {
            let (a, b) = (&a[from_a..], &b[from_b..]);
            match steps {
                [1, 1] => out.iter_mut().zip(a).zip(b).for_each(|((o, a), b)| *o = f(*a, *b)),
                [1, 0] => out.iter_mut().zip(a).for_each(|(o, a)| *o = f(*a, b[0])),
                [0, 1] => out.iter_mut().zip(b).for_each(|(o, b)| *o = f(a[0], *b)),
                [p, q] => out.iter_mut().enumerate().for_each(|(i, o)| *o = f(a[i * p], b[i * q])),
            }
        });
    }
}

/// A function of one number.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum UnaryOp {
    Clip(f32, f32),
    Gelu,
    Sin,
    Cos,
}

/// A function of one value.
pub(in super::super) struct Unary {
    pub(in super::super) op: UnaryOp,
    pub(in super::super) level: SimdLevel,
    pub(in super::super) nest: Nest<1>,
}

impl Operation for Unary {
    fn kind(&self) -> &'static str {
        match self.op {
            UnaryOp::Clip(..) => "clip",
            UnaryOp::Gelu => "gelu",
            UnaryOp::Sin => "sine",
            UnaryOp::Cos => "cosine",
        }
    }

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let source = inputs[0];
        let each = |out: &mut [f32], f: &(dyn Fn(f32) -> f32 + Sync)| {
            self.nest.run(out, |[from], [step], out| {
                out.iter_mut().enumerate().for_each(|(i, o)| *o = f(source[from + i * step]));
            });
        };
        match self.op {
            // NaN stays, as in ONNX.
            UnaryOp::Clip(low, high) => each(out, &|v| {
                if v < low {
                    low
                } else if v > high {
                    high
                } else {
                    v
                }
            }),
            UnaryOp::Sin => each(out, &f32::sin),
            UnaryOp::Cos => each(out, &f32::cos),
            UnaryOp::Gelu => self.nest.run(out, |[from], [step], out| {
                gather(source, from, step, out);
                activation::apply(self.level, Activation::Gelu, out);
            }),
        }
    }
}

/// The second or the third value, as the first says.
pub(in super::super) struct Select {
    pub(in super::super) nest: Nest<3>,
}

impl Operation for Select {
    fn kind(&self) -> &'static str {
        "select"
    }

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let &[condition, yes, no] = inputs else { unreachable!("lowering gives three inputs") };
        self.nest.run(out, |from, step, out| {
            for (i, o) in out.iter_mut().enumerate() {
                let at = |k: usize| from[k] + i * step[k];
                *o = if condition[at(0)] != 0.0 { yes[at(1)] } else { no[at(2)] };
            }
        });
    }
}

/// A view, laid out row-major.
pub(in super::super) struct Copy {
    pub(in super::super) level: SimdLevel,
    pub(in super::super) view: View,
}

impl Operation for Copy {
    fn kind(&self) -> &'static str {
        "copy"
    }

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let Some((rows, columns, stride)) = self.view.transposed() else {
            return super::super::copy(inputs[0], &self.view, out);
        };
        // A block of the rows at a time.
        const BLOCK: usize = 256;
        let source = &inputs[0][self.view.offset..];
        out.par_chunks_mut(BLOCK * columns).enumerate().for_each(|(i, out)| {
            let count = BLOCK.min(rows - i * BLOCK);
            transpose(self.level, &source[i * BLOCK..], stride, [columns, count], out, columns);
        });
    }
}

/// Several values behind one another: of each an offset, and the elements that it gives in turn.
pub(in super::super) struct Concat {
    pub(in super::super) parts: Vec<(usize, usize)>,
}

impl Operation for Concat {
    fn kind(&self) -> &'static str {
        "concatenate"
    }

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let row: usize = self.parts.iter().map(|(_, run)| run).sum();
        for (turn, mut out) in out.chunks_exact_mut(row).enumerate() {
            for ((offset, run), source) in self.parts.iter().zip(inputs) {
                let (part, rest) = out.split_at_mut(*run);
                part.copy_from_slice(&source[offset + turn * run..offset + (turn + 1) * run]);
                out = rest;
            }
        }
    }
}

/// What a [`Pad`] writes.
pub(in super::super) enum Target {
    Numbers,
    /// That many, of which one stands for zero.
    Bytes {
        zero: u8,
        length: usize,
    },
}

/// A value with zeros around it.
pub(in super::super) struct Pad {
    pub(in super::super) source: View,
    /// Of the output.
    pub(in super::super) strides: Vec<usize>,
    /// Where the first element goes.
    pub(in super::super) start: usize,
    pub(in super::super) target: Target,
}

impl Operation for Pad {
    fn kind(&self) -> &'static str {
        "pad"
    }

    fn precision(&self) -> Precision {
        match self.target {
            Target::Numbers => Precision::F32,
            Target::Bytes { .. } => Precision::Int8,
        }
    }

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        match self.target {
            Target::Numbers => self.pad(inputs[0], 0.0, out),
            Target::Bytes { zero, length } => self.pad(bytes(inputs[0]), zero, bytes_mut(out, length)),
        }
    }
}

impl Pad {
    fn pad<E: std::marker::Copy>(&self, source: &[E], zero: E, out: &mut [E]) {
        out.fill(zero);
        if self.source.len() == 0 {
            return;
        }
        let View { shape, strides, offset } = &self.source;
        let last = shape.len() - 1;
        let mut indices = vec![0; last];
        'rows: loop {
            let place = |start: usize, strides: &[usize]| {
                start + indices.iter().zip(strides).map(|(i, s)| i * s).sum::<usize>()
            };
            let (from, to) = (place(*offset, strides), place(self.start, &self.strides));
            out[to..to + shape[last]].copy_from_slice(&source[from..from + shape[last]]);
            for axis in (0..last).rev() {
                indices[axis] += 1;
                if indices[axis] < shape[axis] {
                    continue 'rows;
                }
                indices[axis] = 0;
            }
            return;
        }
    }
}
