//! Changing the speed of a serial line, and going back if that fails.

use std::io;
use std::time::{Duration, Instant};

use cutout_protocol::message::{Configure, Done, Ping, Pong};
use cutout_protocol::timing::answer_timeout_ms;
use cutout_protocol::{Key, Message, wire_size};

use super::ask::Question;
use super::link::Event;
use super::{AT_ONCE_MS, Client, ClientError, heapless_bytes};

/// How long both sides try a new speed before they go back.
const TRIAL: Duration = Duration::from_secs(2);

impl Client {
    /// Changes the speed of the line, on both sides. If packets do not get through at the new one, both go back.
    ///
    /// # Errors
    /// If this is no serial line, the service refuses, or the line does not carry that speed; the old one holds then.
    pub fn set_baud(&mut self, baud: u32) -> Result<(), ClientError> {
        let kept = self.link.baud();
        if kept == 0 {
            return Err(self.lost(io::Error::new(io::ErrorKind::Unsupported, "only serial lines have a speed")));
        }
        let message = Message::Configure(Configure { key: Key::Baud, value: baud });
        let question = Question { message: &message, answer_bytes: wire_size(Done::MAX_SIZE), work_ms: AT_ONCE_MS };
        let request = self.number();
        let answered =
            self.attempt(request, 0, &question, &mut |answer| matches!(answer, Message::Done(_)).then_some(()));
        match answered {
            // Without an answer it may have been done all the same, so that the new speed has to be tried.
            Ok(()) | Err(ClientError::NoAnswer { .. }) => {}
            Err(error) => return Err(error),
        }
        // The last try is for a service that heard a Ping at the new speed, and whose Pong was lost.
        for speed in [baud, kept, baud] {
            match self.link.set_baud(speed) {
                Ok(()) => {}
                // The port here cannot do it; the service goes back by itself.
                Err(error) if error.kind() == io::ErrorKind::Unsupported => continue,
                Err(error) => return Err(self.lost(error)),
            }
            let trial = if speed == kept { TRIAL + TRIAL } else { TRIAL };
            if self.answers_within(trial)? {
                self.baud = Some(speed);
                return if speed == baud { Ok(()) } else { Err(ClientError::Baud { wanted: baud, kept }) };
            }
        }
        self.link.set_baud(kept).map_err(|e| self.lost(e))?;
        Err(ClientError::Baud { wanted: baud, kept })
    }

    /// Pings until it is answered.
    fn answers_within(&mut self, trial: Duration) -> Result<bool, ClientError> {
        let end = Instant::now() + trial;
        while Instant::now() < end {
            let request = self.number();
            let ping = Message::Ping(Ping { data: heapless_bytes(b"baud") });
            let sent = self.link.send(request, 0, &ping).map_err(|e| self.lost(e))?;
            let patience = answer_timeout_ms(sent, wire_size(Pong::MAX_SIZE), self.link.baud(), 0);
            let deadline = (Instant::now() + Duration::from_millis(patience.into())).min(end);
            loop {
                match self.link.next(deadline).map_err(|e| self.lost(e))? {
                    Event::Quiet => break,
                    Event::Message => {
                        let message = self.link.message();
                        if message.is_some_and(|(header, m)| header.request == request && matches!(m, Message::Pong(_)))
                        {
                            return Ok(true);
                        }
                    }
                    // Bytes at another speed may look like anything.
                    Event::Damaged(_) | Event::Foreign(..) => {}
                }
            }
        }
        Ok(false)
    }
}
