//! Operators on values in bytes that are no products.

use cutout_kernels::SimdLevel;
use cutout_kernels::add_u8::{Term, add_u8};
use cutout_kernels::convolution::Planes;
use cutout_kernels::layer_norm_u8::{Norm, layer_norm_u8, layer_norm_u8_to_f32};
use cutout_kernels::mean_u8::mean_u8;
use cutout_kernels::requantize::{self, Clamp, Table};
use rayon::prelude::*;

use super::super::super::Precision;
use super::super::nest::{Nest, gather};
use super::super::operation::{Operation, bytes, bytes_mut};
use super::super::quantization::Quantization;
use super::super::view::{Rows, View};

/// Bytes of a task for another thread.
const BLOCK: usize = 1 << 14;

/// All bytes of a tensor are allowed.
fn whole(zero: u8) -> Clamp {
    Clamp { zero, low: 0, high: u8::MAX }
}

/// From numbers to bytes.
pub(in super::super) struct Quantize {
    pub(in super::super) level: SimdLevel,
    pub(in super::super) quantization: Quantization,
    pub(in super::super) nest: Nest<1>,
    pub(in super::super) length: usize,
}

impl Operation for Quantize {
    fn kind(&self) -> &'static str {
        "quantize"
    }

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let (source, Quantization { scale, zero }) = (inputs[0], self.quantization);
        self.nest.run(bytes_mut(out, self.length), |[from], [step], out| match step {
            1 => requantize::quantize(self.level, &source[from..from + out.len()], scale, zero, out),
            _ => out.iter_mut().enumerate().for_each(|(i, o)| *o = self.quantization.byte(source[from + i * step])),
        });
    }
}

/// From bytes to numbers.
pub(in super::super) struct Dequantize {
    pub(in super::super) level: SimdLevel,
    pub(in super::super) quantization: Quantization,
    pub(in super::super) nest: Nest<1>,
}

impl Operation for Dequantize {
    fn kind(&self) -> &'static str {
        "dequantize"
    }

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let (source, Quantization { scale, zero }) = (bytes(inputs[0]), self.quantization);
        self.nest.run(out, |[from], [step], out| match step {
            1 => requantize::dequantize(self.level, &source[from..from + out.len()], scale, zero, out),
            _ => out.iter_mut().enumerate().for_each(|(i, o)| *o = self.quantization.number(source[from + i * step])),
        });
    }
}

/// A function of one value, as a table.
pub(in super::super) struct MapBytes {
    pub(in super::super) level: SimdLevel,
    pub(in super::super) table: Box<Table>,
    pub(in super::super) nest: Nest<1>,
    pub(in super::super) length: usize,
}

impl Operation for MapBytes {
    fn kind(&self) -> &'static str {
        "table"
    }

    fn precision(&self) -> Precision {
        Precision::Int8
    }

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let source = bytes(inputs[0]);
        self.nest.run(bytes_mut(out, self.length), |[from], [step], out| {
            gather(source, from, step, out);
            requantize::map(self.level, &self.table, out);
        });
    }
}

/// A view of bytes, laid out row-major.
pub(in super::super) struct CopyBytes {
    pub(in super::super) view: View,
}

impl Operation for CopyBytes {
    fn kind(&self) -> &'static str {
        "copy"
    }

    fn precision(&self) -> Precision {
        Precision::Int8
    }

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        super::super::copy(bytes(inputs[0]), &self.view, bytes_mut(out, self.view.len()));
    }
}

/// A sum of two values, with broadcasting.
pub(in super::super) struct AddBytes {
    pub(in super::super) level: SimdLevel,
    pub(in super::super) operands: [Quantization; 2],
    pub(in super::super) out: Quantization,
    pub(in super::super) nest: Nest<2>,
    pub(in super::super) length: usize,
}

impl Operation for AddBytes {
    fn kind(&self) -> &'static str {
        "add"
    }

    fn precision(&self) -> Precision {
        Precision::Int8
    }

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let sources = [bytes(inputs[0]), bytes(inputs[1])];
        let clamp = whole(self.out.zero);
        let multipliers = self.operands.map(|q| by(q.scale, self.out.scale));
        self.nest.run(bytes_mut(out, self.length), |from, steps, out| {
            // Bytes that do not lie side by side are brought there first.
            let mut gathered = [Vec::new(), Vec::new()];
            for i in (0..2).filter(|i| steps[*i] != 1) {
                gathered[i].resize(out.len(), 0);
                gather(sources[i], from[i], steps[i], &mut gathered[i]);
            }
            let [left, right] = [0, 1].map(|i| {
                let side_by_side = steps[i] == 1;
                let values = if side_by_side { &sources[i][from[i]..from[i] + out.len()] } else { &gathered[i] };
                Term { values, zero: self.operands[i].zero, multiplier: multipliers[i] }
            });
            add_u8(self.level, &left, &right, &clamp, out);
        });
    }
}

/// A scale by another, as requantisation multiplies with it.
pub(in super::super) fn by(scale: f32, other: f32) -> f32 {
    (f64::from(scale) / f64::from(other)) as f32
}

/// Layer normalisation of rows of bytes, to bytes or to numbers.
pub(in super::super) struct LayerNormBytes {
    level: SimdLevel,
    rows: Rows,
    scale: f32,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    epsilon: f32,
    /// The result's zero point, where it is in bytes.
    zero: Option<u8>,
}

impl LayerNormBytes {
    pub(in super::super) fn new(
        level: SimdLevel,
        (rows, input): (Rows, Quantization),
        (gamma, beta): (&[f32], &[f32]),
        epsilon: f32,
        out: Option<Quantization>,
    ) -> Self {
        let unit = out.map_or(1.0, |out| out.scale);
        let [gamma, beta] = [gamma, beta].map(|numbers| numbers.iter().map(|v| by(*v, unit)).collect());
        LayerNormBytes { level, rows, scale: input.scale, gamma, beta, epsilon, zero: out.map(|out| out.zero) }
    }

    fn each<E: Send>(&self, source: &[u8], out: &mut [E], normalise: impl Fn(&[u8], &Norm<'_>, &mut [E]) + Sync) {
        let Rows { count, width, stride, offset } = self.rows;
        let norm = Norm { scale: self.scale, epsilon: self.epsilon, gamma: &self.gamma, beta: &self.beta };
        let source = &source[offset..];
        if stride == width {
            let block = (BLOCK / width).max(1) * width;
            let source = source[..count * width].par_chunks(block);
            out.par_chunks_mut(block).zip(source).for_each(|(out, rows)| normalise(rows, &norm, out));
        } else {
            let rows = source.par_chunks(stride);
            out.par_chunks_exact_mut(width).zip(rows).for_each(|(out, row)| normalise(&row[..width], &norm, out));
        }
    }
}

impl Operation for LayerNormBytes {
    fn kind(&self) -> &'static str {
        "layer norm"
    }

    fn precision(&self) -> Precision {
        Precision::Int8
    }

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let (source, length) = (bytes(inputs[0]), self.rows.count * self.rows.width);
        match self.zero {
            Some(zero) => self.each(source, bytes_mut(out, length), |rows, norm, out| {
                layer_norm_u8(self.level, rows, norm, &whole(zero), out);
            }),
            None => self.each(source, out, |rows, norm, out| layer_norm_u8_to_f32(self.level, rows, norm, out)),
        }
    }
}

/// The mean of all pixels.
pub(in super::super) struct MeanPoolBytes {
    pub(in super::super) rows: Rows,
    pub(in super::super) quantization: Quantization,
    pub(in super::super) out: Quantization,
}

impl Operation for MeanPoolBytes {
    fn kind(&self) -> &'static str {
        "mean pool"
    }

    fn precision(&self) -> Precision {
        Precision::Int8
    }

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let Rows { count, width, stride, offset } = self.rows;
        let multiplier = (f64::from(self.quantization.scale) / (f64::from(self.out.scale) * count as f64)) as f32;
        let (source, clamp) = (&bytes(inputs[0])[offset..], whole(self.out.zero));
        mean_u8(source, stride, count, self.quantization.zero, multiplier, &clamp, bytes_mut(out, width));
    }
}

/// Of each plane, the byte for each level.
pub(in super::super) type Levels = Vec<Table>;

/// Bytes of a pixel of an image of few planes, once it lies with its channels last.
pub(in super::super) const PIXEL: usize = 4;

/// Planes of bytes, or of levels, as pixels of [`PIXEL`] bytes; those beyond the planes are zero.
pub(in super::super) struct Interleave {
    pub(in super::super) level: SimdLevel,
    pub(in super::super) planes: usize,
    pub(in super::super) height: usize,
    pub(in super::super) width: usize,
    pub(in super::super) levels: Option<Levels>,
    /// What stands beside an image of levels.
    pub(in super::super) zero: u8,
}

impl Interleave {
    /// Interleaves the top left of planes that is `height` by `width` large, and fills the rest.
    fn fill(&self, source: &[u8], (height, width): (usize, usize), out: &mut [u8]) {
        let plane = self.height * self.width;
        let mut empty = [0; PIXEL];
        empty[..self.planes].fill(self.zero);
        out.par_chunks_exact_mut(self.width * PIXEL).enumerate().for_each_init(Vec::new, |row, (y, out)| {
            let inside = if y < height { width } else { 0 };
            // A row of each plane, as the bytes for its levels.
            row.resize(PIXEL * inside, 0);
            for (p, row) in row.chunks_exact_mut(inside.max(1)).enumerate() {
                let known = source.chunks_exact(plane).nth(p).filter(|_| p < self.planes);
                let Some(source) = known else { continue };
                row.copy_from_slice(&source[y * self.width..][..inside]);
                if let Some(levels) = &self.levels {
                    requantize::map(self.level, &levels[p], row);
                }
            }
            let (image, beside) = out.split_at_mut(inside * PIXEL);
            let (pairs, last) = row.split_at(2 * inside);
            let (first, second) = pairs.split_at(inside);
            let (third, fourth) = last.split_at(inside);
            let pixels = image.as_chunks_mut::<PIXEL>().0.iter_mut();
            let values = first.iter().zip(second).zip(third).zip(fourth);
            pixels.zip(values).for_each(|(pixel, (((a, b), c), d))| *pixel = [*a, *b, *c, *d]);
            beside.as_chunks_mut::<PIXEL>().0.fill(empty);
        });
    }

    fn length(&self) -> usize {
        self.height * self.width * PIXEL
    }
}

impl Operation for Interleave {
    fn kind(&self) -> &'static str {
        if self.levels.is_some() { "quantize levels" } else { "interleave" }
    }

    fn precision(&self) -> Precision {
        Precision::Int8
    }

    fn run(&self, inputs: &[&[f32]], out: &mut [f32]) {
        let source = &bytes(inputs[0])[..self.planes * self.height * self.width];
        self.fill(source, (self.height, self.width), bytes_mut(out, self.length()));
    }

    fn run_on_levels(&self, image: Planes<'_>, inputs: &[&[f32]], out: &mut [f32]) {
        match image {
            Planes::Levels { levels, height, width } => {
                self.fill(levels, (height, width), bytes_mut(out, self.length()));
            }
            Planes::Floats(_) => self.run(inputs, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::operation::words;
    use super::*;

    #[test]
    fn levels_become_pixels_and_what_is_beside_them_stands_for_zero() {
        let levels = vec![[1u8; 256], [2; 256], std::array::from_fn(|i| i as u8)];
        let operation =
            Interleave { level: SimdLevel::best(), planes: 3, height: 2, width: 3, levels: Some(levels), zero: 7 };
        let image: Vec<u8> = (0..18).map(|i| i * 3).collect();
        let mut out = vec![f32::NAN; words(24)];
        let planes = Planes::Levels { levels: &image, height: 1, width: 2 };
        operation.run_on_levels(planes, &[&[]], &mut out);
        let (beside, wanted) = ([7, 7, 7, 0], [[1, 2, 36, 0], [1, 2, 39, 0]]);
        let rows: Vec<[u8; 4]> = bytes(&out).as_chunks().0.to_vec();
        assert_eq!(rows, [wanted[0], wanted[1], beside, beside, beside, beside]);
    }
}
