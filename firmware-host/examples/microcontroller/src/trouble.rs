//! [`Trouble`]: why there is no answer.

use core::fmt;

use cutout_protocol::body::BodyError;
use cutout_protocol::heapless::String;
use cutout_protocol::{ErrorCode, SCHEMA_HASH, message};

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// No answer came back, however often this was asked; the last error after which it was asked again.
    Silent {
        /// The message.
        what: &'static str,
        /// The error.
        said: Option<ErrorCode>,
    },
    /// The service says no.
    Refused(Refusal),
    /// Messages are laid out otherwise there; its schema.
    Schema(u32),
    /// The answer has so many bytes, more than there is room for.
    TooLarge(u32),
    /// The answer cannot be read.
    Unreadable(BodyError),
    /// A message is too long to be sent.
    TooLong,
    /// Something is not as it should be.
    Wrong(&'static str),
}

impl From<BodyError> for Trouble {
    fn from(error: BodyError) -> Self {
        Trouble::Unreadable(error)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Silent { what, said } => {
                write!(f, "nobody answers {what}: is the service there, at this speed?")?;
                said.map_or(Ok(()), |code| write!(f, " It said {}.", code.name()))
            }
            Trouble::Refused(why) => write!(f, "the service refuses: {} ({})", why.code.name(), why.text),
            Trouble::Schema(schema) => write!(f, "the service has schema {schema:08x}, not {SCHEMA_HASH:08x}"),
            Trouble::TooLarge(bytes) => write!(f, "the answer has {bytes} bytes: ask with a budget"),
            Trouble::Unreadable(error) => write!(f, "{error}"),
            Trouble::TooLong => f.write_str("the message is too long to be sent"),
            Trouble::Wrong(what) => write!(f, "not as it should be: {what}"),
        }
    }
}

/// A service's error message.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// Why.
    pub(crate) code: ErrorCode,
    /// Kind of the message that it is about.
    pub(crate) of: u8,
    /// See [`ErrorCode`].
    pub(crate) detail: u32,
    /// See [`ErrorCode`].
    pub(crate) frame: u32,
    /// The service's words.
    pub(crate) text: String<96>,
}

impl Refusal {
    /// As the message says.
    pub(crate) fn new(error: message::Error) -> Self {
        Refusal { code: error.code, of: error.of, detail: error.detail, frame: error.frame, text: error.text }
    }
}
