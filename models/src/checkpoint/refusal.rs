//! How refusals of a pickle are worded.

use crate::error::Error;

/// The error for a name outside the closed set.
pub(crate) fn named(module: &str, name: &str) -> Error {
    // Pickles name these modules by their platform's or by Python 2's name.
    let usual = match module {
        "posix" | "nt" => "os",
        "__builtin__" => "builtins",
        other => other,
    };
    let (usual, module, name) = (shown(usual), shown(module), shown(name));
    let written = if usual == module { String::new() } else { format!(" (written {module}.{name})") };
    Error::refused(format!(
        "the pickle names {usual}.{name}{written}; Cutout never runs code from a checkpoint, only tensors saved as a plain state_dict are read"
    ))
}

/// Text from a file in a form fit for an error message: short, without control characters.
pub(crate) fn shown(text: &str) -> String {
    let mut out: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        out.push_str("...");
    }
    out
}

/// The error for an opcode outside the closed set.
pub(crate) fn opcode(opcode: u8) -> Error {
    let constructs = match opcode {
        b'o' => "OBJ",
        0x81 => "NEWOBJ",
        0x92 => "NEWOBJ_EX",
        0x82 => "EXT1",
        0x83 => "EXT2",
        0x84 => "EXT4",
        b'P' => "PERSID",
        0x97 => "NEXT_BUFFER",
        _ => return Error::malformed(format!("opcode {opcode:#04x} is not one that torch.save writes")),
    };
    Error::refused(format!("the pickle uses opcode {constructs}; Cutout never constructs objects from a checkpoint"))
}
