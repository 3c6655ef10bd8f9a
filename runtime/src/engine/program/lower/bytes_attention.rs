//! Attention of values in bytes.

use cutout_kernels::attention_u8::MOST_BIAS;

use super::super::graph::{Node, ValueId};
use super::super::operations::{Bias, ByteAttention};
use super::super::view::View;
use super::attention::order_of_heads;
use super::bytes::Bytes;
use super::{Lowering, Result};

/// How much less than another a score has to be to leave nothing of a share in 256ths: more than the logarithm of 2^20.
const NOTHING: f64 = 14.0;

impl<'g> Lowering<'g> {
    /// The attention that ends with the product `mix`, if its operands are held in bytes, and its result is to be; what is added to
    /// the scores has to be a table. False where one of them is beyond what the kernel takes.
    pub(super) fn attention_of_bytes(&mut self, operands: [ValueId; 3], mix: &'g Node, bias: &Bias) -> Result<bool> {
        let Some(out) = self.quantization(mix.outputs[0]) else { return Ok(false) };
        let mut places = Vec::with_capacity(3);
        for (i, value) in operands.into_iter().enumerate() {
            let Some(bytes) = self.bytes[value].clone() else { return Ok(false) };
            places.push(self.heads_of_bytes(value, bytes, i == 1));
        }
        let views: Vec<View> = places.iter().map(|p| p.view.clone()).collect();
        let Ok([q, k, v]) = <[View; 3]>::try_from(views) else { return Ok(false) };
        let quantizations = [0, 1, 2].map(|i: usize| places[i].quantization);
        if q.shape[..2] != k.shape[..2] || q.shape[..2] != v.shape[..2] {
            return Ok(false);
        }
        let bias = match bias {
            Bias::None => None,
            Bias::Table(table) => {
                let unit = f64::from(quantizations[0].scale) * f64::from(quantizations[1].scale);
                let most = f64::from(MOST_BIAS);
                // What is beyond is to leave nothing of a share, which it does if no score can make up for it.
                let widest = 2.0 * 255.0 * 255.0 * k.shape[3] as f64;
                let least = if (most - widest) * unit > NOTHING { f64::NEG_INFINITY } else { -most };
                let units = |v: &f32| Some(f64::from(*v) / unit).filter(|units| (least..=most).contains(units));
                let Some(units) = table.iter().map(units).collect::<Option<Vec<f64>>>() else { return Ok(false) };
                Some(units.iter().map(|units| units.round_ties_even().max(-most) as i32).collect())
            }
            Bias::Decomposed { .. } => return Ok(false),
        };
        let &[batch, heads, length, _] = q.shape.as_slice() else { return Ok(false) };
        let view = View::contiguous(&[batch, length, heads, v.shape[3]]).permuted(&[0, 2, 1, 3]);
        let operation = ByteAttention { level: self.level, views: [q, k, v], quantizations, out, bias };
        if !operation.is_in_range() {
            return Ok(false);
        }
        let buffers = places.iter().map(|p| p.buffer).collect();
        let buffer = self.emit_bytes(&mix.name, operation, buffers, view.len());
        self.set_bytes(mix.outputs[0], Bytes { buffer, view, quantization: out });
        Ok(true)
    }

    /// As [`heads`](Self::heads).
    fn heads_of_bytes(&mut self, value: ValueId, bytes: Bytes, turned: bool) -> Bytes {
        let order = order_of_heads(turned);
        let view = bytes.view.permuted(&order);
        if view.strides[3] == 1 {
            return Bytes { view, ..bytes };
        }
        let dense = View::contiguous(&view.shape);
        let bytes = self.lay_bytes(value, &bytes, dense.permuted(&order), &order);
        Bytes { view: dense, ..bytes }
    }
}
