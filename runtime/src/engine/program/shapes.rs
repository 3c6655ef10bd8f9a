//! Shapes of the outputs of ONNX operators (opset 17), for those that lowering knows.

use std::collections::HashSet;

use super::graph::{Node, Value};

/// The shapes of a node's outputs; `None` for an operator or a combination that is not known here.
pub(super) fn infer(node: &Node, values: &[Value], outputs: usize) -> Option<Vec<Vec<usize>>> {
    let shape = |i: usize| node.inputs.get(i).map(|&id| values[id].shape.as_slice());
    let one = |shape: Vec<usize>| Some(vec![shape]);
    match node.op.as_str() {
        "Add" | "Sub" | "Mul" | "Div" | "Equal" => one(broadcast(shape(0)?, shape(1)?)?),
        "Where" => one(broadcast(shape(0)?, &broadcast(shape(1)?, shape(2)?)?)?),
        "Relu" | "Clip" | "Erf" | "Sin" | "Cos" | "Cast" | "Softmax" | "LayerNormalization" | "Identity" => {
            one(shape(0)?.to_vec())
        }
        "MatMul" => one(product(shape(0)?, shape(1)?)?),
        "Transpose" => {
            let perm = node.ints("perm")?;
            let axes: HashSet<i64> = perm.iter().copied().collect();
            if axes.len() != perm.len() || perm.len() != shape(0)?.len() {
                return None;
            }
            one(perm.iter().map(|&axis| shape(0)?.get(axis as usize).copied()).collect::<Option<_>>()?)
        }
        "Reshape" => one(reshaped(shape(0)?, values[*node.inputs.get(1)?].ints()?)?),
        "Concat" => {
            let mut out = shape(0)?.to_vec();
            let axis = axis(node.int("axis")?, out.len())?;
            let alike =
                |other: &[usize]| other.len() == out.len() && (0..out.len()).all(|i| i == axis || other[i] == out[i]);
            if !node.inputs.iter().all(|&id| alike(&values[id].shape)) {
                return None;
            }
            out[axis] = node.inputs.iter().map(|&id| values[id].shape.get(axis).copied()).sum::<Option<usize>>()?;
            one(out)
        }
        "Split" => {
            let mut out = shape(0)?.to_vec();
            let axis = axis(node.int("axis")?, out.len())?;
            if outputs == 0 || out[axis] % outputs != 0 || node.inputs.len() != 1 {
                return None;
            }
            out[axis] /= outputs;
            Some(vec![out; outputs])
        }
        "Slice" => {
            let mut out = shape(0)?.to_vec();
            for (axis, start, end) in slices(node, values)? {
                out[axis] = end - start;
            }
            one(out)
        }
        "Pad" => {
            let pads = values[*node.inputs.get(1)?].ints()?;
            let rank = shape(0)?.len();
            let padded = |(i, &d): (usize, &usize)| {
                let sides = pads.get(i)?.checked_add(*pads.get(rank + i)?)?;
                usize::try_from(i64::try_from(d).ok()?.checked_add(sides)?).ok()
            };
            one(shape(0)?.iter().enumerate().map(padded).collect::<Option<_>>()?)
        }
        "GlobalAveragePool" => match shape(0)? {
            // Nothing has no mean.
            [n, c, h, w] if *h > 0 && *w > 0 => one(vec![*n, *c, 1, 1]),
            _ => None,
        },
        "Conv" => {
            let [n, _, h, w] = *shape(0)? else { return None };
            let [out, _, kh, kw] = *shape(1)? else { return None };
            let window = Window::of(node)?;
            one(vec![n, out, window.output(h, kh)?, window.output(w, kw)?])
        }
        _ => None,
    }
}

/// Stride, padding and dilation of a convolution, the same in both directions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) stride: usize,
    pub(super) padding: usize,
    pub(super) dilation: usize,
}

impl Window {
    /// Larger than any that means something, and small enough to count with.
    const MOST: usize = 1 << 16;

    /// That of a `Conv` node; `None` if it differs between the directions.
    pub(super) fn of(node: &Node) -> Option<Self> {
        let equal = |name: &str, default: i64| match node.ints(name) {
            None => Some(default),
            Some([first, rest @ ..]) => rest.iter().all(|v| v == first).then_some(*first),
            Some([]) => None,
        };
        let [stride, padding, dilation] = [equal("strides", 1)?, equal("pads", 0)?, equal("dilations", 1)?];
        let most = |v: i64, least: i64| usize::try_from(v.max(least)).ok().filter(|v| *v <= Self::MOST);
        Some(Window { stride: most(stride, 1)?, padding: most(padding, 0)?, dilation: most(dilation, 1)? })
    }

    /// `None` also for an empty map, whose windows would see padding only.
    fn output(&self, input: usize, kernel: usize) -> Option<usize> {
        if input == 0 {
            return None;
        }
        let reach = kernel.checked_sub(1)?.checked_mul(self.dilation)?.checked_add(1)?;
        Some(input.checked_add(2 * self.padding)?.checked_sub(reach)? / self.stride + 1)
    }
}

/// An axis that may be counted from the end.
pub(super) fn axis(axis: i64, rank: usize) -> Option<usize> {
    let axis = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(axis).ok().filter(|a| *a < rank)
}

/// `(axis, start, end)` of a `Slice` with steps of one.
pub(super) fn slices(node: &Node, values: &[Value]) -> Option<Vec<(usize, usize, usize)>> {
    let shape = &values[node.inputs[0]].shape;
    let list = |i: usize| values[*node.inputs.get(i)?].ints();
    let (starts, ends, axes) = (list(1)?, list(2)?, list(3)?);
    let once: HashSet<usize> = axes.iter().filter_map(|&a| axis(a, shape.len())).collect();
    if node.inputs.len() > 4 || once.len() != axes.len() {
        return None;
    }
    (0..axes.len())
        .map(|i| {
            let axis = axis(axes[i], shape.len())?;
            let limit = shape[axis] as i64;
            let place = |v: i64| (if v < 0 { v + limit } else { v }).clamp(0, limit) as usize;
            let (start, end) = (place(*starts.get(i)?), place(*ends.get(i)?));
            (start <= end).then_some((axis, start, end))
        })
        .collect()
}

/// The shape that two shapes broadcast to.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let dim = |s: &[usize], i: usize| (i + s.len()).checked_sub(rank).map_or(1, |i| s[i]);
    (0..rank)
        .map(|i| match (dim(a, i), dim(b, i)) {
            (m, n) if m == n => Some(m),
            (1, n) => Some(n),
            (m, 1) => Some(m),
            _ => None,
        })
        .collect()
}

fn product(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let ([left @ .., m, k], [right @ .., k2, n]) = (a, b) else { return None };
    if k != k2 {
        return None;
    }
    let mut out = broadcast(left, right)?;
    out.extend([m, n]);
    Some(out)
}

fn reshaped(from: &[usize], target: &[i64]) -> Option<Vec<usize>> {
    let total: usize = from.iter().product();
    let mut out = Vec::with_capacity(target.len());
    for (i, &d) in target.iter().enumerate() {
        out.push(match d {
            0 => *from.get(i)?,
            -1 => 1,
            d => usize::try_from(d).ok()?,
        });
    }
    if let Some(free) = target.iter().position(|&d| d == -1) {
        let known: usize = out.iter().product();
        out[free] = total.checked_div(known)?;
    }
    (out.iter().product::<usize>() == total).then_some(out)
}
