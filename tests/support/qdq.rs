//! Small quantised graphs, written down node by node.

use cutout_models::onnx::proto::{
    AttributeProto, DimensionProto, DimensionValue, NodeProto, TensorProto, TensorShapeProto, TensorTypeProto,
    TypeProto, ValueInfoProto,
};
use cutout_models::onnx::{GraphBuilder, OnnxModel};
use cutout_runtime::engine::{Inputs, Network, Operators, Precision, Prepared, Tensor, Threads};

/// What an attribute says.
pub enum Attribute {
    /// One integer.
    Int(i64),
    /// Some.
    Ints(Vec<i64>),
}

/// A graph of one input, `x`, whose numbers are from -2 to 2.
pub struct Graph {
    shape: Vec<usize>,
    model: OnnxModel,
}

impl Graph {
    /// A graph of nothing but its input.
    pub fn new(shape: &[usize]) -> Self {
        let mut graph = Graph { shape: shape.to_vec(), model: GraphBuilder::new("small").finish() };
        graph.proto().input = vec![declared("x", shape)];
        graph
    }

    fn proto(&mut self) -> &mut cutout_models::onnx::proto::GraphProto {
        self.model.proto_mut().graph.get_or_insert_default()
    }

    fn constant(&mut self, name: &str, data_type: i32, dims: &[usize], raw_data: Vec<u8>) {
        let dims = dims.iter().map(|&d| d as i64).collect();
        self.proto().initializer.push(TensorProto {
            dims,
            data_type,
            name: name.into(),
            raw_data,
            ..TensorProto::default()
        });
    }

    fn raw(&mut self, name: &str) -> &mut TensorProto {
        self.proto().initializer.iter_mut().find(|t| t.name == name).expect("a constant of the graph")
    }

    /// A constant of numbers.
    pub fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) {
        self.constant(name, TensorProto::FLOAT, dims, values.iter().flat_map(|v| v.to_le_bytes()).collect());
    }

    /// A constant list.
    pub fn ints(&mut self, name: &str, values: &[i64]) {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(name, TensorProto::INT64, &[values.len()], bytes);
    }

    /// A constant byte.
    pub fn byte(&mut self, name: &str, value: u8) {
        self.constant(name, TensorProto::UINT8, &[], vec![value]);
    }

    /// A constant of integers, as `name`, and its numbers, as `name/numbers`.
    pub fn integers(&mut self, name: &str, dims: &[usize], values: &[i8], scales: &[f32], axis: i64) {
        self.constant(name, TensorProto::INT8, dims, values.iter().map(|v| v.cast_unsigned()).collect());
        let (scale, rank) = (format!("{name}/scale"), if scales.len() == 1 { 0 } else { 1 });
        self.floats(&scale, &[scales.len()][..rank], scales);
        let axis: &[_] = if rank == 0 { &[] } else { &[("axis", Attribute::Int(axis))] };
        self.node("DequantizeLinear", &[name, &scale], &format!("{name}/numbers"), axis);
    }

    /// The numbers of a constant of integers once more, with another scale, as `name/again`.
    pub fn dequantized_again(&mut self, name: &str, scale: f32) {
        self.floats(&format!("{name}/other"), &[], &[scale]);
        self.node("DequantizeLinear", &[name, &format!("{name}/other")], &format!("{name}/again"), &[]);
    }

    /// Holds a value in bytes, `value/bytes`; `value/numbers` are what these stand for.
    pub fn quantized(&mut self, value: &str, scale: f32, zero: u8) {
        self.constant(&format!("{value}/zero"), TensorProto::UINT8, &[], vec![zero]);
        self.pair(value, scale);
    }

    /// As [`quantized`](Self::quantized), in signed bytes.
    pub fn quantized_signed(&mut self, value: &str, scale: f32, zero: i8) {
        self.constant(&format!("{value}/zero"), TensorProto::INT8, &[], vec![zero.cast_unsigned()]);
        self.pair(value, scale);
    }

    fn pair(&mut self, value: &str, scale: f32) {
        let [of, zero, bytes] = ["scale", "zero", "bytes"].map(|what| format!("{value}/{what}"));
        self.floats(&of, &[], &[scale]);
        self.node("QuantizeLinear", &[value, &of, &zero], &bytes, &[]);
        self.node("DequantizeLinear", &[&bytes, &of, &zero], &format!("{value}/numbers"), &[]);
    }

    /// A node of one output.
    pub fn node(&mut self, op: &str, inputs: &[&str], output: &str, attributes: &[(&str, Attribute)]) {
        let attribute = |(name, value): &(&str, Attribute)| {
            let mut attribute = AttributeProto { name: (*name).to_owned(), ..AttributeProto::default() };
            match value {
                Attribute::Int(i) => (attribute.r#type, attribute.i) = (AttributeProto::INT, Some(*i)),
                Attribute::Ints(ints) => {
                    attribute.r#type = AttributeProto::INTS;
                    attribute.ints.clone_from(ints);
                }
            }
            attribute
        };
        self.proto().node.push(NodeProto {
            op_type: op.to_owned(),
            name: output.to_owned(),
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec![output.to_owned()],
            attribute: attributes.iter().map(attribute).collect(),
        });
    }

    /// `start..end` of an axis.
    pub fn slice(&mut self, x: &str, out: &str, axis: i64, start: i64, end: i64) {
        let names = [("start", start), ("end", end), ("axis", axis)].map(|(what, value)| {
            let name = format!("{out}/{what}");
            self.ints(&name, &[value]);
            name
        });
        let [start, end, axis] = &names;
        self.node("Slice", &[x, start, end, axis], out, &[]);
    }

    /// The exact GELU of a value.
    pub fn gelu(&mut self, x: &str, out: &str) {
        for (name, value) in [("root", std::f32::consts::SQRT_2), ("one", 1.0), ("half", 0.5)] {
            self.floats(&format!("{out}/{name}"), &[], &[value]);
        }
        let [root, one, half, a, b, c, d] =
            ["root", "one", "half", "a", "b", "c", "d"].map(|what| format!("{out}/{what}"));
        self.node("Div", &[x, &root], &a, &[]);
        self.node("Erf", &[&a], &b, &[]);
        self.node("Add", &[&b, &one], &c, &[]);
        self.node("Mul", &[x, &c], &d, &[]);
        self.node("Mul", &[&d, &half], out, &[]);
    }

    /// Gives a value out.
    pub fn output(&mut self, value: &str) {
        self.proto().output.push(ValueInfoProto { name: value.to_owned(), r#type: None });
    }

    /// Changes the bytes of a constant.
    pub fn set_integers(&mut self, name: &str, change: impl FnOnce(&mut [i8])) {
        let raw = &mut self.raw(name).raw_data;
        let mut values: Vec<i8> = raw.iter().map(|b| b.cast_signed()).collect();
        change(&mut values);
        *raw = values.into_iter().map(i8::cast_unsigned).collect();
    }

    /// Changes the numbers of a constant, and its shape if there are another number of them.
    pub fn set_floats(&mut self, name: &str, change: impl FnOnce(&mut Vec<f32>)) {
        let tensor = self.raw(name);
        let mut values: Vec<f32> = tensor.raw_data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        change(&mut values);
        tensor.dims.iter_mut().for_each(|d| *d = values.len() as i64);
        tensor.raw_data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    }

    /// Gives a constant another shape.
    pub fn set_dims(&mut self, name: &str, dims: &[i64]) {
        self.raw(name).dims = dims.to_vec();
    }

    /// Changes the scales of a constant of integers.
    pub fn set_scales(&mut self, name: &str, change: impl FnOnce(&mut Vec<f32>)) {
        self.set_floats(&format!("{name}/scale"), change);
    }

    /// Makes the node that gives a value read another.
    pub fn set_input(&mut self, output: &str, input: usize, name: &str) {
        let node = self.proto().node.iter_mut().find(|n| n.output[0] == output).expect("a node of the graph");
        node.input[input] = name.to_owned();
    }

    fn load(&self, operators: Operators, threads: usize) -> Result<Network, String> {
        let threads = Threads::new(threads).map_err(|e| e.to_string())?;
        let inputs = Inputs::default();
        let network = Network::load("small", self.model.clone(), inputs, operators, Precision::F32, &threads);
        network.map_err(|e| e.to_string())
    }

    fn image(&self) -> Tensor {
        self.image_of(0)
    }

    fn image_of(&self, seed: usize) -> Tensor {
        let count = self.shape.iter().product::<usize>();
        let values = (0..count).map(|i| ((i + 31 * seed) * 7919 % 1009) as f32 / 252.0 - 2.0).collect();
        Tensor::new(self.shape.clone(), values).expect("as many values as the shape says")
    }

    /// What the graph gives. Our own operators have to cover it, if they are asked.
    pub fn run(&self, operators: Operators, threads: usize) -> Vec<Tensor> {
        let network = self.load(operators, threads).expect("a graph that runs");
        assert_eq!(network.is_tract(), operators == Operators::Tract, "our own operators do not cover it");
        network.run(&[("x", &self.image())]).expect("a graph that runs")
    }

    /// What our own operators give of some inputs, one by one and as a batch.
    pub fn run_batch(&self, count: usize) -> [Vec<Vec<Tensor>>; 2] {
        let network = self.load(Operators::default(), 2).expect("a graph that runs");
        let images: Vec<Tensor> = (0..count).map(|seed| self.image_of(seed)).collect();
        let inputs: Vec<[(&str, &Tensor); 1]> = images.iter().map(|image| [("x", image)]).collect();
        let alone = inputs.iter().map(|inputs| network.run(inputs).expect("a graph that runs")).collect();
        let batch: Vec<&[(&str, &Tensor)]> = inputs.iter().map(|inputs| &inputs[..]).collect();
        [alone, network.run_batch(&Prepared::default(), &batch).expect("a graph that runs")]
    }

    /// The steps of our own operators: which, and in what they computed.
    pub fn operators(&self) -> Vec<(&'static str, Precision)> {
        let network = self.load(Operators::default(), 1).expect("a graph that runs");
        let layers = network.profile(&[("x", &self.image())], 1).expect("a graph that runs");
        layers.iter().map(|l| (l.operator, l.precision)).collect()
    }

    /// Whether our own operators do not take the graph.
    pub fn is_refused(&self) -> bool {
        self.load(Operators::default(), 1).map_or(true, |network| network.is_tract())
    }

    /// Runs the graph if our own operators take it.
    pub fn may_run(&self) {
        if let Some(network) = self.load(Operators::default(), 2).ok().filter(|network| !network.is_tract()) {
            // An error is an answer.
            let _ = network.run(&[("x", &self.image())]);
        }
    }
}

fn declared(name: &str, shape: &[usize]) -> ValueInfoProto {
    let dim = shape.iter().map(|&d| DimensionProto { value: Some(DimensionValue::DimValue(d as i64)) }).collect();
    let tensor_type = Some(TensorTypeProto { elem_type: TensorProto::FLOAT, shape: Some(TensorShapeProto { dim }) });
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { tensor_type }) }
}
