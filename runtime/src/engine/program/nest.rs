//! [`Nest`]: loops over the elements of several strided operands at once.

use rayon::prelude::*;

/// Elements below which a loop is not worth splitting over threads.
const PARALLEL: usize = 1 << 15;

/// Loops over `shape`, row-major, with one stride per dimension for each of `N` operands; the output lies row-major. Dimensions that
/// every operand passes evenly are one.
#[derive(Clone, Debug)]
pub(super) struct Nest<const N: usize> {
    /// All but the last dimension.
    outer: Vec<(usize, [usize; N])>,
    inner: usize,
    step: [usize; N],
    start: [usize; N],
}

impl<const N: usize> Nest<N> {
    pub(super) fn new(shape: &[usize], strides: [&[usize]; N], start: [usize; N]) -> Self {
        let mut dims: Vec<(usize, [usize; N])> = Vec::with_capacity(shape.len() + 1);
        for (i, &size) in shape.iter().enumerate().filter(|(_, size)| **size != 1) {
            let step = strides.map(|s| s[i]);
            match dims.last_mut() {
                Some((outer, outer_step)) if (0..N).all(|k| outer_step[k] == size * step[k]) => {
                    (*outer, *outer_step) = (*outer * size, step);
                }
                _ => dims.push((size, step)),
            }
        }
        let (inner, step) = dims.pop().unwrap_or((1, [0; N]));
        Nest { outer: dims, inner, step, start }
    }

    /// Calls `row(offsets, steps, out)` for each innermost run of the output, on the current rayon pool where there is much to do.
    pub(super) fn run<E: Send>(&self, out: &mut [E], row: impl Fn([usize; N], [usize; N], &mut [E]) + Sync) {
        if out.is_empty() {
            return;
        }
        let rows = out.len() / self.inner;
        let block = if out.len() < PARALLEL { rows } else { (PARALLEL / 4 / self.inner).max(1) };
        let work = |(index, out): (usize, &mut [E])| {
            let mut place = self.place(index * block);
            for out in out.chunks_exact_mut(self.inner) {
                row(place.1, self.step, out);
                self.advance(&mut place);
            }
        };
        if block >= rows {
            work((0, out));
        } else {
            out.par_chunks_mut(block * self.inner).enumerate().for_each(work);
        }
    }

    /// Indices and offsets of the `n`-th run.
    fn place(&self, mut n: usize) -> (Vec<usize>, [usize; N]) {
        let mut offsets = self.start;
        let mut indices = vec![0; self.outer.len()];
        for (index, (size, step)) in indices.iter_mut().zip(&self.outer).rev() {
            *index = n % size;
            n /= size;
            for k in 0..N {
                offsets[k] += *index * step[k];
            }
        }
        (indices, offsets)
    }

    fn advance(&self, (indices, offsets): &mut (Vec<usize>, [usize; N])) {
        for (index, (size, step)) in indices.iter_mut().zip(&self.outer).rev() {
            *index += 1;
            if *index < *size {
                for k in 0..N {
                    offsets[k] += step[k];
                }
                return;
            }
            for k in 0..N {
                offsets[k] -= (*size - 1) * step[k];
            }
            *index = 0;
        }
    }
}

/// Copies a run of elements, every `step`-th from `from` on.
pub(super) fn gather<E: Copy>(source: &[E], from: usize, step: usize, out: &mut [E]) {
    match step {
        1 => out.copy_from_slice(&source[from..from + out.len()]),
        _ => out.iter_mut().enumerate().for_each(|(i, o)| *o = source[from + i * step]),
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::View;
    use super::*;

    #[test]
    fn a_nest_visits_every_element_once_and_in_order() {
        let source: Vec<f32> = (0..2 * 3 * 4 * 5).map(|v| v as f32).collect();
        let view = View::contiguous(&[2, 3, 4, 5]).permuted(&[2, 0, 3, 1]);
        let nest = Nest::new(&view.shape, [&view.strides], [0]);
        let mut out = vec![-1.0; source.len()];
        nest.run(&mut out, |[from], [step], out| {
            out.iter_mut().enumerate().for_each(|(i, o)| *o = source[from + i * step]);
        });
        let mut expected = Vec::new();
        for c in 0..4 {
            for a in 0..2 {
                for d in 0..5 {
                    expected.extend((0..3).map(|b| (((a * 3 + b) * 4 + c) * 5 + d) as f32));
                }
            }
        }
        assert_eq!(out, expected);
    }

    #[test]
    fn large_nests_are_split_without_a_seam() {
        let (h, w) = (301, 257);
        let source: Vec<f32> = (0..h * w).map(|v| v as f32).collect();
        let view = View::contiguous(&[h, w]).permuted(&[1, 0]);
        let nest = Nest::new(&view.shape, [&view.strides], [0]);
        let mut out = vec![-1.0; h * w];
        nest.run(&mut out, |[from], [step], out| {
            out.iter_mut().enumerate().for_each(|(i, o)| *o = source[from + i * step]);
        });
        assert!((0..h * w).all(|i| out[i] == source[(i % h) * w + i / h]));
    }
}
