//! As much of JPEG (ITU-T T.81) as telling frames apart takes, and the tables that motion JPEG leaves out.

use std::io::{self, BufRead};

/// First byte of each marker.
const MARK: u8 = 0xff;
/// Start of an image.
const SOI: u8 = 0xd8;
/// End of an image.
const EOI: u8 = 0xd9;
/// Huffman tables.
const DHT: u8 = 0xc4;
/// A comment.
const COM: u8 = 0xfe;
/// Start of a scan.
const SOS: u8 = 0xda;

/// Finds JPEGs in a stream of bytes, whatever lies between them.
///
/// Within a scan no marker of an end occurs; within other segments, such as a thumbnail's, it may, so that these are passed
/// over by their length. A marker of a start, and another behind it, occurs in none but a thumbnail's.
pub(super) struct Scanner<R> {
    input: R,
    at: u64,
}

impl<R: BufRead> Scanner<R> {
    pub(super) fn new(input: R) -> Self {
        Scanner { input, at: 0 }
    }

    pub(super) fn get_mut(&mut self) -> &mut R {
        &mut self.input
    }

    /// Where the next whole JPEG begins, and how long it is. One that has no end before the next begins is passed over.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, u64)>> {
        let mut start = None;
        while let Some(marker) = self.marker()? {
            match (marker, start) {
                (SOI, _) => start = Some(self.at - 2),
                (EOI, Some(start)) => return Ok(Some((start, self.at - start))),
                // Outside of an image, or what no length follows: a stuffed zero, TEM, restart marks.
                (_, None) | (0x00 | 0x01 | 0xd0..=0xd7, _) => {}
                (_, Some(_)) => {
                    let (Some(high), Some(low)) = (self.byte()?, self.byte()?) else { return Ok(None) };
                    start = match u16::from_be_bytes([high, low]).checked_sub(2) {
                        // What an application writes may hold a thumbnail.
                        Some(rest) if matches!(marker, 0xe0..=0xef | COM) => {
                            self.pass(u64::from(rest))?;
                            start
                        }
                        Some(rest) => self.pass_or_start(rest)?.or(start),
                        None => None,
                    }
                }
            }
        }
        Ok(None)
    }

    /// Passes over what comes before the next marker, and the marker.
    fn marker(&mut self) -> io::Result<Option<u8>> {
        loop {
            let bytes = self.input.fill_buf()?;
            let (count, found) = match bytes.iter().position(|&byte| byte == MARK) {
                Some(at) => (at + 1, true),
                None => (bytes.len(), false),
            };
            if count == 0 {
                return Ok(None);
            }
            self.consume(count);
            if found {
                break;
            }
        }
        // More than one such byte may begin a marker.
        while let Some(byte) = self.byte()? {
            if byte != MARK {
                return Ok(Some(byte));
            }
        }
        Ok(None)
    }

    fn byte(&mut self) -> io::Result<Option<u8>> {
        let byte = self.input.fill_buf()?.first().copied();
        self.consume(usize::from(byte.is_some()));
        Ok(byte)
    }

    /// Passes over a segment; says where another image begins within it, which then was cut short.
    fn pass_or_start(&mut self, count: u16) -> io::Result<Option<u64>> {
        let mut last = 0;
        for _ in 0..count {
            let Some(byte) = self.byte()? else { break };
            if (last, byte) == (MARK, SOI) && self.input.fill_buf()?.first() == Some(&MARK) {
                return Ok(Some(self.at - 2));
            }
            last = byte;
        }
        Ok(None)
    }

    fn pass(&mut self, mut count: u64) -> io::Result<()> {
        while count > 0 {
            let there = self.input.fill_buf()?.len().min(usize::try_from(count).unwrap_or(usize::MAX));
            if there == 0 {
                break;
            }
            self.consume(there);
            count -= there as u64;
        }
        Ok(())
    }

    fn consume(&mut self, count: usize) {
        self.input.consume(count);
        self.at += count as u64;
    }
}

/// The JPEG that begins a buffer, without what follows its end; `None` if it has none.
pub(super) fn first(bytes: &[u8]) -> Option<&[u8]> {
    let (start, length) = Scanner::new(bytes).next().ok()??;
    (start == 0).then(|| bytes.get(..usize::try_from(length).ok()?))?
}

/// The same JPEG with the Huffman tables of motion JPEG if it comes without any; anything else as it is.
pub(super) fn with_tables(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(at) = scan_without_tables(&bytes) {
        bytes.splice(at..at, usual_tables());
    }
    bytes
}

/// Where the first scan begins, if no Huffman table comes before it.
fn scan_without_tables(bytes: &[u8]) -> Option<usize> {
    let mut at = 2;
    bytes.starts_with(&[MARK, SOI]).then_some(())?;
    loop {
        match *bytes.get(at..)?.first_chunk::<4>()? {
            [MARK, MARK, ..] => at += 1,
            [MARK, DHT, ..] => return None,
            [MARK, SOS, ..] => return Some(at),
            [MARK, _, high, low] => at += 2 + usize::from(u16::from_be_bytes([high, low])),
            _ => return None,
        }
    }
}

/// A table of T.81, K.3: its class and number, how many codes there are of each length, and their values: first those in no
/// simple order, then those between two numbers.
type Table = (u8, [u8; 16], &'static [u8], &'static [(u8, u8)]);

const TABLES: [Table; 4] = [
    (0x00, [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0], &[], &[(0, 11)]),
    (0x01, [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0], &[], &[(0, 11)]),
    (
        0x10,
        [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125],
        &[
            0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22, 0x71,
            0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72,
            0x82,
        ],
        &[
            (0x09, 0x0a),
            (0x16, 0x1a),
            (0x25, 0x2a),
            (0x34, 0x3a),
            (0x43, 0x4a),
            (0x53, 0x5a),
            (0x63, 0x6a),
            (0x73, 0x7a),
            (0x83, 0x8a),
            (0x92, 0x9a),
            (0xa2, 0xaa),
            (0xb2, 0xba),
            (0xc2, 0xca),
            (0xd2, 0xda),
            (0xe1, 0xea),
            (0xf1, 0xfa),
        ],
    ),
    (
        0x11,
        [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119],
        &[
            0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71, 0x13, 0x22,
            0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0, 0x15, 0x62, 0x72, 0xd1,
            0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1,
        ],
        &[
            (0x17, 0x1a),
            (0x26, 0x2a),
            (0x35, 0x3a),
            (0x43, 0x4a),
            (0x53, 0x5a),
            (0x63, 0x6a),
            (0x73, 0x7a),
            (0x82, 0x8a),
            (0x92, 0x9a),
            (0xa2, 0xaa),
            (0xb2, 0xba),
            (0xc2, 0xca),
            (0xd2, 0xda),
            (0xe2, 0xea),
            (0xf2, 0xfa),
        ],
    ),
];

/// The segment of the usual tables.
fn usual_tables() -> Vec<u8> {
    let mut body = Vec::with_capacity(420);
    for (class, counts, values, ranges) in TABLES {
        body.push(class);
        body.extend(counts);
        body.extend(values);
        body.extend(ranges.iter().flat_map(|&(first, last)| first..=last));
    }
    let length = (body.len() as u16 + 2).to_be_bytes();
    [&[MARK, DHT], &length[..], &body].concat()
}

#[cfg(test)]
mod tests {
    use image::codecs::jpeg::JpegEncoder;
    use image::{ExtendedColorType, ImageEncoder};

    use super::*;
    use crate::photo::Photo;

    fn encoded() -> Vec<u8> {
        let pixels: Vec<u8> = (0..64 * 48 * 3_u32).map(|i| (i * i / 97 + i / 5) as u8).collect();
        let mut bytes = Vec::new();
        JpegEncoder::new(&mut bytes).write_image(&pixels, 64, 48, ExtendedColorType::Rgb8).unwrap();
        bytes
    }

    /// The segments of one marker taken out.
    fn without(bytes: &[u8], marker: u8) -> Vec<u8> {
        let (mut out, mut at) = (bytes[..2].to_vec(), 2);
        while bytes[at + 1] != SOS {
            let next = at + 2 + usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
            if bytes[at + 1] != marker {
                out.extend(&bytes[at..next]);
            }
            at = next;
        }
        out.extend(&bytes[at..]);
        out
    }

    #[test]
    fn a_frame_without_tables_is_decoded_as_with_them() {
        let whole = encoded();
        let bare = without(&whole, DHT);
        assert!(whole.len() - bare.len() >= 420, "the encoder wrote tables, which are gone");
        let completed = with_tables(bare.clone());
        assert_eq!(Photo::decode(&completed).unwrap(), Photo::decode(&whole).unwrap());
        assert_eq!(completed.len(), bare.len() + 4 + 416);
        assert_eq!(with_tables(whole.clone()), whole, "what has tables stays as it is");
    }

    #[test]
    fn anything_else_stays_as_it_is() {
        for bytes in [
            &b""[..],
            b"\xff",
            b"\xff\xd8",
            b"\xff\xd8\xff\xda",
            b"\x89PNG\r\n\x1a\n",
            b"\xff\xd8\xff\xe0\xff\xff",
            b"text",
        ] {
            assert_eq!(with_tables(bytes.to_vec()), bytes);
        }
    }

    #[test]
    fn a_frame_ends_where_its_marker_says() {
        let whole = encoded();
        let padded = [&whole[..], &[0; 100]].concat();
        assert_eq!(first(&padded), Some(&whole[..]));
        for cut in [0, 1, 2, 3, 20, whole.len() / 2, whole.len() - 1] {
            assert_eq!(first(&whole[..cut]), None, "cut at {cut}");
        }
        assert_eq!(first(&[&[0], &whole[..]].concat()), None, "a frame begins its buffer");
    }

    #[test]
    fn frames_are_found_between_anything() {
        let whole = encoded();
        let thumbnail = [&[MARK, SOI, MARK, 0xe1, 0, 6, MARK, SOI, MARK, EOI][..], &whole[2..]].concat();
        let stream = [
            b"--boundary\r\n",
            &whole[..],
            &[0xff, 0xff, 0xff],
            // Cut in the tables, and in the scan.
            &whole[..100],
            &whole[..whole.len() - 5],
            &thumbnail,
            &[MARK, SOI, MARK, 0xe0, 0, 1],
            &whole,
            &whole[..whole.len() - 1],
        ]
        .concat();
        // A buffer of three bytes cuts everything somewhere.
        let mut scanner = Scanner::new(io::BufReader::with_capacity(3, &stream[..]));
        let found: Vec<(u64, u64)> = std::iter::from_fn(|| scanner.next().unwrap()).collect();
        let frames: Vec<&[u8]> = found.iter().map(|&(at, n)| &stream[at as usize..(at + n) as usize]).collect();
        assert_eq!(frames, [&whole[..], &thumbnail, &whole]);
    }
}
