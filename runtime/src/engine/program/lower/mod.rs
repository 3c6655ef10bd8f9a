//! Lowering: from an ONNX graph to steps.

mod attention;
mod bytes;
mod bytes_attention;
mod elementwise;
mod integers;
mod products;
mod projections;

use cutout_kernels::{Aligned, Shared, SimdLevel};
use cutout_models::Normalization;

use super::graph::{Graph, Node, ValueId};
use super::operation::{Buffer, Operation, Step};
use super::operations::{Copy, LayerNorm, MeanPool, Softmax};
use super::shapes;
use super::store::Store;
use super::view::{Rows, View};
use bytes::Bytes;

/// Why a graph cannot be lowered; then tract runs it.
pub(super) type Result<T> = std::result::Result<T, String>;

/// What lowering gives.
pub(super) struct Lowered {
    pub(super) steps: Vec<Step>,
    /// Elements of each slot.
    pub(super) lengths: Vec<usize>,
    /// The shape of the value in each slot.
    pub(super) shapes: Vec<Vec<usize>>,
    pub(super) constants: Vec<Shared<f32>>,
    pub(super) outputs: Vec<(Buffer, View)>,
}

/// Where a value lies.
#[derive(Clone, Debug)]
struct Place {
    buffer: Buffer,
    view: View,
}

pub(super) struct Lowering<'g> {
    graph: &'g Graph,
    level: SimdLevel,
    store: &'g Store,
    places: Vec<Option<Place>>,
    /// As `places`, of values that are held in bytes.
    bytes: Vec<Option<Bytes>>,
    /// Nodes that are part of an earlier one's step.
    done: Vec<bool>,
    /// Of the inputs, and of the slots: whether they depend on inputs only that stay the same over many runs.
    early_inputs: &'g [bool],
    early_slots: Vec<bool>,
    /// The value that is an image of levels, its input, and how the graph takes it.
    levels: Option<(ValueId, Buffer, Normalization)>,
    out: Lowered,
}

/// Lowers a graph. `early_inputs` says of each input whether it stays the same over many runs, `levels` which is an image
/// of levels, and how the graph takes it.
///
/// # Errors
/// Names the node that has no operator here.
pub(super) fn lower(
    graph: &Graph,
    level: SimdLevel,
    store: &Store,
    early_inputs: &[bool],
    levels: Option<(usize, Normalization)>,
) -> Result<Lowered> {
    let levels = levels.map(|(i, normalization)| (graph.inputs[i], Buffer::Input(i), normalization));
    let out = Lowered {
        steps: Vec::new(),
        lengths: Vec::new(),
        shapes: Vec::new(),
        constants: Vec::new(),
        outputs: Vec::new(),
    };
    let (places, bytes) = (vec![None; graph.values.len()], vec![None; graph.values.len()]);
    let (done, early_slots) = (vec![false; graph.nodes.len()], Vec::new());
    let mut l = Lowering { graph, level, store, places, bytes, done, early_inputs, early_slots, levels, out };
    for (i, &id) in graph.inputs.iter().enumerate() {
        // Levels have no place: only what reads them as such may.
        if levels.is_none_or(|(image, ..)| image != id) {
            l.set(id, Place { buffer: Buffer::Input(i), view: View::contiguous(&graph.values[id].shape) });
        }
    }
    for i in 0..graph.nodes.len() {
        if !l.done[i] {
            let node = &graph.nodes[i];
            l.node(i, node).map_err(|why| format!("{} ({}): {why}", node.name, node.op))?;
        }
    }
    for &id in &graph.outputs {
        let Place { buffer, view } = l.place(id)?;
        l.out.outputs.push((buffer, view));
    }
    Ok(l.out)
}

impl<'g> Lowering<'g> {
    fn node(&mut self, i: usize, node: &'g Node) -> Result<()> {
        if self.in_bytes(i, node)? {
            return Ok(());
        }
        match node.op.as_str() {
            "Identity" => {
                let place = self.place(node.inputs[0])?;
                self.set(node.outputs[0], place);
                Ok(())
            }
            "Transpose" | "Reshape" | "Slice" | "Split" => self.view_of(node),
            "Conv" => self.convolution(node),
            "MatMul" => self.product(node),
            "LayerNormalization" => self.layer_norm(node),
            "Softmax" => {
                self.over_last(node)?;
                let (buffer, rows) = self.rows(node.inputs[0])?;
                self.give(node, node.outputs[0], Softmax { level: self.level, rows }, vec![buffer]);
                Ok(())
            }
            "GlobalAveragePool" => {
                let (buffer, rows) = self.pixels(node.inputs[0])?;
                self.give(node, node.outputs[0], MeanPool { rows }, vec![buffer]);
                Ok(())
            }
            _ => self.elementwise(i, node),
        }
    }

    fn shape(&self, value: ValueId) -> &'g [usize] {
        &self.graph.values[value].shape
    }

    /// Where a value lies; a constant gets its buffer when it is first asked for.
    fn place(&mut self, value: ValueId) -> Result<Place> {
        if let Some(place) = &self.places[value] {
            return Ok(place.clone());
        }
        if let Some(bytes) = self.bytes[value].clone() {
            return Ok(self.dequantize(value, &bytes));
        }
        let known = &self.graph.values[value];
        let values = known.floats().ok_or_else(|| format!("{} is no float32 value that is known here", known.name))?;
        let buffer = self.constant(values.clone());
        let place = Place { buffer, view: View::contiguous(&known.shape) };
        self.places[value] = Some(place.clone());
        Ok(place)
    }

    /// Notes the shape of what a slot holds first.
    fn note_shape(&mut self, value: ValueId, buffer: Buffer) {
        if let Buffer::Slot(slot) = buffer
            && self.out.shapes[slot].is_empty()
        {
            self.out.shapes[slot] = self.shape(value).to_vec();
        }
    }

    /// Says where a value lies. One that is to be held in bytes is quantised.
    fn set(&mut self, value: ValueId, place: Place) {
        self.note_shape(value, place.buffer);
        match self.graph.values[value].quantization {
            Some(quantization) => self.quantize(value, &place, quantization),
            None => self.places[value] = Some(place),
        }
    }

    /// Whether it is known where a value lies, or will be when it is asked for.
    fn is_there(&self, value: ValueId) -> bool {
        self.places[value].is_some() || self.bytes[value].is_some()
    }

    fn constant(&mut self, values: Shared<f32>) -> Buffer {
        self.out.constants.push(values);
        Buffer::Constant(self.out.constants.len() - 1)
    }

    /// Whether a buffer holds the same over many runs.
    fn is_early(&self, buffer: Buffer) -> bool {
        match buffer {
            Buffer::Input(i) => self.early_inputs[i],
            Buffer::Slot(s) => self.early_slots[s],
            Buffer::Constant(_) | Buffer::Kept(_) => true,
        }
    }

    /// Appends a step, and gives the buffer of its `length` elements. One that reads constants only is run now.
    fn emit(&mut self, name: &str, operation: impl Operation + 'static, inputs: Vec<Buffer>, length: usize) -> Buffer {
        let known = |b: &Buffer| match b {
            Buffer::Constant(i) => Some(&self.out.constants[*i][..]),
            _ => None,
        };
        if let Some(sources) = inputs.iter().map(known).collect::<Option<Vec<_>>>() {
            let mut values = Aligned::zeros(length);
            operation.run(&sources, &mut values);
            return self.constant(values.into());
        }
        let early = inputs.iter().all(|b| self.is_early(*b));
        self.early_slots.push(early);
        let output = self.out.lengths.len();
        self.out.lengths.push(length);
        self.out.shapes.push(Vec::new());
        self.out.steps.push(Step { name: name.to_owned(), operation: Box::new(operation), inputs, output });
        Buffer::Slot(output)
    }

    /// A step whose output lies row-major.
    fn give(&mut self, node: &Node, value: ValueId, operation: impl Operation + 'static, inputs: Vec<Buffer>) {
        let view = View::contiguous(self.shape(value));
        let buffer = self.emit(&node.name, operation, inputs, view.len());
        self.set(value, Place { buffer, view });
    }

    /// Makes a value lie as `view`, which must be dense, by a copy if it does not.
    fn lay(&mut self, value: ValueId, wanted: View, order: &[usize]) -> Result<Place> {
        let place = self.place(value)?;
        let (name, mut view) = (self.graph.values[value].name.clone(), place.view.permuted(order));
        let (length, mut buffer) = (view.len(), place.buffer);
        // Planes whose pixels are wanted side by side, in another order: a transposition first, so that whole pixels are moved.
        if let Some(planes) = view.planes().filter(|_| view.transposed().is_none()) {
            buffer = self.emit(&name, Copy { level: self.level, view: planes }, vec![buffer], length);
            view = view.of_pixels();
        }
        let buffer = self.emit(&name, Copy { level: self.level, view }, vec![buffer], length);
        let place = Place { buffer, view: wanted };
        self.note_shape(value, buffer);
        self.places[value] = Some(place.clone());
        Ok(place)
    }

    /// A value row-major without gaps, at any offset.
    fn contiguous(&mut self, value: ValueId) -> Result<Place> {
        let place = self.place(value)?;
        if place.view.is_contiguous() {
            return Ok(place);
        }
        let shape = self.shape(value);
        let order: Vec<usize> = (0..shape.len()).collect();
        self.lay(value, View::contiguous(shape), &order)
    }

    /// A value as rows along its last dimension.
    fn rows(&mut self, value: ValueId) -> Result<(Buffer, Rows)> {
        let place = self.place(value)?;
        let place = if place.view.rows().is_some() { place } else { self.contiguous(value)? };
        let rows = place.view.rows().ok_or("a value without dimensions has no rows")?;
        Ok((place.buffer, rows))
    }

    /// An image as rows of channels.
    fn pixels(&mut self, value: ValueId) -> Result<(Buffer, Rows)> {
        let place = self.place(value)?;
        if let Some(rows) = place.view.pixels() {
            return Ok((place.buffer, rows));
        }
        let &[1, c, h, w] = self.shape(value) else { return Err("it is no image of a batch of one".into()) };
        let place = self.lay(value, View::channels_last([1, c, h, w]), &[0, 2, 3, 1])?;
        Ok((place.buffer, place.view.pixels().ok_or("its channels do not lie last")?))
    }

    fn view_of(&mut self, node: &Node) -> Result<()> {
        let mut place = self.place(node.inputs[0])?;
        let views = match self.views(node, &place.view)? {
            Some(views) => views,
            None => {
                place = self.contiguous(node.inputs[0])?;
                vec![View { offset: place.view.offset, ..View::contiguous(self.shape(node.outputs[0])) }]
            }
        };
        for (&output, view) in node.outputs.iter().zip(views) {
            self.set(output, Place { buffer: place.buffer, view });
        }
        Ok(())
    }

    /// How the outputs of a node lie that only moves elements, where its input lies as `view`; `None` if that has to be laid row-major
    /// first.
    fn views(&self, node: &Node, view: &View) -> Result<Option<Vec<View>>> {
        let shape = self.shape(node.outputs[0]);
        Ok(Some(match node.op.as_str() {
            "Transpose" => {
                let perm: Vec<usize> = node.ints("perm").unwrap_or_default().iter().map(|&v| v as usize).collect();
                vec![view.permuted(&perm)]
            }
            "Reshape" => match view.reshaped(shape) {
                Some(view) => vec![view],
                None => return Ok(None),
            },
            "Slice" => {
                let slices = shapes::slices(node, &self.graph.values).ok_or("its slices are unknown")?;
                let slice = |view: View, &(axis, start, end): &(usize, usize, usize)| view.sliced(axis, start, end);
                vec![slices.iter().fold(view.clone(), slice)]
            }
            _ => {
                let axis = node.int("axis").and_then(|a| shapes::axis(a, shape.len())).ok_or("its axis is unknown")?;
                let size = shape[axis];
                (0..node.outputs.len()).map(|i| view.sliced(axis, i * size, (i + 1) * size)).collect()
            }
        }))
    }

    /// Refuses a softmax of another dimension than the last.
    fn over_last(&self, node: &Node) -> Result<()> {
        let rank = self.shape(node.inputs[0]).len();
        match node.int("axis").unwrap_or(-1) {
            axis if shapes::axis(axis, rank) == Some(rank.saturating_sub(1)) => Ok(()),
            _ => Err("it is not over the last dimension".into()),
        }
    }

    fn layer_norm(&mut self, node: &Node) -> Result<()> {
        let (x, gamma, beta, epsilon) = self.normalisation(node)?;
        let (buffer, rows) = self.rows(x)?;
        self.give(node, node.outputs[0], LayerNorm { level: self.level, rows, gamma, beta, epsilon }, vec![buffer]);
        Ok(())
    }

    /// What a layer normalisation of the last dimension reads: its input, scale, shift and epsilon.
    fn normalisation(&self, node: &Node) -> Result<(ValueId, Shared<f32>, Shared<f32>, f32)> {
        let &[x, gamma, beta] = node.inputs.as_slice() else { return Err("it needs a scale and a shift".into()) };
        let (rank, axis) = (self.shape(x).len(), node.int("axis").unwrap_or(-1));
        let Some(&width) = self.shape(x).last().filter(|_| shapes::axis(axis, rank) == Some(rank - 1)) else {
            return Err("it normalises more than the last dimension".into());
        };
        let vector = |id: ValueId| self.graph.values[id].floats().cloned().ok_or("its weights are not constant");
        let (gamma, beta) = (vector(gamma)?, vector(beta)?);
        if [gamma.len(), beta.len()] != [width; 2] {
            return Err("its weights are of another width".into());
        }
        Ok((x, gamma, beta, node.float("epsilon").unwrap_or(1e-5)))
    }

    /// The node that alone reads a value, if it has one of these operators.
    fn next(&self, value: ValueId, ops: &[&str]) -> Option<(usize, &'g Node)> {
        let reader = self.graph.only_reader(value)?;
        let node = &self.graph.nodes[reader];
        ops.contains(&node.op.as_str()).then_some((reader, node))
    }
}
