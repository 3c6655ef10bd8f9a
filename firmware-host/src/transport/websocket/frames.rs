//! WebSocket frames (RFC 6455, section 5) to bytes and back, without sockets.
//!
//! A binary message is a piece of a byte stream to us, so its bytes are handed on as they come and no message is ever held
//! whole. Text messages are lines, which are short; they are held until they are known to be UTF-8.

use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

/// Longest binary message.
pub(super) const MAX_MESSAGE: u64 = 1 << 20;

/// Longest text message: many lines of text mode.
const MAX_TEXT: u64 = 4096;

/// Longest header: two bytes, eight of length, four of mask.
const MAX_HEADER: usize = 14;

/// Longest payload of a control frame (section 5.5).
pub(super) const MAX_CONTROL: u64 = 125;

/// Which end of the connection this is: clients mask what they send, servers do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Server,
    Client,
}

/// What the other side asks for besides sending bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A pong with these bytes.
    Ping(Vec<u8>),
    /// The end, with its code.
    Close(CloseCode),
}

/// What the other side did wrong, as the code to close with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault(pub(super) CloseCode);

/// Turns received bytes into those of the stream.
#[derive(Debug)]
pub(super) struct Decoder {
    role: Role,
    /// Bytes of a header that is not whole yet.
    header: Vec<u8>,
    /// The frame whose payload is being read.
    frame: Option<Frame>,
    /// The message that is being read; its frames may have control frames between them.
    message: Option<Message>,
    /// Payload of a control frame so far.
    control: Vec<u8>,
    /// A text message so far, or what of it is still to be handed on.
    text: Vec<u8>,
    /// Bytes of a whole text message that have been handed on; `None` while it is not whole.
    told: Option<usize>,
}

#[derive(Debug)]
struct Frame {
    opcode: OpCode,
    is_final: bool,
    mask: Option<[u8; 4]>,
    length: u64,
    read: u64,
}

#[derive(Debug, Clone, Copy)]
struct Message {
    is_text: bool,
    bytes: u64,
}

impl Decoder {
    pub(super) fn new(role: Role) -> Self {
        Decoder {
            role,
            header: Vec::with_capacity(MAX_HEADER),
            frame: None,
            message: None,
            control: Vec::new(),
            text: Vec::new(),
            told: None,
        }
    }

    /// Takes bytes from the front of `input` and puts those of the stream into `into`, until one of them is used up or
    /// something else is asked for. Says how many bytes were put.
    pub(super) fn decode(&mut self, input: &mut &[u8], into: &mut [u8]) -> Result<(usize, Option<Event>), Fault> {
        let mut put = 0;
        loop {
            put += self.tell_text(into.get_mut(put..).unwrap_or_default());
            if put == into.len() {
                return Ok((put, None));
            }
            let Some(frame) = &mut self.frame else {
                if !self.read_header(input)? {
                    return Ok((put, None));
                }
                continue;
            };
            let left = usize::try_from(frame.length - frame.read).unwrap_or(usize::MAX);
            if left > 0 && input.is_empty() {
                return Ok((put, None));
            }
            let (bytes, rest) = input.split_at(left.min(input.len()));
            let unmasked = bytes.iter().zip(frame.read..).map(|(byte, at)| byte ^ mask_byte(frame.mask, at));
            let taken = match (frame.opcode, self.message) {
                (OpCode::Control(_), _) => {
                    self.control.extend(unmasked);
                    bytes.len()
                }
                (OpCode::Data(_), Some(Message { is_text: true, .. })) => {
                    self.text.extend(unmasked);
                    bytes.len()
                }
                (OpCode::Data(_), _) => {
                    let room = into.get_mut(put..).unwrap_or_default();
                    room.iter_mut().zip(unmasked).for_each(|(to, from)| *to = from);
                    let taken = bytes.len().min(room.len());
                    put += taken;
                    taken
                }
            };
            frame.read += taken as u64;
            *input = if taken == bytes.len() { rest } else { input.get(taken..).unwrap_or_default() };
            if frame.read == frame.length {
                let event = self.end_frame()?;
                if event.is_some() {
                    return Ok((put, event));
                }
            }
        }
    }

    /// Hands on what there is of a whole text message.
    fn tell_text(&mut self, into: &mut [u8]) -> usize {
        let Some(told) = self.told else { return 0 };
        let rest = self.text.get(told..).unwrap_or_default();
        let now = rest.len().min(into.len());
        into.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        if now == rest.len() {
            self.text.clear();
            self.told = None;
        } else {
            self.told = Some(told + now);
        }
        now
    }

    /// Reads a header, if it is there as a whole.
    fn read_header(&mut self, input: &mut &[u8]) -> Result<bool, Fault> {
        while let Some((byte, rest)) = input.split_first() {
            *input = rest;
            self.header.push(*byte);
            match FrameHeader::parse(&mut Cursor::new(&self.header)) {
                Ok(Some((header, length))) => {
                    self.header.clear();
                    self.begin_frame(&header, length)?;
                    return Ok(true);
                }
                Ok(None) if self.header.len() < MAX_HEADER => {}
                Ok(None) | Err(_) => return Err(Fault(CloseCode::Protocol)),
            }
        }
        Ok(false)
    }

    fn begin_frame(&mut self, header: &FrameHeader, length: u64) -> Result<(), Fault> {
        let is_masked = header.mask.is_some();
        if header.rsv1 || header.rsv2 || header.rsv3 || is_masked != (self.role == Role::Server) {
            return Err(Fault(CloseCode::Protocol));
        }
        match (header.opcode, &mut self.message) {
            (OpCode::Control(_), _) if header.is_final && length <= MAX_CONTROL => {}
            (OpCode::Data(Data::Continue), Some(message)) => message.bytes = message.bytes.saturating_add(length),
            (OpCode::Data(kind @ (Data::Text | Data::Binary)), message @ None) => {
                *message = Some(Message { is_text: kind == Data::Text, bytes: length });
            }
            _ => return Err(Fault(CloseCode::Protocol)),
        }
        let most = |message: &Message| if message.is_text { MAX_TEXT } else { MAX_MESSAGE };
        if self.message.as_ref().is_some_and(|message| message.bytes > most(message)) {
            return Err(Fault(CloseCode::Size));
        }
        let (opcode, is_final, mask) = (header.opcode, header.is_final, header.mask);
        self.frame = Some(Frame { opcode, is_final, mask, length, read: 0 });
        Ok(())
    }

    fn end_frame(&mut self) -> Result<Option<Event>, Fault> {
        let Some(frame) = self.frame.take() else { return Ok(None) };
        match frame.opcode {
            OpCode::Control(Control::Ping) => return Ok(Some(Event::Ping(std::mem::take(&mut self.control)))),
            OpCode::Control(Control::Close) => {
                let code = match *self.control.as_slice() {
                    [] => CloseCode::Normal,
                    [high, low, ref reason @ ..] if std::str::from_utf8(reason).is_ok() => {
                        CloseCode::from(u16::from_be_bytes([high, low]))
                    }
                    _ => CloseCode::Protocol,
                };
                let code = if code.is_allowed() { code } else { CloseCode::Protocol };
                return Ok(Some(Event::Close(code)));
            }
            OpCode::Control(_) => self.control.clear(),
            OpCode::Data(_) if frame.is_final => {
                if self.message.take().is_some_and(|message| message.is_text) {
                    if std::str::from_utf8(&self.text).is_err() {
                        return Err(Fault(CloseCode::Invalid));
                    }
                    self.text.push(b'\n');
                    self.told = Some(0);
                }
            }
            OpCode::Data(_) => {}
        }
        Ok(None)
    }
}

fn mask_byte(mask: Option<[u8; 4]>, at: u64) -> u8 {
    // Masks are four bytes, again and again.
    mask.map_or(0, |mask| mask[(at % 4) as usize])
}

/// Appends a frame that is a whole message or a control frame; `mask` is a client's.
pub(super) fn append(opcode: OpCode, payload: &[u8], mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    let header = FrameHeader { opcode, mask, ..FrameHeader::default() };
    // Writing to memory does not fail.
    let _ = header.format(payload.len() as u64, out);
    out.extend(payload.iter().zip(0..).map(|(byte, at)| byte ^ mask_byte(mask, at)));
}

#[cfg(test)]
mod tests;
