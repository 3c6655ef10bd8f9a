//! [`Accumulator`]: packets and lines of text out of whatever bytes come.

use crate::cobs;

/// Characters of a line of the text mode at most.
pub const MAX_LINE: usize = 120;

/// What [`Accumulator::feed`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Feed<'a> {
    /// Nothing whole yet; all bytes are taken.
    More,
    /// The bytes of a packet, its stuffing undone, to be given to [`open`](crate::open).
    Packet(&'a [u8]),
    /// A line of the text mode, without its end: printable ASCII and tabs, never empty.
    Line(&'a str),
    /// Bytes that are neither, or too long; they are forgotten.
    Garbage,
}

/// Finds packets and lines of the [text mode](crate::text) in a stream of bytes.
///
/// A packet is found whenever a delimiter stands before it, whatever came before that. Lines share the stream: a packet begins with a
/// byte 3 or 4 (how far it is to the first zero of its header) and its version, a line with a printable character.
/// Backspaces delete, as who types expects.
///
/// `N` is the bytes of a packet without its delimiter at most: [`wire_size`](crate::wire_size) of the largest payload
/// suffices.
#[derive(Debug)]
pub struct Accumulator<const N: usize> {
    buffer: [u8; N],
    length: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Behind a delimiter or a line's end.
    Start,
    /// One byte of what may be a packet.
    First,
    Packet,
    Text,
    /// What can be neither, or a line that is too long: up to a delimiter or a line's end.
    Junk,
    /// A packet that is too long: up to a delimiter.
    TooLong,
}

/// [`Feed`] before it borrows.
enum Found {
    Packet,
    Line,
    Garbage,
}

const LINE_END: [u8; 2] = [b'\n', b'\r'];
const BACKSPACE: [u8; 2] = [0x08, 0x7f];

fn is_text(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t')
}

/// Whether a version may be written so, of this protocol or of another.
fn is_version(byte: u8) -> bool {
    matches!(byte, 1..=31) && !is_text(byte) && !LINE_END.contains(&byte)
}

impl<const N: usize> Accumulator<N> {
    /// With nothing in it.
    pub const fn new() -> Self {
        Accumulator { buffer: [0; N], length: 0, state: State::Start }
    }

    /// Forgets what is not whole.
    pub fn reset(&mut self) {
        self.length = 0;
        self.state = State::Start;
    }

    /// Takes bytes up to the end of the next packet, line or piece of garbage, and says how many it took: the rest is
    /// to be fed again.
    pub fn feed(&mut self, bytes: &[u8]) -> (usize, Feed<'_>) {
        let mut at = 0;
        let found = loop {
            match bytes.get(at..) {
                None | Some([]) => return (at, Feed::More),
                Some(rest) => {
                    let (taken, found) = self.step(rest);
                    at += taken;
                    if let Some(found) = found {
                        break found;
                    }
                }
            }
        };
        let length = core::mem::take(&mut self.length);
        self.state = State::Start;
        let whole = self.buffer.get_mut(..length).unwrap_or_default();
        let feed = match found {
            Found::Packet => match cobs::decode_in_place(whole) {
                Some(decoded) => whole.get(..decoded).map_or(Feed::Garbage, Feed::Packet),
                None => Feed::Garbage,
            },
            Found::Line => core::str::from_utf8(whole).map_or(Feed::Garbage, Feed::Line),
            Found::Garbage => Feed::Garbage,
        };
        (at, feed)
    }

    /// Takes at least one of `bytes`, which are not none.
    fn step(&mut self, bytes: &[u8]) -> (usize, Option<Found>) {
        let byte = bytes[0];
        if byte == 0 {
            let found = match self.state {
                State::Start => None,
                State::Packet => Some(Found::Packet),
                State::First | State::Text | State::Junk | State::TooLong => Some(Found::Garbage),
            };
            return (1, found);
        }
        match self.state {
            State::Start => {
                if is_text(byte) {
                    self.keep(byte, State::Text);
                } else if matches!(byte, 3 | 4) {
                    self.keep(byte, State::First);
                } else if !LINE_END.contains(&byte) && !BACKSPACE.contains(&byte) {
                    self.state = State::Junk;
                }
                (1, None)
            }
            State::First if is_version(byte) => {
                self.keep(byte, State::Packet);
                (1, None)
            }
            State::First => {
                self.state = State::Junk;
                (0, None)
            }
            State::Packet => {
                let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
                match self.buffer.get_mut(self.length..self.length + end) {
                    Some(room) => {
                        room.copy_from_slice(&bytes[..end]);
                        self.length += end;
                    }
                    None => self.state = State::TooLong,
                }
                (end, None)
            }
            State::Text if LINE_END.contains(&byte) => (1, Some(Found::Line)),
            State::Text if BACKSPACE.contains(&byte) => {
                self.length -= 1;
                if self.length == 0 {
                    self.state = State::Start;
                }
                (1, None)
            }
            State::Text => {
                if is_text(byte) && self.length < MAX_LINE {
                    self.keep(byte, State::Text);
                } else {
                    self.state = State::Junk;
                }
                (1, None)
            }
            State::Junk if LINE_END.contains(&byte) => (1, Some(Found::Garbage)),
            State::Junk => (1, None),
            State::TooLong => (bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len()), None),
        }
    }

    fn keep(&mut self, byte: u8, next: State) {
        match self.buffer.get_mut(self.length) {
            Some(place) => {
                *place = byte;
                self.length += 1;
                self.state = next;
            }
            None => self.state = State::Junk,
        }
    }
}

impl<const N: usize> Default for Accumulator<N> {
    fn default() -> Self {
        Self::new()
    }
}
