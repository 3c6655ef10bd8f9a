//! The text mode: a prompt from a bare terminal, on the port that packets use.
//!
//! One command a line, in capitals or not; points and boxes gather until `GO`.

use core::fmt;

use crate::q4::Q4;

mod reply;

pub use reply::Reply;

/// What `HELP` answers.
pub const HELP: &str = "\
P x y [bg]              a point of the object, or (bg) one beside it\n\
B x0 y0 x1 y1           a box around the object\n\
GO [bytes] [ms]         answer; in at most so many bytes, within so many milliseconds\n\
CLEAR                   forget points and box\n\
REFINE                  the next GO starts from the last answer's mask\n\
FRAME n | latest        the frame that is meant\n\
SHOW                    draw the mask in characters\n\
TRACK [ms] | STOP       answer frame after frame, at most every so many milliseconds\n\
STATUS                  how the service is\n\
TOKEN t                 the token, where the service demands one\n";

/// A command.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Command<'a> {
    /// `P x y [bg]`: a point, in image pixels.
    Point {
        /// Column.
        x: Q4,
        /// Row.
        y: Q4,
        /// Whether it is on the object.
        foreground: bool,
    },
    /// `B x0 y0 x1 y1`: a box, two opposite corners in any order; given with the smaller numbers first.
    Box {
        /// Left edge.
        x0: Q4,
        /// Upper edge.
        y0: Q4,
        /// Right edge.
        x1: Q4,
        /// Lower edge.
        y1: Q4,
    },
    /// `GO [budget] [deadline_ms]`: asks; 0 for no limit.
    Go {
        /// Bytes of the answer at most.
        budget: u32,
        /// Milliseconds at most.
        deadline_ms: u32,
    },
    /// `CLEAR`: forgets points and box.
    Clear,
    /// `FRAME n` or `FRAME latest` (0).
    Frame(u32),
    /// `REFINE`: the next prompt has the last answer's mask.
    Refine,
    /// `SHOW`: draws the last answer.
    Show,
    /// `TRACK [interval_ms]`: answers frame after frame; 0 for every frame.
    Track {
        /// Least time between answers.
        interval_ms: u32,
    },
    /// `STOP`: ends the track.
    Stop,
    /// `STATUS`.
    Status,
    /// `TOKEN t`.
    Token(&'a str),
    /// `HELP` or `?`.
    Help,
    /// A line of spaces.
    Blank,
}

/// Why a line is not a command; says what to type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextError {
    /// The first word is none of the commands.
    Unknown,
    /// The command needs other words behind it: this is how it is typed.
    Usage(&'static str),
    /// A number is expected there, below 2^28 for coordinates and 2^32 for others: this is how the command is typed.
    Number(&'static str),
    /// The box has no area.
    EmptyBox,
    /// Tokens are at most 64 bytes.
    LongToken,
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TextError::Unknown => f.write_str("no such command; type HELP"),
            TextError::Usage(usage) => write!(f, "type {usage}"),
            TextError::Number(usage) => write!(f, "a number is wrong; type {usage}"),
            TextError::EmptyBox => f.write_str("the box has no area; type two opposite corners: B 10 10 200 180"),
            TextError::LongToken => f.write_str("a token has at most 64 characters"),
        }
    }
}

impl core::error::Error for TextError {}

const POINT: &str = "P x y, as P 320 240, or P x y bg for a point beside the object";
const BOX: &str = "B x0 y0 x1 y1, as B 10 10 200 180";
const GO: &str = "GO, or GO bytes, or GO bytes milliseconds; 0 for no limit";
const FRAME: &str = "FRAME n, as FRAME 12, or FRAME latest";
const TRACK: &str = "TRACK, or TRACK milliseconds";
const TOKEN: &str = "TOKEN t, as TOKEN s3cret";

/// Reads a line.
///
/// # Errors
/// [`TextError`], which says what to type.
pub fn parse(line: &str) -> Result<Command<'_>, TextError> {
    let mut words = line.split_ascii_whitespace();
    let Some(name) = words.next() else { return Ok(Command::Blank) };
    let is = |word: &str| name.eq_ignore_ascii_case(word);
    if is("P") {
        let (x, y) = (pixels(words.next(), POINT)?, pixels(words.next(), POINT)?);
        let foreground = match words.next() {
            None => true,
            Some(word) if word.eq_ignore_ascii_case("fg") => true,
            Some(word) if word.eq_ignore_ascii_case("bg") => false,
            Some(_) => return Err(TextError::Usage(POINT)),
        };
        return ended(words, POINT, Command::Point { x, y, foreground });
    }
    if is("B") {
        let mut corner = || pixels(words.next(), BOX);
        let (xa, ya, xb, yb) = (corner()?, corner()?, corner()?, corner()?);
        if xa == xb || ya == yb {
            return Err(TextError::EmptyBox);
        }
        let found = Command::Box { x0: xa.min(xb), y0: ya.min(yb), x1: xa.max(xb), y1: ya.max(yb) };
        return ended(words, BOX, found);
    }
    if is("GO") {
        let found = Command::Go { budget: optional(words.next(), GO)?, deadline_ms: optional(words.next(), GO)? };
        return ended(words, GO, found);
    }
    if is("FRAME") {
        let word = words.next().ok_or(TextError::Usage(FRAME))?;
        let frame = if word.eq_ignore_ascii_case("latest") { 0 } else { whole(word, FRAME)? };
        return ended(words, FRAME, Command::Frame(frame));
    }
    if is("TRACK") {
        let interval_ms = optional(words.next(), TRACK)?;
        return ended(words, TRACK, Command::Track { interval_ms });
    }
    if is("TOKEN") {
        let token = words.next().ok_or(TextError::Usage(TOKEN))?;
        if token.len() > 64 {
            return Err(TextError::LongToken);
        }
        return ended(words, TOKEN, Command::Token(token));
    }
    let plain = [
        ("CLEAR", Command::Clear),
        ("REFINE", Command::Refine),
        ("SHOW", Command::Show),
        ("STOP", Command::Stop),
        ("STATUS", Command::Status),
        ("HELP", Command::Help),
        ("?", Command::Help),
    ];
    match plain.into_iter().find(|(word, _)| is(word)) {
        Some((word, command)) => match words.next() {
            None => Ok(command),
            Some(_) => Err(TextError::Usage(word)),
        },
        None => Err(TextError::Unknown),
    }
}

fn ended<'a>(
    mut words: impl Iterator<Item = &'a str>,
    usage: &'static str,
    command: Command<'a>,
) -> Result<Command<'a>, TextError> {
    if words.next().is_some() { Err(TextError::Usage(usage)) } else { Ok(command) }
}

fn whole(word: &str, usage: &'static str) -> Result<u32, TextError> {
    let digits = word.bytes().all(|byte| byte.is_ascii_digit());
    word.parse().ok().filter(|_| digits).ok_or(TextError::Number(usage))
}

fn optional(word: Option<&str>, usage: &'static str) -> Result<u32, TextError> {
    word.map_or(Ok(0), |word| whole(word, usage))
}

/// A coordinate, with a fraction or without.
fn pixels(word: Option<&str>, usage: &'static str) -> Result<Q4, TextError> {
    let word = word.ok_or(TextError::Usage(usage))?;
    let (integer, fraction) = word.split_once('.').unwrap_or((word, "0"));
    let pixels = whole(integer, usage)?;
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(TextError::Number(usage));
    }
    // Four digits are finer than sixteenths.
    let digits = fraction.bytes().chain(core::iter::repeat(b'0')).take(4);
    let part = digits.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    let q4 = pixels.checked_mul(16).and_then(|whole| whole.checked_add((part * 16 + 5000) / 10_000));
    q4.map(Q4).ok_or(TextError::Number(usage))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn commands() {
        let q = Q4::from_px;
        let cases = [
            ("P 320 240", Command::Point { x: q(320.0), y: q(240.0), foreground: true }),
            ("p 320.5\t240.25 BG", Command::Point { x: q(320.5), y: q(240.25), foreground: false }),
            ("  b 200 180 10 10 ", Command::Box { x0: q(10.0), y0: q(10.0), x1: q(200.0), y1: q(180.0) }),
            ("GO", Command::Go { budget: 0, deadline_ms: 0 }),
            ("go 240", Command::Go { budget: 240, deadline_ms: 0 }),
            ("Go 240 80", Command::Go { budget: 240, deadline_ms: 80 }),
            ("CLEAR", Command::Clear),
            ("FRAME 12", Command::Frame(12)),
            ("frame LATEST", Command::Frame(0)),
            ("REFINE", Command::Refine),
            ("SHOW", Command::Show),
            ("TRACK", Command::Track { interval_ms: 0 }),
            ("track 200", Command::Track { interval_ms: 200 }),
            ("STOP", Command::Stop),
            ("status", Command::Status),
            ("TOKEN s3Cret", Command::Token("s3Cret")),
            ("HELP", Command::Help),
            ("?", Command::Help),
            ("   ", Command::Blank),
        ];
        for (line, command) in cases {
            assert_eq!(parse(line), Ok(command), "{line:?}");
        }
    }

    #[test]
    fn mistakes_are_told_what_to_type() {
        let long = ["TOKEN ", &"x".repeat(65)].concat();
        let cases = [
            ("X", TextError::Unknown),
            ("P", TextError::Usage(POINT)),
            ("P 1", TextError::Usage(POINT)),
            ("P 1 2 red", TextError::Usage(POINT)),
            ("P 1 2 bg 3", TextError::Usage(POINT)),
            ("P -1 2", TextError::Number(POINT)),
            ("P +1 2", TextError::Number(POINT)),
            ("P 1. 2", TextError::Number(POINT)),
            ("P nan 2", TextError::Number(POINT)),
            ("P 1e3 2", TextError::Number(POINT)),
            ("P 268435456 2", TextError::Number(POINT)),
            ("B 1 2 3", TextError::Usage(BOX)),
            ("B 1 2 1 4", TextError::EmptyBox),
            ("GO 1 2 3", TextError::Usage(GO)),
            ("GO 4294967296", TextError::Number(GO)),
            ("FRAME", TextError::Usage(FRAME)),
            ("FRAME new", TextError::Number(FRAME)),
            ("TOKEN", TextError::Usage(TOKEN)),
            ("TOKEN a b", TextError::Usage(TOKEN)),
            (&long, TextError::LongToken),
            ("CLEAR all", TextError::Usage("CLEAR")),
        ];
        for (line, error) in cases {
            assert_eq!(parse(line), Err(error), "{line:?}");
        }
        assert_eq!(parse("P 1").unwrap_err().to_string(), ["type ", POINT].concat());
    }

    #[test]
    fn help_names_every_command() {
        for word in ["P ", "B ", "GO", "CLEAR", "FRAME", "REFINE", "SHOW", "TRACK", "STOP", "STATUS", "TOKEN"] {
            assert!(HELP.contains(word), "{word}");
        }
    }
}
