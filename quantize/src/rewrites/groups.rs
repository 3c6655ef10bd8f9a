//! Values between products: equalisation of linear bottlenecks, smoothing behind normalisations.
//!
//! Values that are added to each other share their factors. Such a group may be changed where all that makes its values are products
//! without activation or with Relu, normalisations, sums and means over the image of its own values, and all that reads them are products, and
//! those sums and means.

use std::collections::HashMap;

use cutout_models::Bundle;

use super::{Kind, Rewrite, Side};
use crate::Result;
use crate::graph::Graph;
use crate::points::{Form, Layer, Points};

/// Operators that treat each channel alike, and linearly.
const MEANS: [&str; 2] = ["GlobalAveragePool", "AveragePool"];

pub(super) fn find(graph: &Graph<'_>, points: &Points, bundle: &Bundle) -> Result<Vec<Rewrite>> {
    let mut group_of: HashMap<&str, usize> = HashMap::new();
    let mut groups: Vec<Vec<&str>> = Vec::new();
    for point in &points.points {
        group_of.insert(&point.value, groups.len());
        groups.push(vec![&point.value]);
    }
    // Sums and means join the groups of what they read.
    for node in graph.nodes().iter().filter(|n| n.op_type == "Add" || MEANS.contains(&n.op_type.as_str())) {
        let joined =
            node.input.iter().filter(|i| graph.varies(i)).map(|i| graph.root(i)).chain([node.output[0].as_str()]);
        let joined: Vec<usize> = joined.filter_map(|v| group_of.get(v).copied()).collect();
        let [into, rest @ ..] = joined.as_slice() else { continue };
        for &from in rest.iter().filter(|from| *from != into) {
            let moved = std::mem::take(&mut groups[from]);
            group_of.extend(moved.iter().map(|v| (*v, *into)));
            groups[*into].extend(moved);
        }
    }
    let mut found = Vec::new();
    for group in groups.iter().filter(|g| !g.is_empty()) {
        found.extend(rewrite(graph, points, bundle, group)?);
    }
    Ok(found)
}

/// The rewrite of a group; `None` where it does not allow any.
fn rewrite(graph: &Graph<'_>, points: &Points, bundle: &Bundle, group: &[&str]) -> Result<Option<Rewrite>> {
    let mut tensors = Vec::new();
    let mut channels = None;
    for value in group {
        let Some(maker) = graph.maker(value) else { return Ok(None) };
        if let Some(layer) = points.layers.iter().find(|l| l.output == *value) {
            if maker.op_type == "Clip" || layer.form == Form::Transposed {
                return Ok(None);
            }
            let outputs = bundle.weights().to_f32(&layer.weight)?.shape()[0];
            if *channels.get_or_insert(outputs) != outputs {
                return Ok(None);
            }
            tensors.extend(
                [Some(&layer.weight), layer.bias.as_ref()].into_iter().flatten().map(|t| (t, 0, outputs, true)),
            );
        } else if maker.op_type == "LayerNormalization" {
            let [_, gamma, beta] = maker.input.as_slice() else { return Ok(None) };
            let Some(&[outputs]) = bundle.weights().get(gamma).map(|t| t.shape()) else { return Ok(None) };
            if *channels.get_or_insert(outputs) != outputs {
                return Ok(None);
            }
            tensors.extend([gamma, beta].map(|t| (t, 0, outputs, true)));
        } else {
            let sources: Vec<&str> = maker.input.iter().map(|i| graph.root(i)).collect();
            let own = sources.iter().all(|s| group.contains(s));
            if !own || maker.op_type != "Add" && !MEANS.contains(&maker.op_type.as_str()) {
                return Ok(None);
            }
        }
        let (readers, output) = graph.readers_through_views(value);
        if output || readers.is_empty() {
            return Ok(None);
        }
        for reader in readers {
            if group.contains(&reader.output[0].as_str()) {
                continue;
            }
            let Some(layer) = points.layers.iter().find(|l| l.node == reader.name && l.input == *value) else {
                return Ok(None);
            };
            let shape = bundle.weights().to_f32(&layer.weight)?.shape().to_vec();
            let Some((axis, inputs)) = inputs_of(layer, &shape) else { return Ok(None) };
            if *channels.get_or_insert(inputs) != inputs {
                return Ok(None);
            }
            tensors.push((&layer.weight, axis, inputs, false));
        }
    }
    let Some(channels) = channels else { return Ok(None) };
    Ok(Some(Rewrite {
        name: group[0].to_owned(),
        channels,
        values: group.iter().map(|value| Side::plain(value, 0, channels, true)).collect(),
        tensors: tensors.into_iter().map(|(t, axis, n, divided)| Side::plain(t, axis, n, divided)).collect(),
        kind: Kind::Smoothing,
    }))
}

/// The dimension of a layer's weights that belongs to its input's channels, and their number. `None` of groups of several channels.
fn inputs_of(layer: &Layer, shape: &[usize]) -> Option<(usize, usize)> {
    match layer.form {
        Form::Linear | Form::Convolution { groups: 1 } => Some((1, *shape.get(1)?)),
        Form::Convolution { groups } if shape[..2] == [groups, 1] => Some((0, groups)),
        Form::Convolution { .. } | Form::Transposed => None,
    }
}
