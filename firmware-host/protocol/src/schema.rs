//! [`SCHEMA`]: the table of messages as text, and its hash.

use crate::field::Type;
use crate::message::LINES;

const HEAD: &str = "cutout-protocol 1\n\
    packet version:u8 kind:u8 flags:u8 reserved:u8 seq:u16 request:u32 length:u16 crc16:u16 payload:rest crc32:u32\n";

/// Appends to a buffer, or counts what would be appended if it has no room.
struct Text<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Text<N> {
    const fn byte(&mut self, byte: u8) {
        if self.length < N {
            self.bytes[self.length] = byte;
        }
        self.length += 1;
    }

    const fn text(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            self.byte(bytes[at]);
            at += 1;
        }
    }

    const fn decimal(&mut self, number: usize) {
        if number >= 10 {
            self.decimal(number / 10);
        }
        self.byte(b'0' + (number % 10) as u8);
    }

    const fn hexadecimal(&mut self, number: u8) {
        let digits = b"0123456789abcdef";
        self.byte(digits[(number >> 4) as usize]);
        self.byte(digits[(number & 15) as usize]);
    }

    const fn type_name(&mut self, of: &Type) {
        self.text(of.name);
        if of.limit > 0 {
            self.decimal(of.limit);
        }
        if !of.of.is_empty() {
            self.byte(b'(');
            self.text(of.of);
            self.byte(b')');
        }
    }
}

const fn written<const N: usize>() -> Text<N> {
    let mut out = Text { bytes: [0; N], length: 0 };
    out.text(HEAD);
    let mut at = 0;
    while at < LINES.len() {
        let line = &LINES[at];
        match line.kind {
            Some(kind) => out.hexadecimal(kind),
            None => out.byte(b'-'),
        }
        out.byte(b' ');
        out.text(line.name);
        let mut field = 0;
        while field < line.fields.len() {
            let (name, of) = &line.fields[field];
            out.byte(b' ');
            out.text(name);
            out.byte(b':');
            out.type_name(of);
            field += 1;
        }
        out.byte(b'\n');
        at += 1;
    }
    out
}

const LENGTH: usize = written::<0>().length;
const BYTES: [u8; LENGTH] = written::<LENGTH>().bytes;

/// All messages, one a line: number, name, and `field:type` for each field. It stands in `docs/protocol.md` too.
///
/// Types: `u8` to `u64` and `i16`, little-endian; `q4`, a `u32` in sixteenths of a pixel; `strN` and `bytesN`, a length in
/// one byte and at most so many bytes; `u8x32`, a digest; `option(T)`, a byte 0, or 1 and a `T`; `listN(T)`, a count in one byte and at
/// most so many `T`; `rest`, all bytes to the payload's end; a name, the fields of what has that name.
pub const SCHEMA: &str = match core::str::from_utf8(&BYTES) {
    Ok(text) => text,
    Err(_) => panic!(),
};

/// FNV-1a of [`SCHEMA`], 32 bits: equal where both sides lay out all messages alike.
pub const SCHEMA_HASH: u32 = fnv1a(&BYTES);

/// Hashes of earlier schemas of this version, all of whose messages are laid out as they are now.
const EARLIER: &[u32] = &[];

const fn fnv1a(bytes: &[u8]) -> u32 {
    let mut hash = 0x811c_9dc5_u32;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    hash
}

/// Whether who was built with the schema of this hash is understood: the own one, an earlier one that only lacks
/// what was added since, or 0, which asks that it not be checked.
pub fn is_known_schema(hash: u32) -> bool {
    hash == 0 || hash == SCHEMA_HASH || EARLIER.contains(&hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test vectors of the hash's authors (Fowler, Noll, Vo).
    #[test]
    fn fnv1a_of_known_words() {
        assert_eq!(fnv1a(b""), 0x811c_9dc5);
        assert_eq!(fnv1a(b"a"), 0xe40c_292c);
        assert_eq!(fnv1a(b"foobar"), 0xbf9c_f968);
    }

    #[test]
    fn the_schema_says_what_the_table_says() {
        assert!(SCHEMA.starts_with(HEAD));
        assert!(SCHEMA.contains("\n01 Hello client:u64 schema:u32 max_payload:u16 window:u16 token:bytes64\n"));
        assert!(SCHEMA.contains("\n04 UploadChunk offset:u32 data:rest\n"));
        assert!(SCHEMA.contains(" bbox:option(Rect) points:list16(Point)\n"));
        assert!(SCHEMA.contains("\n08 Track interval_ms:u32 prompt:Prompt\n"));
        assert!(SCHEMA.contains("\n09 Cancel\n"));
        assert!(SCHEMA.ends_with("\nff Error code:u8 of:u8 detail:u32 frame:u32 text:str96\n"));
        assert_eq!(SCHEMA.lines().count(), 2 + LINES.len());
        assert!(is_known_schema(SCHEMA_HASH) && is_known_schema(0) && !is_known_schema(SCHEMA_HASH ^ 1));
    }
}
