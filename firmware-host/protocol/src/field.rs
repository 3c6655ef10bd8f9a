//! What fields of messages are made of, and how they are written and read.

use core::fmt;

use heapless::{String, Vec};

/// The buffer has no room for what was to be written, or a payload would exceed [`MAX_PAYLOAD`](crate::MAX_PAYLOAD).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what is to be written does not fit")
    }
}

impl core::error::Error for Full {}

/// Takes bytes.
pub trait Sink {
    /// Appends `bytes`, or fails; what was appended is then of no use.
    fn push(&mut self, bytes: &[u8]) -> Result<(), Full>;
}

/// Counts bytes that are not kept: how long something will be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count(pub usize);

impl Sink for Count {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.0 = self.0.checked_add(bytes.len()).ok_or(Full)?;
        Ok(())
    }
}

/// Fills a slice from its start.
#[derive(Debug)]
pub struct SliceSink<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl<'a> SliceSink<'a> {
    /// With nothing in it.
    pub fn new(out: &'a mut [u8]) -> Self {
        SliceSink { out, at: 0 }
    }

    /// Bytes written.
    pub fn len(&self) -> usize {
        self.at
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.at == 0
    }

    /// Bytes that can still be written.
    pub(crate) fn room(&self) -> usize {
        self.out.len() - self.at
    }

    /// Forgets what was written after the first `length` bytes.
    pub(crate) fn shorten(&mut self, length: usize) {
        self.at = self.at.min(length);
    }
}

impl Sink for SliceSink<'_> {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let end = self.at.checked_add(bytes.len()).ok_or(Full)?;
        self.out.get_mut(self.at..end).ok_or(Full)?.copy_from_slice(bytes);
        self.at = end;
        Ok(())
    }
}

/// Why a payload is not a message of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// No message has this number.
    Kind(u8),
    /// The payload ends inside this field.
    Short(&'static str),
    /// This field has a value or a length that it must not have.
    Value(&'static str),
    /// So many bytes follow the last field.
    Trailing(usize),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::Kind(kind) => write!(f, "no message has the kind {kind:#04x}"),
            Malformed::Short(field) => write!(f, "the message ends inside `{field}`"),
            Malformed::Value(field) => write!(f, "`{field}` has a value that it must not have"),
            Malformed::Trailing(bytes) => write!(f, "{bytes} bytes follow the last field"),
        }
    }
}

impl core::error::Error for Malformed {}

/// Reads fields from a payload.
pub(crate) struct Take<'a> {
    rest: &'a [u8],
    /// The field being read, for errors.
    pub(crate) field: &'static str,
}

impl<'a> Take<'a> {
    pub(crate) fn new(payload: &'a [u8]) -> Self {
        Take { rest: payload, field: "" }
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed::Short(self.field))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Malformed::Short(self.field))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn bad<T>(&self) -> Result<T, Malformed> {
        Err(Malformed::Value(self.field))
    }

    /// Bytes that no field took.
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }
}

/// How a field's type is called in the schema.
#[derive(Clone, Copy)]
pub(crate) struct Type {
    pub(crate) name: &'static str,
    /// Most bytes of text and byte strings, most elements of lists; 0 for what has a fixed size.
    pub(crate) limit: usize,
    /// What optional fields and lists hold; empty for all else.
    pub(crate) of: &'static str,
}

impl Type {
    pub(crate) const fn plain(name: &'static str) -> Self {
        Type { name, limit: 0, of: "" }
    }

    pub(crate) const fn up_to(name: &'static str, limit: usize) -> Self {
        Type { name, limit, of: "" }
    }
}

/// A type that a field can have.
pub(crate) trait Field<'a>: Sized {
    const TYPE: Type;
    /// Bytes at least and at most; [`MAX_PAYLOAD`](crate::MAX_PAYLOAD) for what takes the rest.
    const MIN: usize;
    const MAX: usize;
    fn put(&self, out: &mut impl Sink) -> Result<(), Full>;
    fn take(from: &mut Take<'a>) -> Result<Self, Malformed>;
}

macro_rules! numbers {
    ($($number:ident)*) => {$(
        impl Field<'_> for $number {
            const TYPE: Type = Type::plain(stringify!($number));
            const MIN: usize = size_of::<$number>();
            const MAX: usize = size_of::<$number>();
            fn put(&self, out: &mut impl Sink) -> Result<(), Full> {
                out.push(&self.to_le_bytes())
            }
            fn take(from: &mut Take<'_>) -> Result<Self, Malformed> {
                Ok($number::from_le_bytes(from.array()?))
            }
        }
    )*};
}
numbers! { u8 u16 u32 u64 i16 }

/// A digest.
impl Field<'_> for [u8; 32] {
    const TYPE: Type = Type::plain("u8x32");
    const MIN: usize = 32;
    const MAX: usize = 32;
    fn put(&self, out: &mut impl Sink) -> Result<(), Full> {
        out.push(self)
    }
    fn take(from: &mut Take<'_>) -> Result<Self, Malformed> {
        from.array()
    }
}

/// Length in one byte, then UTF-8.
impl<const N: usize> Field<'_> for String<N> {
    const TYPE: Type = Type::up_to("str", N);
    const MIN: usize = 1;
    const MAX: usize = 1 + N;
    fn put(&self, out: &mut impl Sink) -> Result<(), Full> {
        out.push(&[u8::try_from(self.len()).map_err(|_| Full)?])?;
        out.push(self.as_bytes())
    }
    fn take(from: &mut Take<'_>) -> Result<Self, Malformed> {
        let length = usize::from(u8::take(from)?);
        if length > N {
            return from.bad();
        }
        let text = core::str::from_utf8(from.bytes(length)?);
        text.ok().and_then(|text| String::try_from(text).ok()).map_or_else(|| from.bad(), Ok)
    }
}

/// Length in one byte, then so many bytes.
impl<const N: usize> Field<'_> for Vec<u8, N> {
    const TYPE: Type = Type::up_to("bytes", N);
    const MIN: usize = 1;
    const MAX: usize = 1 + N;
    fn put(&self, out: &mut impl Sink) -> Result<(), Full> {
        out.push(&[u8::try_from(self.len()).map_err(|_| Full)?])?;
        out.push(self)
    }
    fn take(from: &mut Take<'_>) -> Result<Self, Malformed> {
        let length = usize::from(u8::take(from)?);
        if length > N {
            return from.bad();
        }
        let bytes = from.bytes(length)?;
        Vec::from_slice(bytes).or_else(|_| from.bad())
    }
}

/// All bytes to the payload's end; a message's last field.
impl<'a> Field<'a> for &'a [u8] {
    const TYPE: Type = Type::plain("rest");
    const MIN: usize = 0;
    const MAX: usize = crate::MAX_PAYLOAD;
    fn put(&self, out: &mut impl Sink) -> Result<(), Full> {
        out.push(self)
    }
    fn take(from: &mut Take<'a>) -> Result<Self, Malformed> {
        from.bytes(from.left())
    }
}

/// Text of at most `N` bytes: as much of `text` as fits, cut between characters.
pub(crate) fn clipped<const N: usize>(text: &str) -> String<N> {
    let mut out = String::new();
    for character in text.chars() {
        if out.push(character).is_err() {
            break;
        }
    }
    out
}
