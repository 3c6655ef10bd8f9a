//! Pictures that a client sends, in pieces.

use cutout_protocol::message::{self, UploadBegin, UploadChunk};
use cutout_protocol::{ErrorCode, Header};

use super::uploads::{Piece, Upload};
use super::{Session, is_retry};
use crate::service::convert;
use crate::service::metrics::Answer;

impl Session {
    pub(super) fn upload_begin(&mut self, header: Header, begin: UploadBegin) {
        let most = self.shared.facts.max_upload;
        if begin.bytes > most {
            let text = format!("{} bytes are too many, at most {most} are taken (--max-upload)", begin.bytes);
            let error = message::Error { detail: most, ..message::Error::new(ErrorCode::TooLarge, header.kind, &text) };
            return self.send_error(header.request, error);
        }
        if begin.bytes == 0 {
            return self.error(header, ErrorCode::Malformed, "a picture has some bytes");
        }
        // It may be complete, and the client not know.
        let known = self.requests.recent(header.request, Some(begin.crc)).filter(|_| is_retry(header)).cloned();
        if let Some(state) = known {
            return self.out.message(header.request, &state);
        }
        // Announced before: the client asks where to go on.
        let known = |upload: &Upload| is_retry(header) && upload.request() == header.request && upload.is(&begin);
        let going_on = self.upload.take().filter(known);
        let mut upload = going_on.unwrap_or_else(|| Upload::new(header.request, begin));
        self.out.message(header.request, &upload.state().into());
        self.upload = Some(upload);
    }

    pub(super) fn upload_chunk(&mut self, header: Header, chunk: UploadChunk<'_>) {
        let request = header.request;
        let Some(upload) = self.upload.as_mut().filter(|upload| upload.request() == request) else {
            // It may be complete, and the client not know.
            let state = self.requests.recent(request, None).cloned();
            return match state {
                Some(state) => self.out.message(request, &state),
                None => self.error(header, ErrorCode::Malformed, "there is no such upload: begin it (again)"),
            };
        };
        match upload.piece(chunk.offset, chunk.data) {
            Piece::Taken => {}
            Piece::Tell(state) => self.out.message(request, &state.into()),
            Piece::Whole(begin, bytes) => {
                self.upload = None;
                let received = bytes.len() as u32;
                match convert::upload(&begin, bytes) {
                    Ok(pixels) => {
                        let frame = self.shared.hub.upload(pixels, self.owner()).id;
                        let state = message::UploadState { received, frame };
                        self.count(Answer::Upload);
                        self.requests.answered(request, begin.crc, state.into());
                        self.out.message(request, &state.into());
                    }
                    Err((code, why)) => self.error(header, code, &why),
                }
            }
            Piece::Damaged => {
                self.error(header, ErrorCode::BadCrc, "the picture came damaged: send it again from the start");
            }
        }
    }
}
