//! [`Graph`]: an ONNX graph with the shape of every value, as lowering reads it.

use std::collections::HashMap;
use std::sync::Arc;

use cutout_models::onnx::OnnxModel;
use cutout_models::onnx::proto::{AttributeProto, DimensionValue, GraphProto, NodeProto, TensorProto};

use super::shapes;

/// Index of a value in [`Graph::values`].
pub(super) type ValueId = usize;

/// What is known of a value before the graph runs.
#[derive(Clone, Debug)]
pub(super) enum Constant {
    F32(Arc<Vec<f32>>),
    Ints(Vec<i64>),
}

/// A value: an input, a constant, or the output of a node.
#[derive(Debug)]
pub(super) struct Value {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) constant: Option<Constant>,
    /// The nodes that read it, in order; one that reads it twice is there twice.
    pub(super) readers: Vec<usize>,
}

impl Value {
    pub(super) fn floats(&self) -> Option<&Arc<Vec<f32>>> {
        match &self.constant {
            Some(Constant::F32(values)) => Some(values),
            _ => None,
        }
    }

    pub(super) fn ints(&self) -> Option<&[i64]> {
        match &self.constant {
            Some(Constant::Ints(values)) => Some(values),
            _ => None,
        }
    }

    /// The one number of a constant that has but one.
    pub(super) fn scalar(&self) -> Option<f32> {
        match self.floats()?.as_slice() {
            [value] => Some(*value),
            _ => None,
        }
    }
}

/// A node of the graph.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) op: String,
    pub(super) name: String,
    pub(super) inputs: Vec<ValueId>,
    pub(super) outputs: Vec<ValueId>,
    attributes: Vec<AttributeProto>,
}

impl Node {
    fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.attributes.iter().find(|a| a.name == name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    pub(super) fn int(&self, name: &str) -> Option<i64> {
        self.attribute(name)?.i
    }

    pub(super) fn ints(&self, name: &str) -> Option<&[i64]> {
        self.attribute(name).map(|a| a.ints.as_slice())
    }

    pub(super) fn float(&self, name: &str) -> Option<f32> {
        self.attribute(name)?.f
    }
}

/// A graph whose shapes are all known.
#[derive(Debug)]
pub(super) struct Graph {
    pub(super) values: Vec<Value>,
    pub(super) nodes: Vec<Node>,
    pub(super) inputs: Vec<ValueId>,
    pub(super) outputs: Vec<ValueId>,
}

/// The constants of a model, decoded once for all graphs that are made of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Constants(Arc<HashMap<String, (Vec<usize>, Constant)>>);

impl Constants {
    /// Decodes the constants of a model.
    ///
    /// # Errors
    /// Names the constant that is of another type than float32 and int64, or has another number of elements than its shape says.
    pub(crate) fn of(onnx: &OnnxModel) -> Result<Self, String> {
        let mut out = HashMap::new();
        for tensor in onnx.proto().graph.iter().flat_map(|g| &g.initializer) {
            let shape: Vec<usize> = tensor.dims.iter().map(|&d| d.max(0) as usize).collect();
            let constant = match tensor.data_type {
                TensorProto::FLOAT => Constant::F32(Arc::new(
                    tensor.raw_data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
                )),
                TensorProto::INT64 => {
                    Constant::Ints(tensor.raw_data.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect())
                }
                other => return Err(format!("constant {} is of element type {other}", tensor.name)),
            };
            let count = match &constant {
                Constant::F32(values) => values.len(),
                Constant::Ints(values) => values.len(),
            };
            if count != shape.iter().product::<usize>() {
                return Err(format!("constant {} has {count} elements for shape {shape:?}", tensor.name));
            }
            out.insert(tensor.name.clone(), (shape, constant));
        }
        Ok(Constants(Arc::new(out)))
    }
}

impl Graph {
    /// Reads a model whose symbolic dimensions are those of `symbols`. `fixed` are inputs whose values are known.
    ///
    /// # Errors
    /// Says what of the graph is unknown here: an operator, a shape, a value that nothing gives.
    pub(super) fn read(
        onnx: &OnnxModel,
        constants: &Constants,
        symbols: &[(&str, usize)],
        fixed: &[(&str, &[f32])],
    ) -> Result<Self, String> {
        let proto: &GraphProto = onnx.proto().graph.as_ref().ok_or("there is no graph")?;
        let mut graph = Graph { values: Vec::new(), nodes: Vec::new(), inputs: Vec::new(), outputs: Vec::new() };
        let mut names: HashMap<String, ValueId> = HashMap::new();
        for (name, (shape, constant)) in constants.0.iter() {
            let id = graph.value(name, shape.clone(), Some(constant.clone()));
            names.insert(name.clone(), id);
        }
        for input in &proto.input {
            let shape =
                shape_of(input, symbols).ok_or_else(|| format!("the shape of input {} is unknown", input.name))?;
            let known = fixed.iter().find(|(name, _)| *name == input.name);
            let constant = known.map(|(_, values)| Constant::F32(Arc::new(values.to_vec())));
            let id = graph.value(&input.name, shape, constant);
            names.insert(input.name.clone(), id);
            if known.is_none() {
                graph.inputs.push(id);
            }
        }
        for node in &proto.node {
            graph.append(node, &mut names)?;
        }
        for output in &proto.output {
            graph
                .outputs
                .push(*names.get(&output.name).ok_or_else(|| format!("nothing gives output {}", output.name))?);
        }
        Ok(graph)
    }

    fn value(&mut self, name: &str, shape: Vec<usize>, constant: Option<Constant>) -> ValueId {
        self.values.push(Value { name: name.to_owned(), shape, constant, readers: Vec::new() });
        self.values.len() - 1
    }

    fn append(&mut self, proto: &NodeProto, names: &mut HashMap<String, ValueId>) -> Result<(), String> {
        let look = |name: &String| {
            names.get(name).copied().ok_or_else(|| format!("{} reads {name}, which nothing gives", proto.name))
        };
        let inputs = proto.input.iter().map(look).collect::<Result<Vec<_>, _>>()?;
        let number = self.nodes.len();
        let node = Node {
            op: proto.op_type.clone(),
            name: proto.name.clone(),
            inputs,
            outputs: Vec::new(),
            attributes: proto.attribute.clone(),
        };
        let shapes = shapes::infer(&node, &self.values, proto.output.len())
            .ok_or_else(|| format!("the shapes of {} ({}) are unknown", node.name, node.op))?;
        for &input in &node.inputs {
            self.values[input].readers.push(number);
        }
        self.nodes.push(node);
        for (name, shape) in proto.output.iter().zip(shapes) {
            let id = self.value(name, shape, None);
            names.insert(name.clone(), id);
            self.nodes[number].outputs.push(id);
        }
        Ok(())
    }

    /// The one node that reads a value, if it is the only one and the value is no output.
    pub(super) fn only_reader(&self, value: ValueId) -> Option<usize> {
        match self.values[value].readers.as_slice() {
            [reader] if !self.outputs.contains(&value) => Some(*reader),
            _ => None,
        }
    }
}

fn shape_of(input: &cutout_models::onnx::proto::ValueInfoProto, symbols: &[(&str, usize)]) -> Option<Vec<usize>> {
    let tensor = input.r#type.as_ref()?.tensor_type.as_ref()?;
    let dims = &tensor.shape.as_ref()?.dim;
    dims.iter()
        .map(|dim| match dim.value.as_ref()? {
            DimensionValue::DimValue(n) => usize::try_from(*n).ok(),
            DimensionValue::DimParam(name) => symbols.iter().find(|(symbol, _)| symbol == name).map(|(_, n)| *n),
        })
        .collect()
}
