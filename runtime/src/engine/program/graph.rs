//! [`Graph`]: a graph with the shape of every value, as lowering reads it.

use std::collections::{BTreeMap, HashMap};

use cutout_kernels::{Aligned, Shared};

use super::description::{Attribute, Description, Dimension, Input, NodeDescription};
use super::quantization::{Quantization, WeightScale};
use super::shapes;
use super::store::{Constant, Store};

/// Most elements of a value: what makes a size that no machine holds an error.
const MOST_ELEMENTS: usize = 1 << 32;

/// Index of a value in [`Graph::values`].
pub(super) type ValueId = usize;

/// A value: an input, a constant, or the output of a node.
#[derive(Debug)]
pub(super) struct Value {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) constant: Option<Constant>,
    /// How it is held in bytes, if it is.
    pub(super) quantization: Option<Quantization>,
    /// Of a constant that is stored as integers.
    pub(super) scale: Option<WeightScale>,
    /// The node that gives it.
    pub(super) maker: Option<usize>,
    /// The nodes that read it, in order; one that reads it twice is there twice.
    pub(super) readers: Vec<usize>,
}

impl Value {
    pub(super) fn floats(&self) -> Option<&Shared<f32>> {
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

    /// Whether its numbers are known, though they may be there in the layout of the kernels only.
    pub(super) fn is_known(&self) -> bool {
        matches!(self.constant, Some(Constant::F32(_) | Constant::I8(_) | Constant::Packed))
    }

    /// The one number of a constant that has but one.
    pub(super) fn scalar(&self) -> Option<f32> {
        match self.floats()?[..] {
            [value] => Some(value),
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
    attributes: BTreeMap<String, Attribute>,
}

impl Node {
    pub(super) fn has(&self, name: &str) -> bool {
        self.attributes.contains_key(name)
    }

    pub(super) fn int(&self, name: &str) -> Option<i64> {
        if let Some(Attribute::Int(value)) = self.attributes.get(name) { Some(*value) } else { None }
    }

    pub(super) fn ints(&self, name: &str) -> Option<&[i64]> {
        if let Some(Attribute::Ints(values)) = self.attributes.get(name) { Some(values) } else { None }
    }

    pub(super) fn float(&self, name: &str) -> Option<f32> {
        if let Some(Attribute::Float(value)) = self.attributes.get(name) { Some(*value) } else { None }
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

impl Graph {
    /// Reads a graph whose symbolic dimensions are those of `symbols`. `fixed` are inputs whose values are known.
    ///
    /// # Errors
    /// Says what of the graph is unknown here: an operator, a shape, a value that nothing gives.
    pub(super) fn read(
        description: &Description,
        store: &Store,
        symbols: &[(&str, usize)],
        fixed: &[(&str, &[f32])],
    ) -> Result<Self, String> {
        let mut graph = Graph { values: Vec::new(), nodes: Vec::new(), inputs: Vec::new(), outputs: Vec::new() };
        let mut names: HashMap<String, ValueId> = HashMap::new();
        for (name, (shape, constant)) in store.constants().iter() {
            if shape.contains(&0) {
                return Err(format!("constant {name} is empty"));
            }
            let id = graph.value(name, shape.clone(), Some(constant.clone()));
            graph.values[id].scale = description.scaled.get(name).cloned();
            names.insert(name.clone(), id);
        }
        for input in &description.inputs {
            let shape = shape_of(input, symbols)
                .filter(|shape| {
                    elements(shape).is_some() && !input.shape.iter().any(|d| matches!(d, Dimension::Size(0)))
                })
                .ok_or_else(|| format!("the shape of input {} is unknown", input.name))?;
            let known = fixed.iter().find(|(name, _)| *name == input.name);
            if known.is_some_and(|(_, values)| elements(&shape) != Some(values.len())) {
                return Err(format!("input {} has another number of values than its shape", input.name));
            }
            let constant = known.map(|(_, values)| {
                let mut own = Aligned::zeros(values.len());
                own.copy_from_slice(values);
                Constant::F32(own.into())
            });
            let id = graph.value(&input.name, shape, constant);
            names.insert(input.name.clone(), id);
            if known.is_none() {
                graph.inputs.push(id);
            }
        }
        for node in &description.nodes {
            graph.append(node, &mut names)?;
        }
        for value in &mut graph.values {
            value.quantization = description.quantized.get(&value.name).copied();
        }
        for output in &description.outputs {
            graph.outputs.push(*names.get(output).ok_or_else(|| format!("nothing gives output {output}"))?);
        }
        Ok(graph)
    }

    fn value(&mut self, name: &str, shape: Vec<usize>, constant: Option<Constant>) -> ValueId {
        self.values.push(Value {
            name: name.to_owned(),
            shape,
            constant,
            quantization: None,
            scale: None,
            maker: None,
            readers: Vec::new(),
        });
        self.values.len() - 1
    }

    fn append(&mut self, described: &NodeDescription, names: &mut HashMap<String, ValueId>) -> Result<(), String> {
        let look = |name: &String| {
            names.get(name).copied().ok_or_else(|| format!("{} reads {name}, which nothing gives", described.name))
        };
        let inputs = described.inputs.iter().map(look).collect::<Result<Vec<_>, _>>()?;
        let number = self.nodes.len();
        let node = Node {
            op: described.op.clone(),
            name: described.name.clone(),
            inputs,
            outputs: Vec::new(),
            attributes: described.attributes.clone(),
        };
        let shapes = shapes::infer(&node, &self.values, described.outputs.len())
            .filter(|shapes| shapes.len() == described.outputs.len() && shapes.iter().all(|s| elements(s).is_some()))
            .ok_or_else(|| format!("the shapes of {} ({}) are unknown", node.name, node.op))?;
        for &input in &node.inputs {
            self.values[input].readers.push(number);
        }
        self.nodes.push(node);
        for (name, shape) in described.outputs.iter().zip(shapes) {
            let id = self.value(name, shape, None);
            names.insert(name.clone(), id);
            self.values[id].maker = Some(number);
            self.nodes[number].outputs.push(id);
        }
        Ok(())
    }

    /// The node that gives a value, if it has this operator.
    pub(super) fn maker(&self, value: ValueId, op: &str) -> Option<(usize, &Node)> {
        let maker = self.values[value].maker?;
        let node = &self.nodes[maker];
        (node.op == op).then_some((maker, node))
    }

    /// The one node that reads a value, if it is the only one and the value is no output.
    pub(super) fn only_reader(&self, value: ValueId) -> Option<usize> {
        match self.values[value].readers.as_slice() {
            [reader] if !self.outputs.contains(&value) => Some(*reader),
            _ => None,
        }
    }
}

fn shape_of(input: &Input, symbols: &[(&str, usize)]) -> Option<Vec<usize>> {
    let size = |dimension: &Dimension| match dimension {
        Dimension::Size(n) => Some(*n),
        Dimension::Symbol(name) => symbols.iter().find(|(symbol, _)| symbol == name).map(|(_, n)| *n),
    };
    input.shape.iter().map(size).collect()
}

/// The number of elements, if a machine can hold them.
fn elements(shape: &[usize]) -> Option<usize> {
    let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
    (count <= MOST_ELEMENTS).then_some(count)
}
