//! Consistent overhead byte stuffing: bytes without zeros, so that a zero can end a packet.
//!
//! (S. Cheshire, M. Baker: Consistent Overhead Byte Stuffing, IEEE/ACM Transactions on Networking, 1999.) A block that
//! is full when the bytes end is not followed by an empty one; a decoder takes both.

use crate::field::{Full, Sink};

/// Bytes of a block at most, its code included.
const FULL_BLOCK: usize = 255;

/// Bytes that `length` bytes become at most, without the delimiter.
pub(crate) const fn max_encoded(length: usize) -> usize {
    if length == 0 { 1 } else { length.saturating_add(length.div_ceil(FULL_BLOCK - 1)) }
}

/// Stuffs what is pushed into a slice.
pub(crate) struct Encoder<'a> {
    out: &'a mut [u8],
    /// Where the code of the open block belongs.
    code: usize,
    /// Where the next byte goes.
    at: usize,
}

impl<'a> Encoder<'a> {
    pub(crate) fn new(out: &'a mut [u8]) -> Self {
        Encoder { out, code: 0, at: 1 }
    }

    fn put(&mut self, at: usize, byte: u8) -> Result<(), Full> {
        *self.out.get_mut(at).ok_or(Full)? = byte;
        Ok(())
    }

    fn close_block(&mut self) -> Result<(), Full> {
        // A block is closed before it exceeds 255, so this is its exact length.
        self.put(self.code, (self.at - self.code) as u8)
    }

    fn open_block(&mut self) {
        self.code = self.at;
        self.at += 1;
    }

    /// Closes the last block and adds the delimiter; gives the number of bytes written.
    pub(crate) fn finish(mut self) -> Result<usize, Full> {
        self.close_block()?;
        self.put(self.at, 0)?;
        Ok(self.at + 1)
    }
}

impl Sink for Encoder<'_> {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Full> {
        for &byte in bytes {
            if self.at - self.code == FULL_BLOCK {
                self.close_block()?;
                self.open_block();
            }
            if byte == 0 {
                self.close_block()?;
                self.open_block();
            } else {
                self.put(self.at, byte)?;
                self.at += 1;
            }
        }
        Ok(())
    }
}

/// Undoes the stuffing in place; `None` if a block has no code or reaches beyond the end. The result is shorter than
/// what came.
pub(crate) fn decode_in_place(bytes: &mut [u8]) -> Option<usize> {
    let (mut read, mut write) = (0, 0);
    while let Some(&code) = bytes.get(read) {
        let end = read + usize::from(code);
        if code == 0 || end > bytes.len() {
            return None;
        }
        bytes.copy_within(read + 1..end, write);
        write += usize::from(code) - 1;
        read = end;
        if usize::from(code) != FULL_BLOCK && read < bytes.len() {
            bytes[write] = 0;
            write += 1;
        }
    }
    Some(write)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn stuffed(bytes: &[u8]) -> Vec<u8> {
        let mut out = std::vec![0xaa; max_encoded(bytes.len()) + 1];
        let mut encoder = Encoder::new(&mut out);
        encoder.push(bytes).unwrap();
        let length = encoder.finish().unwrap();
        out.truncate(length);
        out
    }

    fn assert_stuffed(bytes: &[u8], expected: &[u8]) {
        let out = stuffed(bytes);
        assert_eq!(out, expected);
        let mut back = out[..out.len() - 1].to_vec();
        let length = decode_in_place(&mut back).unwrap();
        assert_eq!(&back[..length], bytes);
    }

    fn counting(from: u8, count: usize) -> Vec<u8> {
        (0..count).map(|i| ((usize::from(from) + i - 1) % 255 + 1) as u8).collect()
    }

    /// The examples of the Wikipedia article, worked by hand there.
    #[test]
    fn the_textbooks_examples() {
        assert_stuffed(&[], &[1, 0]);
        assert_stuffed(&[0], &[1, 1, 0]);
        assert_stuffed(&[0, 0], &[1, 1, 1, 0]);
        assert_stuffed(&[0, 0x11, 0], &[1, 2, 0x11, 1, 0]);
        assert_stuffed(&[0x11, 0x22, 0, 0x33], &[3, 0x11, 0x22, 2, 0x33, 0]);
        assert_stuffed(&[0x11, 0x22, 0x33, 0x44], &[5, 0x11, 0x22, 0x33, 0x44, 0]);
        assert_stuffed(&[0x11, 0, 0, 0], &[2, 0x11, 1, 1, 1, 0]);
        let run = counting(1, 254);
        assert_stuffed(&run, &[&[255], run.as_slice(), &[0]].concat());
        let zero_first = [&[0], run.as_slice()].concat();
        assert_stuffed(&zero_first, &[&[1, 255], run.as_slice(), &[0]].concat());
        let run = counting(1, 255);
        assert_stuffed(&run, &[&[255], &run[..254], &[2, 255, 0]].concat());
        let zero_last = [&run[1..], &[0]].concat();
        assert_stuffed(&zero_last, &[&[255], &run[1..], &[1, 1, 0]].concat());
    }

    #[test]
    fn no_input_needs_more_than_the_bound() {
        for length in 0..1100 {
            for zero_at in [None, Some(0), Some(253), Some(254), Some(255), Some(508), Some(length.max(1) - 1)] {
                let mut bytes = std::vec![7; length];
                if let Some(byte) = zero_at.and_then(|at| bytes.get_mut(at)) {
                    *byte = 0;
                }
                assert!(stuffed(&bytes).len() <= max_encoded(length) + 1);
            }
        }
    }

    #[test]
    fn a_slice_that_is_too_short_is_full() {
        let bytes = [7; 300];
        let whole = stuffed(&bytes).len();
        for short in 0..whole {
            let mut out = std::vec![0; short];
            let mut encoder = Encoder::new(&mut out);
            assert!(encoder.push(&bytes).and_then(|()| encoder.finish()).is_err(), "{short} of {whole}");
        }
    }

    #[test]
    fn blocks_that_reach_beyond_the_end_are_refused() {
        assert_eq!(decode_in_place(&mut [3, 1]), None);
        assert_eq!(decode_in_place(&mut [255; 254]), None);
        assert_eq!(decode_in_place(&mut [2, 1, 0, 1]), None);
        assert_eq!(decode_in_place(&mut []), Some(0));
    }

    /// Other encoders end a full block with an empty one.
    #[test]
    fn an_empty_block_after_a_full_one_adds_nothing() {
        let mut bytes = [&[255][..], &[9; 254], &[1]].concat();
        assert_eq!(decode_in_place(&mut bytes), Some(254));
    }
}
