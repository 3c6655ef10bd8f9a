//! Builds an ONNX graph node by node.

use ndarray::{ArrayD, ArrayViewD};

use super::OnnxModel;
use super::names::Names;
use super::proto::*;

/// Operator set that every emitted graph declares. 17 is the first with `LayerNormalization`.
pub const OPSET: i64 = 17;

/// A value in the graph under construction: the output of a node, an input or a constant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value(String);

impl Value {
    /// The name of the value in the ONNX file.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// One dimension of an input or output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim {
    /// Known when the graph is built.
    Fixed(usize),
    /// Bound when the graph is run.
    Symbol(&'static str),
}

impl From<usize> for Dim {
    fn from(n: usize) -> Self {
        Dim::Fixed(n)
    }
}

/// Value of a node's attribute.
#[derive(Clone, Debug)]
pub enum Attr<'a> {
    /// One integer.
    Int(i64),
    /// Several integers.
    Ints(&'a [i64]),
    /// One float.
    Float(f32),
    /// Text.
    Str(&'a str),
}

/// Stride, padding, dilation and groups of a convolution; the same in both directions.
#[derive(Clone, Copy, Debug)]
pub struct ConvSpec {
    /// Stride.
    pub stride: usize,
    /// Zero padding at each side.
    pub padding: usize,
    /// Dilation.
    pub dilation: usize,
    /// Number of groups; the channel count for a depthwise convolution.
    pub groups: usize,
}

impl Default for ConvSpec {
    fn default() -> Self {
        ConvSpec { stride: 1, padding: 0, dilation: 1, groups: 1 }
    }
}

/// A parameter of a network, under its name in the checkpoint.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its name, which becomes its constant's.
    pub name: String,
    /// Its values.
    pub values: ArrayD<f32>,
}

/// An ONNX graph under construction.
///
/// Nodes, and constants that are computed, are called by scope path and kind
/// (`image_encoder/layers.1/attn/qkv/MatMul`), so that a profile of the running model can be read against the
/// official code; the second of a kind in a scope gets `.1`, and so on. Constants that are parameters bear the
/// parameters' names (`image_encoder.layers.1.attn.qkv.weight`). So names are those of the network, whatever the
/// input size, where nodes that only some sizes need have scopes of their own.
pub struct GraphBuilder {
    graph: GraphProto,
    scope: Vec<String>,
    names: Names,
}

impl GraphBuilder {
    /// An empty graph.
    pub fn new(name: &str) -> Self {
        let graph = GraphProto { name: name.into(), ..Default::default() };
        GraphBuilder { graph, scope: Vec::new(), names: Names::default() }
    }

    /// Runs `build` with `name` appended to the scope path.
    pub fn scoped<T>(&mut self, name: impl Into<String>, build: impl FnOnce(&mut Self) -> T) -> T {
        self.scope.push(name.into());
        let out = build(self);
        self.scope.pop();
        out
    }

    fn fresh(&mut self, what: &str) -> String {
        let path = self.scope.iter().map(String::as_str).chain([what]).collect::<Vec<_>>().join("/");
        self.names.give(path)
    }

    /// Declares a float32 input.
    pub fn input(&mut self, name: &str, shape: &[Dim]) -> Value {
        let name = self.names.give(name.into());
        self.graph.input.push(value_info(&name, shape));
        Value(name)
    }

    /// Declares `value` an output called `name`.
    pub fn output(&mut self, name: &str, value: &Value, shape: &[Dim]) {
        let name = self.names.give(name.into());
        self.graph.output.push(value_info(&name, shape));
        self.graph.node.push(NodeProto {
            input: vec![value.0.clone()],
            output: vec![name.clone()],
            name,
            op_type: "Identity".into(),
            attribute: Vec::new(),
        });
    }

    /// A float32 constant.
    pub fn constant(&mut self, data: &ArrayViewD<'_, f32>) -> Value {
        let name = self.fresh("const");
        self.named_constant(name, data)
    }

    /// A parameter as a constant of its name.
    pub fn parameter(&mut self, parameter: &Parameter) -> Value {
        let name = self.names.give(parameter.name.clone());
        self.named_constant(name, &parameter.values.view())
    }

    fn named_constant(&mut self, name: String, data: &ArrayViewD<'_, f32>) -> Value {
        self.graph.initializer.push(TensorProto::of_f32(name.clone(), data));
        Value(name)
    }

    /// A float32 constant without dimensions.
    pub fn scalar(&mut self, value: f32) -> Value {
        self.constant(&ArrayD::from_elem(Vec::new(), value).view())
    }

    /// A one-dimensional int64 constant.
    pub fn ints(&mut self, data: &[i64]) -> Value {
        let name = self.fresh("ints");
        self.graph.initializer.push(TensorProto::of_i64(name.clone(), data));
        Value(name)
    }

    /// Appends a node with one output.
    pub fn node(&mut self, op: &str, inputs: &[&Value], attributes: &[(&str, Attr<'_>)]) -> Value {
        self.node_n(op, inputs, attributes, 1).remove(0)
    }

    /// Appends a node with `outputs` outputs.
    pub fn node_n(
        &mut self,
        op: &str,
        inputs: &[&Value],
        attributes: &[(&str, Attr<'_>)],
        outputs: usize,
    ) -> Vec<Value> {
        let name = self.fresh(op);
        let names: Vec<String> = match outputs {
            1 => vec![name.clone()],
            n => (0..n).map(|i| format!("{name}:{i}")).collect(),
        };
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(|v| v.0.clone()).collect(),
            output: names.clone(),
            name,
            op_type: op.into(),
            attribute: attributes.iter().map(|(n, a)| attribute(n, a)).collect(),
        });
        names.into_iter().map(Value).collect()
    }

    /// Elementwise sum, with broadcasting.
    pub fn add(&mut self, a: &Value, b: &Value) -> Value {
        self.node("Add", &[a, b], &[])
    }

    /// Elementwise product, with broadcasting.
    pub fn mul(&mut self, a: &Value, b: &Value) -> Value {
        self.node("Mul", &[a, b], &[])
    }

    /// Batched matrix product over the last two dimensions.
    pub fn matmul(&mut self, a: &Value, b: &Value) -> Value {
        self.node("MatMul", &[a, b], &[])
    }

    /// `x W^T + b`, as `torch.nn.Linear` with `weight` (out, in).
    pub fn linear(&mut self, x: &Value, weight: &Parameter, bias: Option<&Parameter>) -> Value {
        let name = self.names.give(weight.name.clone());
        let w = self.named_constant(name, &weight.values.view().reversed_axes());
        let y = self.matmul(x, &w);
        match bias {
            Some(b) => {
                let b = self.parameter(b);
                self.add(&y, &b)
            }
            None => y,
        }
    }

    /// Two-dimensional convolution of an NCHW value with `weight` (out, in / groups, kh, kw).
    pub fn conv(&mut self, x: &Value, weight: &Parameter, bias: Option<&Parameter>, spec: ConvSpec) -> Value {
        let kernel = [2, 3].map(|axis| weight.values.shape()[axis] as i64);
        let w = self.parameter(weight);
        let b = bias.map(|b| self.parameter(b));
        let mut inputs = vec![x, &w];
        inputs.extend(b.as_ref());
        let [s, p, d] = [spec.stride, spec.padding, spec.dilation].map(|v| v as i64);
        self.node(
            "Conv",
            &inputs,
            &[
                ("kernel_shape", Attr::Ints(&kernel)),
                ("strides", Attr::Ints(&[s, s])),
                ("pads", Attr::Ints(&[p, p, p, p])),
                ("dilations", Attr::Ints(&[d, d])),
                ("group", Attr::Int(spec.groups as i64)),
            ],
        )
    }

    /// Transposed convolution with kernel 2 and stride 2; `weight` is (in, out, 2, 2).
    pub fn conv_transpose_2x2(&mut self, x: &Value, weight: &Parameter, bias: &Parameter) -> Value {
        let w = self.parameter(weight);
        let b = self.parameter(bias);
        self.node(
            "ConvTranspose",
            &[x, &w, &b],
            &[("kernel_shape", Attr::Ints(&[2, 2])), ("strides", Attr::Ints(&[2, 2]))],
        )
    }

    /// Layer normalisation over the last dimension.
    pub fn layer_norm(&mut self, x: &Value, gamma: &Parameter, beta: &Parameter, epsilon: f32) -> Value {
        let g = self.parameter(gamma);
        let b = self.parameter(beta);
        self.node("LayerNormalization", &[x, &g, &b], &[("axis", Attr::Int(-1)), ("epsilon", Attr::Float(epsilon))])
    }

    /// Layer normalisation over the channels of an NCHW value (`LayerNorm2d` of Segment Anything).
    pub fn layer_norm_2d(&mut self, x: &Value, gamma: &Parameter, beta: &Parameter, epsilon: f32) -> Value {
        let nhwc = self.transpose(x, &[0, 2, 3, 1]);
        let y = self.layer_norm(&nhwc, gamma, beta, epsilon);
        self.transpose(&y, &[0, 3, 1, 2])
    }

    /// The exact GELU, `x (1 + erf(x / sqrt 2)) / 2`.
    pub fn gelu(&mut self, x: &Value) -> Value {
        let sqrt2 = self.scalar(std::f32::consts::SQRT_2);
        let one = self.scalar(1.0);
        let half = self.scalar(0.5);
        let scaled = self.node("Div", &[x, &sqrt2], &[]);
        let erf = self.node("Erf", &[&scaled], &[]);
        let shifted = self.add(&erf, &one);
        let product = self.mul(x, &shifted);
        self.mul(&product, &half)
    }

    /// `max(x, 0)`.
    pub fn relu(&mut self, x: &Value) -> Value {
        self.node("Relu", &[x], &[])
    }

    /// `min(max(x, low), high)`.
    pub fn clip(&mut self, x: &Value, low: f32, high: f32) -> Value {
        let low = self.scalar(low);
        let high = self.scalar(high);
        self.node("Clip", &[x, &low, &high], &[])
    }

    /// Softmax over the last dimension.
    pub fn softmax(&mut self, x: &Value) -> Value {
        self.node("Softmax", &[x], &[("axis", Attr::Int(-1))])
    }

    /// Reshape; 0 keeps a dimension, -1 is inferred.
    pub fn reshape(&mut self, x: &Value, shape: &[i64]) -> Value {
        let shape = self.ints(shape);
        self.node("Reshape", &[x, &shape], &[])
    }

    /// Permutes the dimensions.
    pub fn transpose(&mut self, x: &Value, perm: &[i64]) -> Value {
        self.node("Transpose", &[x], &[("perm", Attr::Ints(perm))])
    }

    /// Concatenates along `axis`.
    pub fn concat(&mut self, parts: &[&Value], axis: i64) -> Value {
        self.node("Concat", parts, &[("axis", Attr::Int(axis))])
    }

    /// `x[.., start..end, ..]` along `axis`.
    pub fn slice(&mut self, x: &Value, axis: i64, start: i64, end: i64) -> Value {
        let starts = self.ints(&[start]);
        let ends = self.ints(&[end]);
        let axes = self.ints(&[axis]);
        self.node("Slice", &[x, &starts, &ends, &axes], &[])
    }

    /// `x[.., start..end, ..]` along several axes, `(axis, start, end)` each.
    pub fn slices(&mut self, x: &Value, ranges: &[(i64, i64, i64)]) -> Value {
        let starts = self.ints(&ranges.iter().map(|r| r.1).collect::<Vec<_>>());
        let ends = self.ints(&ranges.iter().map(|r| r.2).collect::<Vec<_>>());
        let axes = self.ints(&ranges.iter().map(|r| r.0).collect::<Vec<_>>());
        self.node("Slice", &[x, &starts, &ends, &axes], &[])
    }

    /// Three equal parts along `axis`.
    pub fn split3(&mut self, x: &Value, axis: i64) -> [Value; 3] {
        let parts = self.node_n("Split", &[x], &[("axis", Attr::Int(axis))], 3);
        std::array::from_fn(|i| parts[i].clone())
    }

    /// Zero padding of an NCHW or NHWC value, `(axis, before, after)` each.
    pub fn pad(&mut self, x: &Value, rank: usize, pads: &[(usize, usize, usize)]) -> Value {
        let mut all = vec![0i64; rank * 2];
        for &(axis, before, after) in pads {
            all[axis] = before as i64;
            all[rank + axis] = after as i64;
        }
        let pads = self.ints(&all);
        self.node("Pad", &[x, &pads], &[("mode", Attr::Str("constant"))])
    }

    /// The finished model.
    pub fn finish(self) -> OnnxModel {
        OnnxModel::new(ModelProto {
            ir_version: 8,
            producer_name: "cutout".into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            graph: Some(self.graph),
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
            metadata_props: Vec::new(),
        })
    }
}

pub(super) fn attribute(name: &str, value: &Attr<'_>) -> AttributeProto {
    let mut out = AttributeProto { name: name.into(), ..Default::default() };
    match value {
        Attr::Int(v) => (out.i, out.r#type) = (Some(*v), AttributeProto::INT),
        Attr::Ints(v) => (out.ints, out.r#type) = (v.to_vec(), AttributeProto::INTS),
        Attr::Float(v) => (out.f, out.r#type) = (Some(*v), AttributeProto::FLOAT),
        Attr::Str(v) => (out.s, out.r#type) = (Some(v.as_bytes().to_vec()), AttributeProto::STRING),
    }
    out
}

pub(crate) fn value_info(name: &str, shape: &[Dim]) -> ValueInfoProto {
    let dim = shape
        .iter()
        .map(|d| DimensionProto {
            value: Some(match d {
                Dim::Fixed(n) => DimensionValue::DimValue(*n as i64),
                Dim::Symbol(s) => DimensionValue::DimParam((*s).into()),
            }),
        })
        .collect();
    let tensor = TensorTypeProto { elem_type: TensorProto::FLOAT, shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type: Some(tensor) }) }
}
