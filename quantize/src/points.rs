//! Which values of a graph are quantised, and which weights.
//!
//! Every value that the image encoder computes is a [`Point`], but for
//!
//! * outputs of the graph, and what is only copied to one;
//! * views: reshapes, transpositions, slices, splits, padding share the numbers of what they read;
//! * sums of a product before its bias and its Relu or Clip: the value after those is the point;
//! * what is inside a GELU: its input and its output are points;
//! * what is inside attention, scores and softmax: its three inputs are (views of) points, and so is its output.
//!
//! The input image is a point. The [`Layer`]s are the products with constant weights: convolutions, and matrix products
//! whose second factor is a constant matrix.

use std::collections::{HashMap, HashSet};

use cutout_models::onnx::OnnxModel;
use cutout_models::onnx::proto::{NodeProto, TensorProto};

use crate::Result;
use crate::graph::{Graph, int, ints};

/// Where the channels of a value are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// The second dimension (`[batch, channels, height, width]`).
    Second,
    /// The last dimension (tokens).
    Last,
    /// The second and the last dimension: head and number within the head (`[groups, heads, tokens, numbers]`).
    Heads,
}

/// A value that is quantised.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Its name in the graph.
    pub value: String,
    /// Where its channels are.
    pub channels: Channels,
    /// The bounds that an activation keeps it within, exactly.
    pub bounds: Option<(f32, f32)>,
}

/// What a layer's weights are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `[outputs, inputs / groups, height, width]`.
    Convolution {
        /// Number of groups.
        groups: usize,
    },
    /// `[outputs, inputs]` in a bundle; the graph has it transposed.
    Linear,
    /// `[inputs, outputs, height, width]`.
    Transposed,
}

/// A product with constant weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// The name of its node.
    pub node: String,
    /// The constant of its weights.
    pub weight: String,
    /// The constant of its bias, if it has one.
    pub bias: Option<String>,
    /// What the weights are.
    pub form: Form,
    /// The value whose numbers it reads: what is before views.
    pub input: String,
    /// The value after its bias and its Relu or Clip.
    pub output: String,
}

/// Points and layers of a graph, in its order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Points {
    /// The values that are quantised.
    pub points: Vec<Point>,
    /// The products with weights.
    pub layers: Vec<Layer>,
}

impl Points {
    /// Finds the points and layers of an image encoder's graph.
    ///
    /// # Errors
    /// [`Error::Graph`](crate::Error::Graph) where the model has no graph or no input.
    pub fn of(model: &OnnxModel) -> Result<Self> {
        let graph = Graph::of(model)?;
        let layouts = layouts(&graph);
        let layers = layers(&graph);
        let mut skipped = inside(&graph);
        let mut bounds = HashMap::new();
        for layer in &layers {
            skipped.extend(layer.sums.iter().copied());
            if let Some(clip) = graph.maker(layer.end).and_then(|node| bounds_of(&graph, node)) {
                bounds.insert(layer.end, clip);
            }
        }
        let point = |value: &str| Point {
            value: value.to_owned(),
            channels: layouts.get(value).copied().unwrap_or(Channels::Last),
            bounds: bounds.get(value).copied(),
        };
        let mut points: Vec<Point> = graph.input().map(point).into_iter().collect();
        for node in graph.nodes().iter().filter(|n| !crate::graph::is_view(n)) {
            for value in node.output.iter().map(String::as_str) {
                if !graph.varies(value) || skipped.contains(value) {
                    continue;
                }
                let (readers, output) = graph.readers_through_views(value);
                if !graph.is_output(value) && (!readers.is_empty() || !output) {
                    points.push(point(value));
                }
            }
        }
        let layers = layers.into_iter().map(|layer| layer.layer).collect();
        Ok(Points { points, layers })
    }

    /// The layers of a graph alone, for weights that are quantised without activations.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn layers_of(model: &OnnxModel) -> Result<Vec<Layer>> {
        Ok(layers(&Graph::of(model)?).into_iter().map(|layer| layer.layer).collect())
    }

    /// The point of a value.
    pub fn point(&self, value: &str) -> Option<&Point> {
        self.points.iter().find(|p| p.value == value)
    }
}

struct FoundLayer<'a> {
    layer: Layer,
    /// Its sums before bias and activation.
    sums: Vec<&'a str>,
    end: &'a str,
}

fn layers<'a>(graph: &Graph<'a>) -> Vec<FoundLayer<'a>> {
    let mut found = Vec::new();
    for node in graph.nodes().iter().filter(|n| n.input.first().is_some_and(|x| graph.varies(x))) {
        let Some(weight) = node.input.get(1).and_then(|w| graph.constant(w)) else { continue };
        let form = match node.op_type.as_str() {
            "Conv" => Form::Convolution { groups: int(node, "group").unwrap_or(1).max(1) as usize },
            "ConvTranspose" => Form::Transposed,
            "MatMul" if weight.dims.len() == 2 => Form::Linear,
            _ => continue,
        };
        let outputs = match form {
            Form::Convolution { .. } => weight.dims[0],
            Form::Linear | Form::Transposed => weight.dims[1],
        };
        let (mut sums, mut end) = (Vec::new(), node.output[0].as_str());
        let mut bias = node.input.get(2).filter(|b| graph.constant(b).is_some()).map(String::as_str);
        while let Some(next) = graph.only_reader(end) {
            let added = (next.op_type == "Add").then(|| added_bias(graph, next, end, outputs)).flatten();
            let activation = matches!(next.op_type.as_str(), "Relu" | "Clip");
            if added.is_none() && !activation {
                break;
            }
            bias = bias.or(added.map(|b| b.name.as_str()));
            sums.push(end);
            end = &next.output[0];
            if activation {
                break;
            }
        }
        let layer = Layer {
            node: node.name.clone(),
            weight: weight.name.clone(),
            bias: bias.map(str::to_owned),
            form,
            input: graph.root(&node.input[0]).to_owned(),
            output: end.to_owned(),
        };
        found.push(FoundLayer { layer, sums, end });
    }
    found
}

/// The constant that a node adds to `value`, if it is a vector of one number for each output.
fn added_bias<'a>(graph: &Graph<'a>, add: &'a NodeProto, value: &str, outputs: i64) -> Option<&'a TensorProto> {
    let other = add.input.iter().find(|i| *i != value)?;
    graph.constant(other).filter(|c| c.dims.last() == Some(&outputs) && c.dims.iter().product::<i64>() == outputs)
}

/// Values inside GELUs and inside attention.
fn inside<'a>(graph: &Graph<'a>) -> HashSet<&'a str> {
    let mut found = HashSet::new();
    for node in graph.nodes() {
        match node.op_type.as_str() {
            "Erf" => found.extend(inside_gelu(graph, node)),
            "Softmax" => {
                found.insert(node.output[0].as_str());
                scores(graph, &node.input[0], &mut found);
            }
            _ => {}
        }
    }
    found
}

/// The values of `x (1 + erf(x / c)) / 2` but for its input and its output: the last product.
fn inside_gelu<'a>(graph: &Graph<'a>, erf: &'a NodeProto) -> Vec<&'a str> {
    let mut values = vec![erf.input[0].as_str(), erf.output[0].as_str()];
    let Some(add) = graph.only_reader(&erf.output[0]).filter(|n| n.op_type == "Add") else { return values };
    values.push(&add.output[0]);
    // The products with x and with one half come in either order, and one of them may be made before.
    let mut at = add;
    while let Some(next) = graph.only_reader(&at.output[0]).filter(|n| n.op_type == "Mul") {
        let other = next.input.iter().find(|i| **i != at.output[0]);
        let Some(other) = other else { break };
        let is_half = graph.constant(other).is_some_and(|c| c.dims.iter().product::<i64>() == 1);
        let is_input = graph.maker(&erf.input[0]).is_some_and(|scale| scale.input.contains(other));
        if !is_half && !is_input {
            break;
        }
        values.push(&next.output[0]);
        at = next;
    }
    if values.len() > 3 {
        values.pop();
    }
    values
}

/// What attention's scores are made of, from the input of its softmax back to the inputs of its products, which are (views of)
/// what a layer gives.
fn scores<'a>(graph: &Graph<'a>, value: &'a str, found: &mut HashSet<&'a str>) {
    if !graph.varies(value) || !found.insert(value) {
        return;
    }
    let Some(node) = graph.maker(value) else { return };
    for input in &node.input {
        if node.op_type == "MatMul" {
            continue;
        }
        scores(graph, input, found);
    }
}

/// Low and high of a Relu6-like activation.
fn bounds_of(graph: &Graph<'_>, node: &NodeProto) -> Option<(f32, f32)> {
    let scalar = |i: usize| graph.constant(node.input.get(i)?).and_then(scalar);
    (node.op_type == "Clip").then(|| Some((scalar(1)?, scalar(2)?))).flatten()
}

fn scalar(constant: &TensorProto) -> Option<f32> {
    let bytes = constant.raw_data.as_slice().try_into().ok()?;
    (constant.data_type == TensorProto::FLOAT).then(|| f32::from_le_bytes(bytes))
}

/// Where the channels of each value are, as far as operators tell.
fn layouts<'a>(graph: &Graph<'a>) -> HashMap<&'a str, Channels> {
    let mut layouts: HashMap<&str, Channels> = HashMap::new();
    layouts.extend(graph.input().map(|input| (input, Channels::Second)));
    for node in graph.nodes() {
        let known = || node.input.iter().find_map(|i| layouts.get(i.as_str()).copied());
        let weights = node.input.get(1).and_then(|w| graph.constant(w));
        let layout = match node.op_type.as_str() {
            "Conv" | "ConvTranspose" | "GlobalAveragePool" | "AveragePool" | "MaxPool" => Some(Channels::Second),
            "MatMul" if weights.is_some() => Some(Channels::Last),
            "MatMul" => Some(Channels::Heads),
            "LayerNormalization" => Some(Channels::Last),
            "Transpose" => known().and_then(|from| transposed(from, ints(node, "perm")?)),
            _ => known(),
        };
        if let Some(layout) = layout {
            layouts.extend(node.output.iter().map(|output| (output.as_str(), layout)));
        }
    }
    layouts
}

fn transposed(from: Channels, perm: &[i64]) -> Option<Channels> {
    let channels = match from {
        Channels::Second => 1,
        Channels::Last => perm.len().checked_sub(1)? as i64,
        // Heads lie beside their numbers: the reshape that follows joins them.
        Channels::Heads => return Some(if perm == [0, 2, 1, 3] { Channels::Last } else { Channels::Heads }),
    };
    match perm.iter().position(|&p| p == channels)? {
        1 if perm.len() > 2 => Some(Channels::Second),
        last if last + 1 == perm.len() => Some(Channels::Last),
        _ => None,
    }
}
