//! [`Upload`]: a picture that a client sends in pieces.

use cutout_protocol::message::{UploadBegin, UploadState};

/// Pieces that the client may have on the way.
pub(super) const WINDOW: u16 = 16;

/// A picture on its way.
pub(super) struct Upload {
    request: u32,
    begin: UploadBegin,
    bytes: Vec<u8>,
    /// Pieces since the client was last told how far we are.
    untold: u16,
}

/// What became of a piece.
pub(super) enum Piece {
    /// Taken; the client need not be told yet.
    Taken,
    /// The client is to be told how far we are.
    Tell(UploadState),
    /// That was the last one.
    Whole(UploadBegin, Vec<u8>),
    /// All bytes came, but they are not those that were announced: it begins anew.
    Damaged,
}

impl Upload {
    /// Waits for the pieces of a picture. Memory is taken as they come, whatever length was announced.
    pub(super) fn new(request: u32, begin: UploadBegin) -> Self {
        Upload { request, begin, bytes: Vec::new(), untold: 0 }
    }

    pub(super) fn request(&self) -> u32 {
        self.request
    }

    /// Whether this is the upload that `begin` announces.
    pub(super) fn is(&self, begin: &UploadBegin) -> bool {
        self.begin == *begin
    }

    pub(super) fn state(&mut self) -> UploadState {
        self.untold = 0;
        UploadState { received: self.bytes.len() as u32, frame: 0 }
    }

    /// Takes a piece. One that does not follow what came so far is dropped, and the client told where to go on.
    pub(super) fn piece(&mut self, offset: u32, data: &[u8]) -> Piece {
        let total = self.begin.bytes as usize;
        let here = self.bytes.len();
        let fresh =
            (here as u64).checked_sub(u64::from(offset)).and_then(|known| data.get(usize::try_from(known).ok()?..));
        let fits = fresh.is_some_and(|fresh| fresh.len() <= total - here);
        match fresh {
            Some(fresh) if fits && !fresh.is_empty() => self.bytes.extend_from_slice(fresh),
            _ => return Piece::Tell(self.state()),
        }
        if self.bytes.len() == total {
            let bytes = std::mem::take(&mut self.bytes);
            return match crc32fast::hash(&bytes) == self.begin.crc {
                true => Piece::Whole(self.begin, bytes),
                false => Piece::Damaged,
            };
        }
        self.untold += 1;
        match self.untold >= WINDOW / 2 {
            true => Piece::Tell(self.state()),
            false => Piece::Taken,
        }
    }
}
