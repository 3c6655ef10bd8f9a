//! Queries against keys, and values against the projection behind attention.

use cutout_models::Bundle;
use cutout_models::onnx::proto::{NodeProto, TensorProto};
use ndarray::{ArrayD, Axis, IxDyn, Slice};

use super::{Kind, Rewrite, Side};
use crate::Result;
use crate::graph::{Graph, int, ints, is_view};
use crate::points::{Layer, Points};

pub(super) fn find(graph: &Graph<'_>, points: &Points, bundle: &Bundle) -> Result<Vec<Rewrite>> {
    let mut found = Vec::new();
    for softmax in graph.nodes().iter().filter(|n| n.op_type == "Softmax") {
        let Some(product) = graph.only_reader(&softmax.output[0]).filter(|n| n.op_type == "MatMul") else { continue };
        let Some(values) = product.input.get(1).filter(|v| **v != softmax.output[0]) else { continue };
        found.extend(smoothing(graph, points, bundle, values, &product.output[0])?);
        found.extend(balance(graph, points, bundle, &softmax.input[0])?);
    }
    Ok(found)
}

/// Rows of the values' projection against columns of the projection behind attention.
fn smoothing(
    graph: &Graph<'_>,
    points: &Points,
    bundle: &Bundle,
    values: &str,
    output: &str,
) -> Result<Option<Rewrite>> {
    let Some((before, rows)) = rows(graph, points, bundle, values)? else { return Ok(None) };
    let (readers, is_output) = graph.readers_through_views(output);
    let [reader] = readers.as_slice() else { return Ok(None) };
    let Some(after) = points.layers.iter().find(|l| l.node == reader.name).filter(|_| !is_output) else {
        return Ok(None);
    };
    if bundle.weights().to_f32(&after.weight)?.shape().get(1) != Some(&rows.len()) {
        return Ok(None);
    }
    let channels = rows.len();
    let mut tensors = sides(before, &rows, true);
    tensors.push(Side::plain(&after.weight, 1, channels, false));
    Ok(Some(Rewrite {
        name: output.to_owned(),
        channels,
        values: vec![
            Side::plain(output, 0, channels, true),
            Side { name: before.output.clone(), axis: 0, index: rows, divided: true },
        ],
        tensors,
        kind: Kind::Smoothing,
    }))
}

/// Rows of the queries' projection against those of the keys'.
fn balance(graph: &Graph<'_>, points: &Points, bundle: &Bundle, scores: &str) -> Result<Option<Rewrite>> {
    // Up through what is added to the scores, to the product of two varying factors.
    let Some(product) = product_of(graph, scores) else { return Ok(None) };
    let [queries, keys] = [&product.input[0], &product.input[1]];
    // What else reads the queries, such as relative positions, would change.
    let alone = |value: &str| graph.readers_through_views(value).0.len() == 1;
    if !alone(queries) {
        return Ok(None);
    }
    let Some((query_layer, query_rows)) = rows(graph, points, bundle, queries)? else { return Ok(None) };
    let Some((key_layer, key_rows)) = rows(graph, points, bundle, keys)? else { return Ok(None) };
    // Keys come transposed: numbers of a head before tokens; `rows` reads them in the same order.
    if query_rows.len() != key_rows.len() {
        return Ok(None);
    }
    let channels = query_rows.len();
    let mut tensors = sides(query_layer, &query_rows, true);
    tensors.extend(sides(key_layer, &key_rows, false));
    Ok(Some(Rewrite {
        name: product.output[0].clone(),
        channels,
        values: vec![
            Side { name: query_layer.output.clone(), axis: 0, index: query_rows, divided: true },
            Side { name: key_layer.output.clone(), axis: 0, index: key_rows, divided: false },
        ],
        tensors,
        kind: Kind::Balance,
    }))
}

fn sides(layer: &Layer, rows: &[usize], divided: bool) -> Vec<Side> {
    let of = |name: &String| Side { name: name.clone(), axis: 0, index: rows.to_vec(), divided };
    [Some(&layer.weight), layer.bias.as_ref()].into_iter().flatten().map(of).collect()
}

fn product_of<'a>(graph: &Graph<'a>, value: &str) -> Option<&'a NodeProto> {
    let node = graph.maker(value)?;
    match node.op_type.as_str() {
        "MatMul" => node.input.iter().all(|i| graph.varies(i)).then_some(node),
        "Add" => node.input.iter().filter(|i| graph.varies(i)).find_map(|i| product_of(graph, i)),
        _ if is_view(node) => product_of(graph, &node.input[0]),
        _ => None,
    }
}

/// The layer whose rows a value of attention is a view of, and for each head, for each of its numbers, the row. `None` where views are of
/// another form than `[groups, heads, tokens, numbers]` (or with the last two exchanged).
fn rows<'p>(
    graph: &Graph<'_>,
    points: &'p Points,
    bundle: &Bundle,
    value: &str,
) -> Result<Option<(&'p Layer, Vec<usize>)>> {
    let mut views = Vec::new();
    let mut at = value;
    while let Some(node) = graph.maker(at).filter(|n| is_view(n)) {
        views.push((node, at));
        at = &node.input[0];
    }
    let Some(layer) = points.layers.iter().find(|l| l.output == at) else { return Ok(None) };
    let outputs = bundle.weights().to_f32(&layer.weight)?.shape()[0];
    Ok(trace(graph, &views, outputs).map(|rows| (layer, rows)))
}

/// Runs the views, the last of which comes first, on numbers of rows.
fn trace(graph: &Graph<'_>, views: &[(&NodeProto, &str)], outputs: usize) -> Option<Vec<usize>> {
    let (first, _) = views.last()?;
    let shape = shape_of(graph, first)?;
    let tokens = shape.iter().product::<usize>() / outputs;
    let mut rows = ArrayD::from_shape_fn(IxDyn(&[tokens, outputs]), |at| at[1] as u32);
    let mut keys_last = false;
    for (number, (node, output)) in views.iter().rev().enumerate() {
        rows = match node.op_type.as_str() {
            "Identity" => rows,
            "Reshape" => rows.as_standard_layout().to_owned().into_shape_with_order(shape_of(graph, node)?).ok()?,
            "Transpose" => {
                let perm: Vec<usize> = ints(node, "perm")?.iter().map(|&p| p as usize).collect();
                keys_last = number + 1 == views.len() && perm == [0, 1, 3, 2];
                (perm.len() == rows.ndim()).then(|| rows.permuted_axes(perm))?
            }
            "Split" if node.input.len() == 1 => {
                let axis = Axis(usize::try_from(int(node, "axis").unwrap_or(0)).ok().filter(|a| *a < rows.ndim())?);
                let part = node.output.iter().position(|o| o == output)?;
                let length = rows.len_of(axis) / node.output.len();
                rows.slice_axis(axis, Slice::from(part * length..(part + 1) * length)).to_owned()
            }
            _ => return None,
        };
    }
    if keys_last {
        rows.swap_axes(2, 3);
    }
    let &[_, heads, _, numbers] = rows.shape() else { return None };
    Some(
        (0..heads)
            .flat_map(|h| (0..numbers).map(move |d| (h, d)))
            .map(|(h, d)| rows[[0, h, 0, d].as_slice()] as usize)
            .collect(),
    )
}

/// The constant shape of a reshape, without inferred dimensions.
fn shape_of(graph: &Graph<'_>, node: &NodeProto) -> Option<Vec<usize>> {
    let constant = graph.constant(node.input.get(1)?).filter(|c| c.data_type == TensorProto::INT64)?;
    let numbers = constant.raw_data.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes));
    numbers.map(|n| usize::try_from(n).ok().filter(|n| *n > 0)).collect()
}
