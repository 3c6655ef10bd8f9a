//! What inputs and outputs the two graphs of a pair have: those of Segment Anything's published ONNX files.

use crate::arch::InputSize;
use crate::arch::mask_decoder::DecoderShape;
use crate::error::{Error, Result};
use crate::onnx::proto::{DimensionValue, TensorProto, ValueInfoProto};
use crate::onnx::{Dim, OnnxModel, value_info};

/// Model pixels per cell of an image embedding, in both directions.
pub(crate) const STRIDE: usize = 16;

/// The first operator set that is read: attributes of earlier ones mean other things.
const LEAST_OPSET: i64 = 13;

const EMBEDDINGS: &str = "image_embeddings";
const SKIPS: [&str; 2] = ["high_res_s0", "high_res_s1"];
const WIDTH: usize = 256;
const SKIP_WIDTHS: [usize; 2] = [32, 64];
const MASKS: usize = 4;

/// A dimension that a graph must have.
#[derive(Clone, Copy)]
enum Wanted {
    Size(usize),
    /// Prompts: one, or any number.
    Prompts,
    /// Points: any number.
    Points,
}

use Wanted::{Points, Prompts, Size};

/// Checks the image encoder, cuts it at its outputs, and gives its input size.
pub(super) fn encoder(model: &mut OnnxModel) -> Result<InputSize> {
    opset(model)?;
    let expected = "expected is the input image [1, 3, H, W], H and W fixed, and the output image_embeddings [1, 256, H/16, W/16], \
                    float32 (and high_res_s0 [1, 32, H/4, W/4], high_res_s1 [1, 64, H/8, W/8], if its mask decoder reads them)";
    let explained = |what: String| Error::mismatch(format!("{what}; {expected}"));
    let graph = model.proto().graph.as_ref();
    let inputs = graph.map_or(&[][..], |graph| &graph.input);
    let [image] = inputs else { return Err(explained(format!("its inputs are {}", listed(inputs)))) };
    let dims = dims(image).unwrap_or_default();
    let [_, Some(3), height, width] = dims[..] else { return Err(explained(format!("its input is {}", shown(image)))) };
    let (Some(height), Some(width), "image") = (height, width, image.name.as_str()) else {
        return Err(explained(format!("its input is {}", shown(image))));
    };
    let size = InputSize::new(height, width);
    size.multiple_of(STRIDE).map_err(|_| explained(format!("its input is {}", shown(image))))?;
    check(image, &[Size(1), Size(3), Size(height), Size(width)]).map_err(explained)?;

    let outputs = graph.map_or(&[][..], |graph| &graph.output);
    let mut wanted = vec![EMBEDDINGS];
    if SKIPS.iter().any(|skip| outputs.iter().any(|output| output.name == *skip)) {
        wanted.extend(SKIPS);
    }
    for name in &wanted {
        let output = find(outputs, name).ok_or_else(|| explained(format!("its outputs are {}", listed(outputs))))?;
        check(output, &of_image(name, size)).map_err(explained)?;
    }
    model.cut(&wanted)?;
    if let Some(graph) = &mut model.proto_mut().graph {
        for value in graph.input.iter_mut().chain(&mut graph.output) {
            *value = canonical(&value.name, size, Dim::Fixed(1), Dim::Fixed(1));
        }
    }
    Ok(size)
}

/// The input size of an image encoder.
pub(crate) fn input_size(encoder: &OnnxModel) -> Result<InputSize> {
    let image = encoder.proto().graph.as_ref().and_then(|graph| dims(graph.input.first()?));
    match image.as_deref() {
        Some(&[_, _, Some(height), Some(width)]) => Ok(InputSize::new(height, width)),
        _ => Err(Error::mismatch("the image encoder has no fixed input size")),
    }
}

/// Checks the mask decoder, and cuts it at the outputs that are used.
pub(super) fn decoder(model: &mut OnnxModel, size: InputSize, has_skips: bool) -> Result<()> {
    opset(model)?;
    let expected = "expected are the inputs image_embeddings [1, 256, h, w], point_coords [B, N, 2], point_labels [B, N], mask_input \
                    [B, 1, 4h, 4w] and has_mask_input [1], N dynamic and B dynamic or 1, and the outputs low_res_masks [B, 4, 4h, 4w] and \
                    iou_predictions [B, 4], float32, where the image encoder has h x w cells";
    let cells = format!("{} x {}", size.height / STRIDE, size.width / STRIDE);
    let explained = |what: String| Error::mismatch(format!("{what}; {expected} (here {cells})"));
    let inputs = model.proto().graph.as_ref().map_or(Vec::new(), |graph| graph.input.clone());
    let outputs = model.proto().graph.as_ref().map_or(Vec::new(), |graph| graph.output.clone());
    let mut names = vec![EMBEDDINGS];
    names.extend(SKIPS.iter().filter(|skip| has_skips && find(&inputs, skip).is_some()));
    names.extend(["point_coords", "point_labels", "mask_input", "has_mask_input"]);
    for name in &names {
        let input = find(&inputs, name).ok_or_else(|| explained(format!("its inputs are {}", listed(&inputs))))?;
        check(input, &wanted(name, size)).map_err(explained)?;
    }
    let results = ["low_res_masks", "iou_predictions"];
    for name in results {
        let output = find(&outputs, name).ok_or_else(|| explained(format!("its outputs are {}", listed(&outputs))))?;
        check(output, &wanted(name, size)).map_err(explained)?;
    }
    model.cut(&results)?;
    let Some(graph) = &mut model.proto_mut().graph else { return Ok(()) };
    let read = |name: &str| graph.node.iter().any(|node| node.input.iter().any(|input| input == name));
    if let Some(other) = inputs.iter().find(|input| !names.contains(&input.name.as_str()) && read(&input.name)) {
        return Err(explained(format!("its masks depend on the further input {}", shown(other))));
    }
    graph.input = names.iter().filter_map(|name| find(&inputs, name).cloned()).collect();
    Ok(())
}

/// Gives the mask decoder the dimensions that are asked for.
pub(super) fn bind(model: &mut OnnxModel, size: InputSize, shape: DecoderShape) -> Result<()> {
    let own = (size.height / STRIDE, size.width / STRIDE);
    if shape.embedding != own {
        let (found, own) = (shape.embedding, format!("{} x {}", own.0, own.1));
        return Err(Error::mismatch(format!(
            "the ONNX mask decoder takes embeddings of {own} cells only, not of {} x {}",
            found.0, found.1
        )));
    }
    let Some(graph) = &mut model.proto_mut().graph else { return Ok(()) };
    let single = graph.input.iter().any(|input| {
        let batched = matches!(input.name.as_str(), "point_coords" | "point_labels" | "mask_input");
        batched && dims(input).is_some_and(|dims| dims.first() == Some(&Some(1)))
    });
    if single && shape.prompts != Dim::Fixed(1) {
        return Err(Error::mismatch("the ONNX mask decoder takes one prompt at a time only"));
    }
    for value in graph.input.iter_mut().chain(&mut graph.output) {
        *value = canonical(&value.name, size, shape.prompts, shape.points);
    }
    Ok(())
}

fn opset(model: &OnnxModel) -> Result<()> {
    match model.opset() {
        Some(version) if version >= LEAST_OPSET => Ok(()),
        other => Err(Error::refused(format!(
            "it is of ONNX's operator set {}: {LEAST_OPSET} or later is read",
            other.unwrap_or_default()
        ))),
    }
}

fn of_image(name: &str, InputSize { height, width }: InputSize) -> Vec<Wanted> {
    let [wide, stride] = match name {
        "image" => [3, 1],
        "high_res_s0" => [SKIP_WIDTHS[0], 4],
        "high_res_s1" => [SKIP_WIDTHS[1], 8],
        _ => [WIDTH, STRIDE],
    };
    vec![Size(1), Size(wide), Size(height / stride), Size(width / stride)]
}

fn wanted(name: &str, size: InputSize) -> Vec<Wanted> {
    let (height, width) = (Size(size.height / 4), Size(size.width / 4));
    match name {
        "point_coords" => vec![Prompts, Points, Size(2)],
        "point_labels" => vec![Prompts, Points],
        "mask_input" => vec![Prompts, Size(1), height, width],
        "has_mask_input" => vec![Size(1)],
        "low_res_masks" => vec![Prompts, Size(MASKS), height, width],
        "iou_predictions" => vec![Prompts, Size(MASKS)],
        _ => of_image(name, size),
    }
}

/// An input or output as our own graphs declare it.
fn canonical(name: &str, size: InputSize, prompts: Dim, points: Dim) -> ValueInfoProto {
    let dim = |wanted| match wanted {
        Size(n) => Dim::Fixed(n),
        Prompts => prompts,
        Points => points,
    };
    value_info(name, &wanted(name, size).into_iter().map(dim).collect::<Vec<_>>())
}

/// Checks the type of an input or output, and its dimensions as far as the file says them.
fn check(value: &ValueInfoProto, wanted: &[Wanted]) -> Result<(), String> {
    let tensor = value.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let is_float = tensor.is_some_and(|t| t.elem_type == TensorProto::FLOAT);
    let fits = |(found, wanted): (&Option<usize>, &Wanted)| match (wanted, found) {
        (Size(n), Some(found)) => n == found,
        (Prompts, Some(found)) => *found == 1,
        (Points, Some(_)) => false,
        (_, None) => true,
    };
    let fits = dims(value).is_none_or(|dims| dims.len() == wanted.len() && dims.iter().zip(wanted).all(fits));
    if is_float && fits { Ok(()) } else { Err(format!("it has {}", shown(value))) }
}

/// The dimensions, `None` for those that are not fixed; `None` where the file does not say.
fn dims(value: &ValueInfoProto) -> Option<Vec<Option<usize>>> {
    let shape = value.r#type.as_ref()?.tensor_type.as_ref()?.shape.as_ref()?;
    let dim = |value: &Option<DimensionValue>| match value {
        Some(DimensionValue::DimValue(n)) => usize::try_from(*n).ok(),
        _ => None,
    };
    Some(shape.dim.iter().map(|d| dim(&d.value)).collect())
}

fn find<'a>(values: &'a [ValueInfoProto], name: &str) -> Option<&'a ValueInfoProto> {
    values.iter().find(|value| value.name == name)
}

fn listed(values: &[ValueInfoProto]) -> String {
    const MOST: usize = 8;
    let mut texts: Vec<String> = values.iter().take(MOST).map(shown).collect();
    texts.extend((values.len() > MOST).then(|| "...".to_owned()));
    if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
}

/// Name, dimensions, and the element type if it is not float32.
fn shown(value: &ValueInfoProto) -> String {
    const MOST: usize = 8;
    let dims = dims(value).map_or("of unknown shape".to_owned(), |dims| {
        let dim = |d: &Option<usize>| d.map_or("?".to_owned(), |n| n.to_string());
        format!("[{}]", dims.iter().take(MOST).map(dim).collect::<Vec<_>>().join(", "))
    });
    let tensor = value.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let kind = match tensor.map(|t| t.elem_type) {
        Some(TensorProto::FLOAT) => "",
        Some(TensorProto::INT64) => " of int64",
        Some(TensorProto::INT32) => " of int32",
        Some(10) => " of float16",
        _ => " of another type than float32",
    };
    format!("{} {dims}{kind}", value.name.chars().take(80).collect::<String>().escape_debug())
}
