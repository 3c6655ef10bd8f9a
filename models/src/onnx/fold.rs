//! Nodes of other programs' graphs that have a plainer form.

use std::collections::{HashMap, HashSet};

use super::OnnxModel;
use super::proto::{GraphProto, NodeProto, TensorProto, ValueInfoProto};

/// Operators whose output has the element type of their first input.
const KEEP_TYPE: [&str; 30] = [
    "Conv",
    "ConvTranspose",
    "MatMul",
    "Gemm",
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Pow",
    "Sqrt",
    "Erf",
    "Relu",
    "Clip",
    "Sigmoid",
    "Tanh",
    "Softmax",
    "LayerNormalization",
    "GlobalAveragePool",
    "ReduceMean",
    "Identity",
    "Transpose",
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Slice",
    "Split",
    "Concat",
    "Pad",
    "Expand",
];

/// Operators whose output has the dimensions of their inputs, which may be constants of as many or fewer.
const KEEP_RANK: [&str; 11] =
    ["Add", "Sub", "Mul", "Div", "Erf", "MatMul", "LayerNormalization", "Relu", "Clip", "Transpose", "Identity"];

impl OnnxModel {
    /// Makes flattened and transposed float32 constants constants, leaves out casts of float32 to float32, and makes means over the rows
    /// and columns of an image `GlobalAveragePool`.
    pub(crate) fn fold(&mut self) {
        let Some(graph) = &mut self.proto_mut().graph else { return };
        fold_constants(graph);
        drop_casts(graph);
        pool(graph);
    }
}

fn fold_constants(graph: &mut GraphProto) {
    let mut at: HashMap<String, usize> =
        graph.initializer.iter().enumerate().map(|(i, constant)| (constant.name.clone(), i)).collect();
    let constants = &mut graph.initializer;
    let outputs: HashSet<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
    graph.node.retain(|node| {
        let [output] = node.output.as_slice() else { return true };
        let source = node.input.first().and_then(|name| at.get(name)).map(|&i| &constants[i]);
        let folded = source.filter(|_| !outputs.contains(output.as_str())).and_then(|source| view(node, source));
        let Some(folded) = folded else { return true };
        at.insert(output.clone(), constants.len());
        constants.push(TensorProto { name: output.clone(), ..folded });
        false
    });
}

/// What a node makes of a constant.
fn view(node: &NodeProto, source: &TensorProto) -> Option<TensorProto> {
    if source.data_type != TensorProto::FLOAT {
        return None;
    }
    match node.op_type.as_str() {
        "Flatten" => {
            let axis = node.attribute.iter().find(|a| a.name == "axis").and_then(|a| a.i).unwrap_or(1);
            let (before, after) = source.dims.split_at_checked(usize::try_from(axis).ok()?)?;
            let dims = vec![before.iter().product(), after.iter().product()];
            Some(TensorProto { dims, ..source.clone() })
        }
        "Transpose" => {
            let rank = source.dims.len();
            let perm = node.attribute.iter().find(|a| a.name == "perm").map(|a| a.ints.clone());
            let perm: Option<Vec<usize>> = match perm {
                Some(perm) => perm.iter().map(|axis| usize::try_from(*axis).ok()).collect(),
                None => Some((0..rank).rev().collect()),
            };
            let perm = perm.filter(|perm| (0..rank).all(|axis| perm.contains(&axis)) && perm.len() == rank)?;
            let values = source.to_f32().ok()?;
            Some(TensorProto::of_f32(String::new(), &values.view().permuted_axes(perm)))
        }
        "Identity" => Some(source.clone()),
        _ => None,
    }
}

fn drop_casts(graph: &mut GraphProto) {
    let outputs: HashSet<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    let is_float = |input: &&ValueInfoProto| {
        let tensor = input.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
        tensor.is_some_and(|t| t.elem_type == TensorProto::FLOAT)
    };
    let inputs = graph.input.iter().filter(is_float).map(|input| &input.name);
    let floats = graph.initializer.iter().filter(|constant| constant.data_type == TensorProto::FLOAT);
    let floats = floats.map(|constant| &constant.name).chain(inputs);
    let mut floats: HashSet<String> = floats.cloned().collect();
    let mut instead: HashMap<String, String> = HashMap::new();
    graph.node.retain_mut(|node| {
        for input in &mut node.input {
            if let Some(other) = instead.get(input) {
                input.clone_from(other);
            }
        }
        let Some(first) = node.input.first() else { return true };
        let to_float = node.attribute.iter().any(|a| a.name == "to" && a.i == Some(i64::from(TensorProto::FLOAT)));
        match (node.op_type.as_str(), node.output.as_slice()) {
            ("Cast", [output]) if to_float && floats.contains(first) && !outputs.contains(output) => {
                instead.insert(output.clone(), first.clone());
                return false;
            }
            ("Cast", _) if to_float => floats.extend(node.output.iter().cloned()),
            (op, _) if KEEP_TYPE.contains(&op) && floats.contains(first) => floats.extend(node.output.iter().cloned()),
            _ => {}
        }
        true
    });
}

fn pool(graph: &mut GraphProto) {
    let ranks: HashMap<&str, usize> = graph.initializer.iter().map(|t| (t.name.as_str(), t.dims.len())).collect();
    let ints: HashMap<&str, Vec<i64>> = graph.initializer.iter().filter_map(super::foreign::ints).collect();
    let mut images: HashSet<String> = HashSet::new();
    for node in &mut graph.node {
        let rank = |name: &String| if images.contains(name) { Some(4) } else { ranks.get(name.as_str()).copied() };
        let attribute = |name: &str| node.attribute.iter().find(|a| a.name == name);
        let is_image = match node.op_type.as_str() {
            "Conv" => node.input.get(1).and_then(rank) == Some(4),
            "ReduceMean" => {
                let own = attribute("axes").map(|a| a.ints.clone());
                let axes = own.or_else(|| ints.get(node.input.get(1)?.as_str()).cloned()).unwrap_or_default();
                let kept = attribute("keepdims").is_none_or(|a| a.i != Some(0));
                let fits = matches!(axes[..], [2, 3] | [3, 2] | [-2, -1] | [-1, -2] | [2, -1] | [-2, 3]);
                let is_pool = kept && fits && images.contains(&node.input[0]);
                if is_pool {
                    node.op_type = "GlobalAveragePool".into();
                    (node.attribute, node.input) = (Vec::new(), vec![node.input[0].clone()]);
                }
                is_pool
            }
            "Reshape" => node.input.get(1).and_then(|shape| ints.get(shape.as_str())).is_some_and(|s| s.len() == 4),
            op if KEEP_RANK.contains(&op) => {
                let ranks: Vec<Option<usize>> = node.input.iter().map(rank).collect();
                ranks.contains(&Some(4)) && ranks.iter().all(|rank| rank.is_some_and(|rank| rank <= 4))
            }
            _ => false,
        };
        if is_image {
            images.extend(node.output.iter().cloned());
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::ArrayD;

    use crate::onnx::proto::NodeProto;
    use crate::onnx::{Attr, ConvSpec, Dim, GraphBuilder, OnnxModel, Parameter};

    fn nodes(model: &OnnxModel) -> Vec<&NodeProto> {
        model.proto().graph.iter().flat_map(|g| &g.node).collect()
    }

    #[test]
    fn views_of_constants_are_constants_and_casts_of_floats_are_nothing() {
        let mut g = GraphBuilder::new("g");
        let x = g.input("x", &[1, 2].map(Dim::Fixed));
        let kernel = g.constant(&ArrayD::from_shape_fn(vec![3, 2, 1, 1], |at| (10 * at[0] + at[1]) as f32).view());
        let flat = g.node("Flatten", &[&kernel], &[]);
        let turned = g.transpose(&flat, &[1, 0]);
        let y = g.matmul(&x, &turned);
        let y = g.node("Cast", &[&y], &[("to", Attr::Int(1))]);
        let y = g.relu(&y);
        let half = g.node("Cast", &[&y], &[("to", Attr::Int(10))]);
        let whole = g.node("Cast", &[&half], &[("to", Attr::Int(1))]);
        g.output("y", &whole, &[1, 3].map(Dim::Fixed));
        let mut model = g.finish();
        model.fold();
        let ops: Vec<&str> = nodes(&model).iter().map(|n| n.op_type.as_str()).collect();
        // What is rounded to half precision stays so.
        assert_eq!(ops, ["MatMul", "Relu", "Cast", "Cast", "Identity"]);
        assert_eq!(nodes(&model)[1].input, nodes(&model)[0].output);
        let weights = model.proto().graph.as_ref().unwrap().initializer.iter().find(|t| t.name == turned.name());
        let weights = weights.unwrap().to_f32().unwrap();
        assert_eq!((weights.shape(), weights[[1, 2]]), ([2, 3].as_slice(), 21.0));
    }

    #[test]
    fn means_over_an_image_are_pools_and_others_are_not() {
        let mut g = GraphBuilder::new("g");
        let x = g.input("x", &[1, 2, 4, 4].map(Dim::Fixed));
        let unknown = g.node("ReduceMean", &[&x], &[("axes", Attr::Ints(&[2, 3]))]);
        let weight = Parameter { name: "w".into(), values: ArrayD::zeros(vec![2, 2, 1, 1]) };
        let image = g.conv(&x, &weight, None, ConvSpec::default());
        let image = g.relu(&image);
        let attributes = [("axes", Attr::Ints(&[-1, -2])), ("keepdims", Attr::Int(1))];
        let mean = g.node("ReduceMean", &[&image], &attributes);
        let flat = g.node("ReduceMean", &[&image], &[("axes", Attr::Ints(&[2, 3])), ("keepdims", Attr::Int(0))]);
        let channels = g.node("ReduceMean", &[&image], &[("axes", Attr::Ints(&[1]))]);
        for (i, value) in [unknown, mean, flat, channels].iter().enumerate() {
            g.output(&format!("y{i}"), value, &[]);
        }
        let mut model = g.finish();
        model.fold();
        let means = nodes(&model).into_iter().filter(|n| n.op_type == "ReduceMean").count();
        let pools: Vec<_> = nodes(&model).into_iter().filter(|n| n.op_type == "GlobalAveragePool").collect();
        assert_eq!((means, pools.len()), (3, 1));
        assert_eq!((pools[0].input.len(), pools[0].attribute.len()), (1, 0));
        assert_eq!(pools[0].input[0], image.name());
    }
}
