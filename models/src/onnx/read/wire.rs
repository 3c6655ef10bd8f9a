//! What an ONNX file says beyond what is read of it, found by walking over its protobuf messages.
//!
//! Decoding drops unknown fields without a word. Here every field of every message is either read, or of no account (texts for
//! people, shapes that follow from the rest), or refused by name.

use crate::error::{Error, Result};

/// A message of the schema whose fields are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    ValueInfo,
    Type,
    TensorType,
    Shape,
    Dimension,
    /// Key and value, or domain and version.
    Pair,
}

/// What becomes of a field.
enum Field {
    /// It is decoded.
    Read,
    /// It is decoded, and its own fields are looked at.
    Within(Message),
    /// It has no influence on what the graph computes.
    Skipped,
    /// The domain of an operator: only ONNX's own are known.
    Domain,
    /// It would be lost, and is of account.
    Refused(&'static str),
    /// No version of the schema has it.
    Unknown,
}

/// Refuses a file that says something which is not read, and one that is no protobuf message of a model.
///
/// # Errors
/// `Refused` or `Malformed`, see above.
pub(super) fn check(file: &[u8]) -> Result<()> {
    walk(Message::Model, file)
}

fn walk(message: Message, bytes: &[u8]) -> Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        let (number, wire) = (key >> 3, key & 7);
        let payload = match wire {
            0 => {
                varint(&mut rest)?;
                None
            }
            1 => Some(take(&mut rest, 8)?),
            2 => {
                let length = varint(&mut rest)?;
                Some(take(&mut rest, length)?)
            }
            5 => Some(take(&mut rest, 4)?),
            _ => return Err(damaged()),
        };
        match (field(message, number), payload) {
            (Field::Within(inner), Some(payload)) if wire == 2 => walk(inner, payload)?,
            (Field::Within(_), _) | (Field::Unknown, _) => return Err(damaged()),
            // Writers may name what is empty.
            (Field::Refused(what), payload) if payload.is_none_or(|p| !p.is_empty()) => {
                return Err(Error::refused(format!("the ONNX file has {what}, which cannot be taken over")));
            }
            (Field::Domain, Some(domain)) if !matches!(domain, b"" | b"ai.onnx") => {
                let domain = String::from_utf8_lossy(&domain[..domain.len().min(80)]);
                return Err(Error::refused(format!("the ONNX file has operators of the domain {domain:?}")));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The table of the schema (`onnx/onnx.proto` of the ONNX project, IR version 11), by field number.
fn field(message: Message, number: u64) -> Field {
    use Field::*;
    match (message, number) {
        (Message::Model, 1..=3) => Read,
        (Message::Model, 4..=6 | 26) => Skipped,
        (Message::Model, 7) => Within(Message::Graph),
        (Message::Model, 8 | 14) => Within(Message::Pair),
        (Message::Model, 20) => Refused("training steps"),
        (Message::Model, 25) => Refused("functions"),

        (Message::Graph, 1) => Within(Message::Node),
        (Message::Graph, 2) => Read,
        (Message::Graph, 5) => Within(Message::Tensor),
        (Message::Graph, 11 | 12) => Within(Message::ValueInfo),
        (Message::Graph, 10 | 13 | 14 | 16) => Skipped,
        (Message::Graph, 15) => Refused("sparse constants"),

        (Message::Node, 1..=4) => Read,
        (Message::Node, 5) => Within(Message::Attribute),
        (Message::Node, 7) => Domain,
        (Message::Node, 6 | 9 | 10) => Skipped,
        (Message::Node, 8) => Refused("overloaded functions"),

        (Message::Attribute, 1..=4 | 7 | 8 | 20) => Read,
        (Message::Attribute, 5) => Within(Message::Tensor),
        (Message::Attribute, 13) => Skipped,
        (Message::Attribute, 6 | 11) => Refused("subgraphs"),
        (Message::Attribute, 9) => Refused("attributes that are lists of texts"),
        (Message::Attribute, 10) => Refused("attributes that are lists of tensors"),
        (Message::Attribute, 14 | 15) => Refused("attributes that are types"),
        (Message::Attribute, 21) => Refused("attributes of functions"),
        (Message::Attribute, 22 | 23) => Refused("sparse tensors"),

        (Message::Tensor, 1 | 2 | 4 | 5 | 7..=10 | 14) => Read,
        (Message::Tensor, 13) => Within(Message::Pair),
        (Message::Tensor, 12 | 16) => Skipped,
        (Message::Tensor, 3) => Refused("tensors in segments"),
        (Message::Tensor, 6) => Refused("tensors of texts"),
        (Message::Tensor, 11) => Refused("tensors of unsigned numbers of 32 or 64 bits"),

        (Message::ValueInfo, 1) => Read,
        (Message::ValueInfo, 2) => Within(Message::Type),
        (Message::ValueInfo, 3 | 4) => Skipped,

        (Message::Type, 1) => Within(Message::TensorType),
        (Message::Type, 6) => Skipped,
        (Message::Type, 4 | 5 | 7..=9) => Refused("inputs or outputs that are no tensors"),

        (Message::TensorType, 1) | (Message::Dimension | Message::Pair, 1 | 2) => Read,
        (Message::TensorType, 2) => Within(Message::Shape),
        (Message::Shape, 1) => Within(Message::Dimension),
        (Message::Dimension, 3) => Skipped,
        _ => Unknown,
    }
}

/// The error for what is no model.
pub(super) fn damaged() -> Error {
    Error::malformed("the file is damaged or incomplete, or it is no ONNX model")
}

fn varint(rest: &mut &[u8]) -> Result<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let Some((&byte, after)) = rest.split_first() else { break };
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(damaged())
}

fn take<'a>(rest: &mut &'a [u8], length: u64) -> Result<&'a [u8]> {
    let taken = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
    let (taken, after) = taken.ok_or_else(damaged)?;
    *rest = after;
    Ok(taken)
}
