//! Numbers of varying length: LEB128, seven bits a byte, the lowest first, the top bit set where more follow.
//!
//! At most five bytes, so at most 35 bits, and no longer than the number needs: each number has one form.

use super::BodyError;
use crate::field::{Full, Sink};

/// Bytes of a number at most.
pub const MAX_SIZE: usize = 5;
/// What a number is below.
const LIMIT: u64 = 1 << (7 * MAX_SIZE);

/// Bytes that a number takes.
pub const fn size(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Writes a number.
///
/// # Errors
/// [`Full`] if there is no room, or the number has more than 35 bits.
pub fn put(out: &mut (impl Sink + ?Sized), value: u64) -> Result<(), Full> {
    if value >= LIMIT {
        return Err(Full);
    }
    let mut rest = value;
    while rest > 0x7f {
        out.push(&[rest as u8 | 0x80])?;
        rest >>= 7;
    }
    out.push(&[rest as u8])
}

/// Reads a number from the start of `from` and moves it on.
///
/// # Errors
/// [`BodyError::Short`] if the bytes end inside it, [`BodyError::Number`] if it is longer than it has to be or has more
/// than 35 bits.
pub fn take(from: &mut &[u8]) -> Result<u64, BodyError> {
    let mut value = 0;
    for (index, &byte) in from.iter().take(MAX_SIZE).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            *from = from.get(index + 1..).unwrap_or_default();
            return if byte == 0 && index > 0 { Err(BodyError::Number) } else { Ok(value) };
        }
    }
    Err(if from.len() < MAX_SIZE { BodyError::Short } else { BodyError::Number })
}

/// Signed numbers as unsigned ones, small where they are small: 0, -1, 1, -2 become 0, 1, 2, 3.
pub const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Undoes [`zigzag`].
pub const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::SliceSink;

    fn assert_form(value: u64, bytes: &[u8]) {
        let mut out = [0; 8];
        let mut sink = SliceSink::new(&mut out);
        put(&mut sink, value).unwrap();
        let length = sink.len();
        assert_eq!(&out[..length], bytes);
        assert_eq!(size(value), length);
        let mut rest = &out[..];
        assert_eq!(take(&mut rest), Ok(value));
        assert_eq!(rest.len(), 8 - length);
    }

    #[test]
    fn numbers_have_one_form() {
        assert_form(0, &[0]);
        assert_form(127, &[0x7f]);
        assert_form(128, &[0x80, 1]);
        // The example of the DWARF standard, figure 22.
        assert_form(12857, &[57 + 0x80, 100]);
        assert_form(u64::from(u32::MAX), &[0xff, 0xff, 0xff, 0xff, 0x0f]);
        assert_form(LIMIT - 1, &[0xff, 0xff, 0xff, 0xff, 0x7f]);
        assert_eq!(put(&mut SliceSink::new(&mut [0; 9]), LIMIT), Err(Full));
    }

    #[test]
    fn other_forms_are_refused() {
        assert_eq!(take(&mut &[][..]), Err(BodyError::Short));
        assert_eq!(take(&mut &[0x80][..]), Err(BodyError::Short));
        assert_eq!(take(&mut &[0xff; 4][..]), Err(BodyError::Short));
        assert_eq!(take(&mut &[0xff; 5][..]), Err(BodyError::Number));
        assert_eq!(take(&mut &[0x80, 0][..]), Err(BodyError::Number));
    }

    #[test]
    fn zigzag_there_and_back() {
        for (value, coded) in [(0, 0), (-1, 1), (1, 2), (-2, 3), (i64::MIN, u64::MAX), (i64::MAX, u64::MAX - 1)] {
            assert_eq!(zigzag(value), coded);
            assert_eq!(unzigzag(coded), value);
        }
    }
}
