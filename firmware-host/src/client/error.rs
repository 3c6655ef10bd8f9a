//! [`ClientError`]: why there is no answer, and who must do what.

use std::fmt;
use std::io;
use std::time::Duration;

use cutout_protocol::body::BodyError;
use cutout_protocol::message::UploadBegin;
use cutout_protocol::{ErrorCode, Message, PROTOCOL_VERSION};

use crate::transport::TransportError;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// There is no connection.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The connection ended, and cannot be opened anew.
    #[error("the connection to {peer} ended ({source}): {}", lost_hint(.source))]
    Lost {
        /// With whom.
        peer: String,
        /// How.
        source: io::Error,
    },
    /// Nothing came back, however often it was asked.
    #[error("{peer} does not answer {what} ({tries} tries in {waited:.1?}): is it a Cutout service, at this speed?")]
    NoAnswer {
        /// Who.
        peer: String,
        /// What was asked.
        what: &'static str,
        /// How often.
        tries: u32,
        /// How long.
        waited: Duration,
    },
    /// The service says no.
    #[error("{0}")]
    Refused(Refusal),
    /// The service speaks another version of the protocol.
    #[error(
        "the service speaks version {0} of the protocol, this program version {PROTOCOL_VERSION}: update one of them"
    )]
    Version(u8),
    /// What came is no answer.
    #[error("the service's answer cannot be read: {0}; it has a fault, or is newer than this program")]
    Unreadable(#[from] BodyError),
    /// The answer is longer than this client takes.
    #[error("the answer has {bytes} bytes, more than the {limit} that this client takes: ask with a budget")]
    TooLarge {
        /// Its length.
        bytes: u32,
        /// The longest that is taken.
        limit: usize,
    },
    /// The speed could not be changed.
    #[error("the line cannot be used at {wanted} baud, and goes on at {kept}: try a speed between")]
    Baud {
        /// The speed that failed.
        wanted: u32,
        /// The speed that works.
        kept: u32,
    },
    /// The frame to upload is longer than the service takes.
    #[error("the frame has {bytes} bytes, more than the {limit} that the service takes: make it smaller")]
    UploadTooLarge {
        /// Its length.
        bytes: usize,
        /// The longest that is taken.
        limit: u32,
    },
    /// The token is too long to be one.
    #[error("a token has at most 64 bytes")]
    LongToken,
}

fn lost_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nobody listens there; is `cutout serve` running, with this endpoint?",
        _ => "was the service stopped, or has it too many clients?",
    }
}

/// A service's error message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub code: ErrorCode,
    /// The kind of the message that it is about; 0 if unknown.
    pub of: u8,
    /// See [`ErrorCode`].
    pub detail: u32,
    /// See [`ErrorCode`].
    pub frame: u32,
    /// The service's words.
    pub text: String,
}

impl Refusal {
    pub(super) fn new(error: &cutout_protocol::message::Error) -> Self {
        let text = error.text.chars().filter(|c| !c.is_control()).collect();
        Refusal { code: error.code, of: error.of, detail: error.detail, frame: error.frame, text }
    }
}

/// The service's words, or what the numbers say where it has none.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = Message::name_of(self.of).unwrap_or("the request");
        write!(f, "the service refuses {what}: {}", self.code.name())?;
        if let ErrorCode::Other(number) = self.code {
            write!(f, " {number}")?;
        }
        let (detail, frame) = (self.detail, self.frame);
        match self.code {
            ErrorCode::Version => {
                return write!(f, " (it speaks version {detail}, schema {frame:#010x}: update one of the two)");
            }
            ErrorCode::Cancelled => return f.write_str(" (it ended before it was answered; is the service stopping?)"),
            _ if !self.text.is_empty() => return write!(f, " ({})", self.text),
            _ => {}
        }
        match self.code {
            ErrorCode::Busy => write!(f, " (too much is asked at once: try again in {detail} ms)"),
            ErrorCode::StaleFrame if frame > 0 => {
                write!(f, " (that frame is not kept any more; the oldest that is has number {frame})")
            }
            ErrorCode::Deadline => write!(f, " (it would take {detail} ms)"),
            ErrorCode::TooLarge if detail > 0 && self.of == UploadBegin::KIND => {
                write!(f, " (at most {detail} bytes are taken)")
            }
            ErrorCode::TooLarge if detail > 0 => write!(f, " ({detail} bytes are needed)"),
            ErrorCode::Unauthorized => f.write_str(" (a token is needed, or the one given is wrong)"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_one_sentence_in_the_services_words_or_from_its_numbers() {
        let told = |code, of, text: &str| Refusal { code, of, detail: 71, frame: 7, text: text.into() }.to_string();
        let of = cutout_protocol::message::Prompt::KIND;
        for (code, of, text, words) in [
            (ErrorCode::Deadline, of, "it would take 71 ms", "Prompt: DEADLINE (it would take 71 ms)"),
            (ErrorCode::Deadline, of, "", "Prompt: DEADLINE (it would take 71 ms)"),
            (ErrorCode::TooLarge, of, "the shortest takes 71", "Prompt: TOO_LARGE (the shortest takes 71)"),
            (ErrorCode::TooLarge, of, "", "Prompt: TOO_LARGE (71 bytes are needed)"),
            (ErrorCode::TooLarge, UploadBegin::KIND, "", "UploadBegin: TOO_LARGE (at most 71 bytes are taken)"),
            (ErrorCode::StaleFrame, of, "gone; the oldest is 7", "Prompt: STALE_FRAME (gone; the oldest is 7)"),
        ] {
            assert_eq!(told(code, of, text), format!("the service refuses {words}"));
        }
        assert_eq!(told(ErrorCode::Cancelled, of, "cancelled").matches("ancelled").count(), 0);
        assert!(told(ErrorCode::StaleFrame, of, "").ends_with("the oldest that is has number 7)"));
    }
}
