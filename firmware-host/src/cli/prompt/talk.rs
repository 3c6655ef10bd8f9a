//! A talk: commands as in text mode, answers in words and as a small picture.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::Result;
use cutout_protocol::message::{Point, Rect};
use cutout_protocol::text::{Command, HELP, TextError, parse};
use cutout_protocol::{Features, ItemSet};

use super::draw::spans;
use super::lines::Lines;
use super::report::{self, Reader};
use super::terminal::Terminal;
use super::{Interrupt, Misuse};
use crate::client::{Answer, Client, ClientError, Options, Prompt, Tracked};
use crate::photo::Photo;
use crate::transport::Endpoint;

/// Longest side of the picture that a drawing in characters is made of.
const PICTURE_SIDE: u16 = 192;

/// Reads commands until the end of the input, or `QUIT`. Errors are told and end nothing, but for a connection that is lost.
/// Says whether all was well: somebody who typed the lines has seen what was not.
///
/// # Errors
/// [`Misuse`] if the input is empty and nobody could type; what loses the connection; what the system says.
pub(super) fn run(
    client: &mut Client,
    (endpoint, options): (&Endpoint, Options),
    prompt: Prompt,
    out: &mut impl Write,
) -> Result<bool> {
    let is_watched = std::io::stdin().is_terminal();
    let lines = Lines::of(std::io::stdin())?;
    let terminal = Terminal::of_stdout();
    let mut talk = Talk { client, endpoint, options, prompt, last: None, terminal, lines, interrupt: None, well: true };
    if is_watched {
        let caps = talk.client.caps();
        writeln!(out, "{} with {}, by {}. HELP tells what can be said.", caps.service, caps.model, talk.client.peer())?;
    }
    let mut is_empty = true;
    loop {
        if is_watched {
            write!(out, "> ")?;
        }
        out.flush()?;
        let Some(line) = talk.lines.next()? else { break };
        let line = line.trim();
        is_empty &= line.is_empty();
        if line.eq_ignore_ascii_case("quit") {
            break;
        }
        let line = spaced(line);
        match parse(&line) {
            Ok(command) => {
                if let Err(error) = talk.obey(&command, out) {
                    match error.downcast_ref::<ClientError>() {
                        Some(ClientError::Lost { .. } | ClientError::Transport(_)) | None => return Err(error),
                        Some(ClientError::Refused(refusal)) => {
                            let hint = report::hint(refusal, Reader::Talk(talk.prompt.frame));
                            talk.fail(out, &format!("{refusal}{hint}"))?;
                        }
                        Some(error) => talk.fail(out, &error.to_string())?,
                    }
                }
            }
            Err(error) => talk.fail(out, &mistake(&line, error))?,
        }
    }
    if is_empty && !is_watched {
        let what = "nothing is asked for: give --point X,Y or --box X0,Y0,X1,Y1, or commands on standard input";
        return Err(Misuse(what.into()).into());
    }
    Ok(talk.well || is_watched)
}

/// A line whose numbers may have commas between them, as coordinates elsewhere have.
fn spaced(line: &str) -> Cow<'_, str> {
    let name = line.split_ascii_whitespace().next().unwrap_or_default();
    match (name.eq_ignore_ascii_case("p") || name.eq_ignore_ascii_case("b")) && line.contains(',') {
        true => line.replace(',', " ").into(),
        false => line.into(),
    }
}

/// Why a line is no command, and which word of it is no coordinate.
fn mistake(line: &str, error: TextError) -> String {
    let is_coordinate = |word: &&str| word.parse::<f32>().is_ok_and(|value| (0.0..268_435_456.0).contains(&value));
    let mut words = line.split_ascii_whitespace();
    let name = words.next().unwrap_or_default();
    let takes_coordinates = name.eq_ignore_ascii_case("p") || name.eq_ignore_ascii_case("b");
    match (error, words.find(|word| !is_coordinate(word))) {
        (TextError::Number(usage), Some(word)) if takes_coordinates => {
            format!("{word:?} is no pixel of a frame, which are counted from 0; type {usage}")
        }
        _ => error.to_string(),
    }
}

struct Talk<'a> {
    client: &'a mut Client,
    endpoint: &'a Endpoint,
    options: Options,
    prompt: Prompt,
    last: Option<Answer>,
    terminal: Option<Terminal>,
    lines: Lines,
    interrupt: Option<Interrupt>,
    /// Whether no line was answered with an error.
    well: bool,
}

impl Talk<'_> {
    fn fail(&mut self, out: &mut impl Write, what: &str) -> Result<()> {
        self.well = false;
        writeln!(out, "ERR {what}")?;
        Ok(())
    }

    fn obey(&mut self, command: &Command<'_>, out: &mut impl Write) -> Result<()> {
        match *command {
            Command::Point { x, y, foreground } => {
                if self.prompt.points.push(Point { x, y, label: foreground.into() }).is_err() {
                    let most = self.prompt.points.capacity();
                    self.fail(out, &format!("a prompt has at most {most} points; CLEAR begins anew"))?;
                }
            }
            Command::Box { x0, y0, x1, y1 } => self.prompt.bbox = Some(Rect { x0, y0, x1, y1 }),
            Command::Go { budget, deadline_ms } => {
                (self.prompt.budget, self.prompt.deadline_ms) = (budget, deadline_ms);
                let answer = self.client.prompt(&self.prompt)?;
                self.prompt.refine = 0;
                report::text(out, &answer)?;
                self.last = Some(answer);
                if let Some(terminal) = self.terminal {
                    self.show(terminal, out)?;
                }
            }
            Command::Clear => {
                self.prompt.points.clear();
                (self.prompt.bbox, self.prompt.refine) = (None, 0);
            }
            Command::Frame(frame) => self.prompt.frame = frame,
            Command::Refine => match &self.last {
                Some(answer) => (self.prompt.refine, self.prompt.frame) = (answer.request, answer.frame),
                None => self.fail(out, "nothing was answered yet; GO asks")?,
            },
            Command::Show => self.show(self.terminal.unwrap_or(Terminal::PLAIN), out)?,
            Command::Track { interval_ms } => self.track(Duration::from_millis(interval_ms.into()), out)?,
            Command::Stop => writeln!(out, "nothing is tracked")?,
            Command::Status => {
                let (status, ping) = (self.client.status()?, self.client.ping()?);
                report::status(out, self.client.caps(), &status, ping)?;
            }
            Command::Token(token) => {
                self.options.token = token.into();
                *self.client = Client::connect(self.endpoint, self.options.clone())?;
            }
            Command::Help => writeln!(out, "{HELP}QUIT                    end")?,
            Command::Blank => {}
        }
        Ok(())
    }

    /// Draws the last answer, on its frame if the terminal has colours and the service gives pictures.
    fn show(&mut self, terminal: Terminal, out: &mut impl Write) -> Result<()> {
        let Some(answer) = &self.last else { return self.fail(out, "nothing was answered yet; GO asks") };
        let Some(mask) = answer.mask() else {
            writeln!(out, "  the mask was left out for the budget, so it cannot be drawn")?;
            return Ok(());
        };
        let has_picture = terminal.colour && self.client.caps().features.contains(Features::PICTURE);
        let photo = match has_picture {
            // A frame that is gone by now is no reason not to draw the mask.
            true => match self.client.picture(answer.frame, PICTURE_SIDE, 75) {
                Ok(picture) => picture.picture().and_then(|bytes| Photo::decode(bytes).ok()),
                Err(ClientError::Refused(_)) => None,
                Err(error) => return Err(error.into()),
            },
            false => None,
        };
        let picture = photo.as_ref().map(|p| (p.size().width as u32, p.size().height as u32, p.pixels()));
        write!(out, "{}", terminal.draw((mask.width(), mask.height()), spans(&mask), picture))?;
        Ok(())
    }

    /// Follows the object until a line comes, the input ends, or Ctrl-C is pressed.
    fn track(&mut self, interval: Duration, out: &mut impl Write) -> Result<()> {
        let interrupt = match self.interrupt.take() {
            Some(interrupt) => interrupt,
            None => Interrupt::new()?,
        };
        let mut prompt = self.prompt.clone();
        prompt.wanted = prompt.wanted.without(ItemSet::RLE);
        let mut failed = Ok(());
        let lines = &mut self.lines;
        interrupt.arm();
        let ended = self.client.track(&prompt, interval, |tracked| {
            if let Tracked::Answer(answer) = tracked {
                failed = report::line(out, answer).and_then(|()| out.flush());
            }
            match failed.is_err() || interrupt.is_pressed() || lines.interrupt() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        interrupt.disarm();
        self.interrupt = Some(interrupt);
        if ended.is_ok() {
            lines.drop_if(|line| matches!(parse(line.trim()), Ok(Command::Stop)));
        }
        ended?;
        Ok(failed?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_between_numbers_are_as_good_as_spaces() {
        assert_eq!(parse(&spaced("P 686,200")), parse("P 686 200"));
        assert_eq!(parse(&spaced("p 686, 200,bg")), parse("P 686 200 bg"));
        assert_eq!(parse(&spaced("b 1,2,30,40")), parse("B 1 2 30 40"));
        assert_eq!(spaced("TOKEN a,b"), "TOKEN a,b");
    }

    #[test]
    fn the_word_that_is_no_coordinate_is_named() {
        for (line, word) in [("P -5 10", "\"-5\""), ("P 5 nan", "\"nan\""), ("B 1 2 x 4", "\"x\"")] {
            let told = mistake(line, parse(line).unwrap_err());
            assert!(told.starts_with(word) && told.contains("counted from 0; type "), "{told}");
        }
        assert!(mistake("GO away", parse("GO away").unwrap_err()).starts_with("a number is wrong; type GO"));
    }
}
