//! Who a client is, and whether it may ask.

use cutout_protocol::message::{self, Caps, Hello};
use cutout_protocol::{ErrorCode, Features, Header, MAX_PAYLOAD, SCHEMA_HASH, is_known_schema};
use subtle::ConstantTimeEq;

use super::{Action, GUESSES, Known, Session, uploads};
use crate::service::metrics::Answer;

impl Session {
    /// Whether a token is the right one, however long the comparison would take otherwise.
    pub(super) fn is_right(&self, token: &[u8]) -> bool {
        self.shared.token.as_deref().is_some_and(|right| bool::from(right.ct_eq(token)))
    }

    pub(super) fn hello(&mut self, header: Header, hello: &Hello) {
        if hello.schema != 0 && !is_known_schema(hello.schema) {
            let text =
                format!("your messages are laid out otherwise: schema {:08x}, here {SCHEMA_HASH:08x}", hello.schema);
            return self.version(header, &text);
        }
        if !(64..=MAX_PAYLOAD as u16).contains(&hello.max_payload) {
            return self.error(header, ErrorCode::Malformed, "`max_payload` is to be from 64 to 1024");
        }
        if !self.trusted {
            if !self.is_right(&hello.token) {
                self.guesses += 1;
                self.error(header, ErrorCode::Unauthorized, "that is not the service's token");
                if self.guesses >= GUESSES {
                    self.actions.push(Action::Close("it does not know the token".into()));
                }
                return;
            }
            self.trusted = true;
        }
        // A board that has started anew knows nothing of what it asked for.
        self.shared.hub.leave(self.client);
        self.requests.clear();
        self.lines.stop_waiting();
        self.upload = None;
        self.status_every = None;
        let memory = self.shared.memory_of(hello.client);
        self.known = Some(Known { id: hello.client, memory, max_payload: hello.max_payload });
        self.out.begin(hello.max_payload, hello.window);
        let caps = self.caps();
        self.count(Answer::Other);
        self.out.message(header.request, &caps.into());
    }

    fn caps(&self) -> Caps {
        let facts = &self.shared.facts;
        let mut features = Features::UPLOAD | Features::TRACK | Features::ZOOM | Features::PICTURE;
        if facts.has_source {
            features = features | Features::SOURCE;
        }
        if self.baud.is_some() {
            features = features | Features::BAUD;
        }
        Caps {
            schema: SCHEMA_HASH,
            service: message::text(&format!("cutout {}", env!("CARGO_PKG_VERSION"))),
            model: message::text(&facts.model),
            sha256: facts.sha256,
            precision: facts.precision,
            input_width: facts.input.0,
            input_height: facts.input.1,
            max_payload: MAX_PAYLOAD as u16,
            window: uploads::WINDOW,
            max_upload: facts.max_upload,
            max_points: message::MAX_POINTS as u8,
            ring: facts.ring,
            features,
            newest: self.shared.hub.state().newest,
        }
    }
}
