//! [`CocoRle`]: masks as COCO's and SA-1B's run-length strings.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::geometry::Size;
use crate::mask::{Mask, Run, for_each_line};

/// A mask in COCO's compressed run-length encoding, the same bytes as pycocotools writes.
///
/// Pixels are counted down the columns, from the left: `counts` are lengths of runs outside, inside, outside and so on,
/// the first possibly zero. From the fourth on, each is written as its difference to the one two before; each number
/// in groups of 5 bits, the lowest first, as characters from `0` on, with bit 5 where more follow and the last
/// group's bit 4 as the sign. (Reference: `rleToString` in cocoapi's `common/maskApi.c`.)
///
/// As JSON: `{"size": [height, width], "counts": "..."}`; `counts` may also be the plain list of lengths on input.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct CocoRle {
    /// Height, then width, in pixels.
    pub size: [u32; 2],
    /// The encoded lengths.
    pub counts: String,
}

/// Characters of one number at most: 33 bits of a difference with its sign, in groups of 5.
const MAX_GROUPS: u32 = 7;

impl CocoRle {
    /// Encodes a mask.
    pub fn encode(mask: &Mask) -> Self {
        let Size { width, height } = mask.size();
        let mut counts = Vec::new();
        let mut done = 0;
        for run in transpose(mask.runs(), width) {
            let start = run.y * height as u32 + run.x;
            // A run that ends at the bottom of a column goes on at the top of the next.
            match counts.last_mut() {
                Some(last) if start == done => *last += run.len,
                _ => counts.extend([start - done, run.len]),
            }
            done = start + run.len;
        }
        let rest = (width * height) as u32 - done;
        if rest > 0 || counts.is_empty() {
            counts.push(rest);
        }
        CocoRle::from_counts([height as u32, width as u32], &counts)
    }

    /// Compresses run lengths (outside first, down the columns) of a mask of `size`, height first; not checked before
    /// [`decode`](Self::decode).
    pub fn from_counts(size: [u32; 2], counts: &[u32]) -> Self {
        let mut text = String::with_capacity(counts.len() * 2);
        for (index, &count) in counts.iter().enumerate() {
            let before = if index > 2 { i64::from(counts[index - 2]) } else { 0 };
            let mut rest = i64::from(count) - before;
            loop {
                let group = (rest & 0x1f) as u8;
                rest >>= 5;
                let more = rest != if group & 0x10 != 0 { -1 } else { 0 };
                text.push(char::from(b'0' + group + if more { 0x20 } else { 0 }));
                if !more {
                    break;
                }
            }
        }
        CocoRle { size, counts: text }
    }

    /// The run lengths, outside first, down the columns.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidImage`] if the string holds a character that the encoding does not use, ends inside a
    /// number, or makes a length that is negative or over 32 bits.
    pub fn to_counts(&self) -> Result<Vec<u32>> {
        let mut counts: Vec<u32> = Vec::new();
        let (mut value, mut groups) = (0i64, 0);
        for (position, byte) in self.counts.bytes().enumerate() {
            let group = byte.wrapping_sub(b'0');
            if group > 0x3f {
                return Err(bad(format!("byte {byte:#04x} at {position} is not of the encoding")));
            }
            if groups == MAX_GROUPS {
                return Err(bad(format!("the number that ends at {position} is too long")));
            }
            value |= i64::from(group & 0x1f) << (5 * groups);
            groups += 1;
            if group & 0x20 != 0 {
                continue;
            }
            if group & 0x10 != 0 {
                value -= 1 << (5 * groups);
            }
            if counts.len() > 2 {
                value += i64::from(counts[counts.len() - 2]);
            }
            let count = u32::try_from(value);
            counts.push(count.map_err(|_| bad(format!("the run that ends at {position} has length {value}")))?);
            (value, groups) = (0, 0);
        }
        if groups > 0 {
            return Err(bad("it ends inside a number".into()));
        }
        Ok(counts)
    }

    /// Decodes the mask. The work and the memory are bounded by the number of pixels that `size` states, not by the
    /// length of the string: who takes strings from strangers checks `size` first.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidImage`] if the size is zero or too large for an image, the string is malformed (see
    /// [`to_counts`](Self::to_counts)), or the lengths do not add up to the number of pixels.
    pub fn decode(&self) -> Result<Mask> {
        let [height, width] = self.size;
        let size = Size::new(width as usize, height as usize);
        size.check()?;
        let counts = self.to_counts()?;
        let total = counts.iter().map(|&count| u64::from(count)).sum::<u64>();
        if total != size.pixels() as u64 {
            return Err(bad(format!("its runs cover {total} pixels, the {size} mask has {}", size.pixels())));
        }
        let mut columns: Vec<Run> = Vec::with_capacity(counts.len() / 2 + 1);
        let mut at = 0;
        for (index, &count) in counts.iter().enumerate() {
            let end = at + count;
            while index % 2 == 1 && at < end {
                let (x, y) = (at / height, at % height);
                let len = (end - at).min(height - y);
                match columns.last_mut() {
                    // A zero-length run outside parts nothing.
                    Some(last) if last.y == x && last.end() == y => last.len += len,
                    _ => columns.push(Run { y: x, x: y, len }),
                }
                at += len;
            }
            at = end;
        }
        Ok(Mask::from_sorted_runs(size, transpose(&columns, height as usize)))
    }
}

fn bad(what: String) -> Error {
    Error::new(ErrorKind::InvalidImage, format!("not a COCO run-length mask: {what}"))
}

/// Turns row-major runs of an image `width` pixels wide into its column-major ones, in which `y` is the column and `x`
/// the row; and the other way round.
///
/// Wherever a row differs from the one above, a run along that column begins or ends. Rows come in order, so putting
/// these places into one bucket per column sorts them.
fn transpose(runs: &[Run], width: usize) -> Vec<Run> {
    let mut first = vec![0usize; width + 1];
    for_each_change(runs, |_, x, end| first[x as usize + 1..=end as usize].iter_mut().for_each(|n| *n += 1));
    for x in 0..width {
        first[x + 1] += first[x];
    }
    let mut next = first.clone();
    let mut changes = vec![0u32; first[width]];
    for_each_change(runs, |y, x, end| {
        for next in &mut next[x as usize..end as usize] {
            changes[*next] = y;
            *next += 1;
        }
    });
    let columns = (0u32..).zip(first.windows(2));
    columns
        .flat_map(|(y, range)| {
            let (pairs, _) = changes[range[0]..range[1]].as_chunks::<2>();
            pairs.iter().map(move |&[x, end]| Run { y, x, len: end - x })
        })
        .collect()
}

/// Calls `found(y, x, end)` for every stretch `x..end` in which row `y` differs from the row above it; beyond the
/// image everything is outside.
fn for_each_change(runs: &[Run], mut found: impl FnMut(u32, u32, u32)) {
    for_each_line(runs, |y, above, below| {
        // The boundaries of both rows in order; two at the same place cancel, and what is left pairs up.
        let mut above = runs[above].iter().flat_map(|run| [run.x, run.end()]).peekable();
        let mut below = runs[below].iter().flat_map(|run| [run.x, run.end()]).peekable();
        let mut open = None;
        loop {
            let x = match (above.peek().copied(), below.peek().copied()) {
                (Some(a), Some(b)) if a == b => {
                    above.next();
                    below.next();
                    continue;
                }
                (Some(a), Some(b)) if a < b => above.next(),
                (Some(_), None) => above.next(),
                (_, Some(_)) => below.next(),
                (None, None) => break,
            };
            match (open.take(), x) {
                (Some(start), Some(end)) => found(y, start, end),
                (None, start) => open = start,
                (Some(_), None) => {}
            }
        }
    });
}

/// The forms that are read.
#[derive(Deserialize)]
struct Written {
    size: [u32; 2],
    counts: WrittenCounts,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "counts: a compressed string, or a list of run lengths from 0 to 4294967295")]
enum WrittenCounts {
    Compressed(String),
    Plain(Vec<u32>),
}

impl From<Written> for CocoRle {
    fn from(written: Written) -> Self {
        match written.counts {
            WrittenCounts::Compressed(counts) => CocoRle { size: written.size, counts },
            WrittenCounts::Plain(counts) => CocoRle::from_counts(written.size, &counts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rle(size: [u32; 2], counts: &str) -> CocoRle {
        CocoRle { size, counts: counts.into() }
    }

    #[test]
    fn small_masks_encode_as_written_by_hand() {
        let encode = |width, height, inside: &[bool]| {
            CocoRle::encode(&Mask::from_bools(Size::new(width, height), inside).unwrap())
        };
        assert_eq!(encode(2, 2, &[false; 4]), rle([2, 2], "4"));
        assert_eq!(encode(2, 2, &[true; 4]), rle([2, 2], "04"));
        // Down the columns: 1 outside, 2 inside, 1 outside.
        assert_eq!(encode(2, 2, &[false, true, true, false]), rle([2, 2], "121"));
        // 40 outside is 8 + 1 * 32: a group of 8 with more to follow, then 1.
        let mut line = [false; 41];
        line[40] = true;
        assert_eq!(encode(41, 1, &line), rle([1, 41], "X11"));
    }

    #[test]
    fn differences_begin_at_the_fourth_number_and_may_be_negative() {
        let rle = CocoRle::from_counts([1, 40], &[5, 20, 3, 2, 10]);
        // 5, 20 (two groups, as bit 4 of one would be a sign), 3, 2 - 20 = -18 (two groups), 10 - 3.
        assert_eq!(rle.counts, "5d03^O7");
        assert_eq!(rle.to_counts().unwrap(), [5, 20, 3, 2, 10]);
    }

    #[test]
    fn any_mask_comes_back() {
        let mut state = 7u64;
        for width in [1usize, 2, 3, 8, 33] {
            for height in [1usize, 2, 5, 40] {
                for percent in [0, 5, 50, 95, 100] {
                    let size = Size::new(width, height);
                    let values: Vec<bool> = (0..size.pixels())
                        .map(|_| {
                            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                            (state >> 33) % 100 < percent
                        })
                        .collect();
                    let mask = Mask::from_bools(size, &values).unwrap();
                    let decoded = CocoRle::encode(&mask).decode().unwrap();
                    assert_eq!(decoded, mask, "{size} at {percent} %");
                    assert!(Mask::from_runs(size, decoded.runs().to_vec()).is_ok());
                }
            }
        }
    }

    #[test]
    fn zero_length_runs_part_nothing() {
        let mask = CocoRle::from_counts([4, 2], &[1, 1, 0, 2, 4]).decode().unwrap();
        assert_eq!(
            mask,
            Mask::from_bools(Size::new(2, 4), &[false, false, true, false, true, false, true, false]).unwrap()
        );
    }

    #[test]
    fn malformed_strings_are_refused() {
        let cases = [
            ([2, 2], ""),
            ([2, 2], "3"),
            ([2, 2], "5"),
            ([2, 2], "T"),
            ([2, 2], "4\u{e9}"),
            ([2, 2], "4/"),
            ([2, 2], "4p"),
            ([2, 2], "O"),
            ([2, 2], "oooooooo0"),
            ([2, 2], "TTTTTTT8"),
            ([2, 2], "PPPPPP4"),
            ([0, 2], "0"),
            ([65_536, 1], "0"),
            ([u32::MAX, u32::MAX], "1"),
            ([1, 40], "5d03^OI"),
        ];
        for (size, counts) in cases {
            let error = rle(size, counts).decode().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidImage, "{counts:?}");
        }
    }

    #[test]
    fn no_string_makes_it_panic() {
        let mut state = 99u64;
        for _ in 0..20_000 {
            let mut byte = || {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 40) as u8
            };
            let length = byte() % 12;
            let text: String = (0..length).map(|_| char::from(b'-' + byte() % 70)).collect();
            let size = [u32::from(byte() % 9), u32::from(byte() % 9)];
            if let Ok(mask) = rle(size, &text).decode() {
                assert!(Mask::from_runs(mask.size(), mask.runs().to_vec()).is_ok());
            }
        }
    }

    #[test]
    fn json_is_that_of_coco_and_takes_plain_counts() {
        let text = r#"{"size":[2,2],"counts":"121"}"#;
        let read: CocoRle = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        let plain: CocoRle = serde_json::from_str(r#"{"counts":[1,2,1],"size":[2,2]}"#).unwrap();
        assert_eq!(plain, read);
        for bad in [r#"{"size":[2,2],"counts":[1,-2,1]}"#, r#"{"size":[2],"counts":"121"}"#, r#"{"size":[2,2]}"#] {
            assert!(serde_json::from_str::<CocoRle>(bad).is_err(), "{bad}");
        }
    }
}
