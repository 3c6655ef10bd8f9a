//! The frames that prompts may be about: those of the source, and those that clients have sent.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cutout_runtime::{ImageEmbedding, Size};

use crate::source::{Pixels, Raster};

/// Bytes that the frames of all clients may take together; the newest is kept in any case.
const UPLOADS: usize = 128 << 20;
/// What an embedding takes, about: features of 512 by 512 model pixels.
const EMBEDDING: usize = 4 << 20;

/// A frame that is kept, with its embedding once it has one.
pub(crate) struct KeptFrame {
    /// From 1 on, in the order in which frames came.
    pub(crate) id: u32,
    pub(crate) taken: Instant,
    /// The client that sent it; `None` for a frame of the source.
    pub(crate) owner: Option<u64>,
    picture: Mutex<Picture>,
    embedding: Mutex<Option<ImageEmbedding>>,
    encoded: AtomicBool,
}

/// Decompressed when it is first looked at: most frames of a camera never are.
enum Picture {
    AsItCame(Pixels),
    Raster(Arc<Raster>),
    Damaged(String),
}

impl KeptFrame {
    fn new(id: u32, pixels: Pixels, taken: Instant, owner: Option<u64>) -> Self {
        let picture = match pixels {
            Pixels::Raw(raster) => Picture::Raster(Arc::new(raster)),
            compressed => Picture::AsItCame(compressed),
        };
        KeptFrame {
            id,
            taken,
            owner,
            picture: Mutex::new(picture),
            embedding: Mutex::default(),
            encoded: AtomicBool::new(false),
        }
    }

    /// The pixels.
    ///
    /// # Errors
    /// In words, if they cannot be decompressed; the same ones each time.
    pub(crate) fn raster(&self) -> Result<Arc<Raster>, String> {
        let mut picture = self.picture.lock().unwrap_or_else(PoisonError::into_inner);
        if let Picture::AsItCame(_) = &*picture {
            let Picture::AsItCame(pixels) = std::mem::replace(&mut *picture, Picture::Damaged(String::new())) else {
                return Err(String::new());
            };
            *picture = match pixels.develop() {
                Ok(raster) => Picture::Raster(Arc::new(raster)),
                Err(fault) => Picture::Damaged(fault.to_string()),
            };
        }
        match &*picture {
            Picture::Raster(raster) => Ok(raster.clone()),
            Picture::Damaged(fault) => Err(fault.clone()),
            Picture::AsItCame(_) => Err("the picture cannot be used".into()),
        }
    }

    /// Width and height, where they are known without decompressing.
    pub(crate) fn size(&self) -> Option<Size> {
        match &*self.picture.lock().unwrap_or_else(PoisonError::into_inner) {
            Picture::Raster(raster) => Some(raster.size()),
            _ => None,
        }
    }

    /// Memory that it takes, about, once it is encoded.
    fn bytes(&self) -> usize {
        let picture = match &*self.picture.lock().unwrap_or_else(PoisonError::into_inner) {
            Picture::Raster(raster) => raster.bytes().len(),
            Picture::AsItCame(Pixels::Compressed(bytes)) => bytes.len(),
            Picture::AsItCame(Pixels::Raw(raster)) => raster.bytes().len(),
            Picture::Damaged(_) => 0,
        };
        picture + EMBEDDING
    }

    /// Whether prompts find it encoded.
    pub(crate) fn is_encoded(&self) -> bool {
        self.encoded.load(Ordering::Acquire)
    }

    /// Takes the embedding out, for the engine to work on.
    pub(crate) fn take_embedding(&self) -> Option<ImageEmbedding> {
        self.embedding.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Puts the embedding (back).
    pub(crate) fn put_embedding(&self, embedding: ImageEmbedding) {
        *self.embedding.lock().unwrap_or_else(PoisonError::into_inner) = Some(embedding);
        self.encoded.store(true, Ordering::Release);
    }

    /// For tests without a model.
    #[cfg(test)]
    pub(crate) fn pretend_encoded(&self) {
        self.encoded.store(true, Ordering::Release);
    }

    /// Time since it was taken.
    pub(crate) fn age(&self) -> Duration {
        self.taken.elapsed()
    }
}

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep {
    /// Frames of the source that were encoded.
    pub(crate) encoded: usize,
    /// The newest frames of the source, encoded or not.
    pub(crate) recent: usize,
    /// Frames of one client.
    pub(crate) uploads: usize,
}

/// All frames that are kept.
pub(crate) struct Frames {
    keep: Keep,
    last_id: u32,
    recent: VecDeque<Arc<KeptFrame>>,
    encoded: VecDeque<Arc<KeptFrame>>,
    uploads: VecDeque<Arc<KeptFrame>>,
}

impl Frames {
    pub(crate) fn new(keep: Keep) -> Self {
        Frames { keep, last_id: 0, recent: VecDeque::new(), encoded: VecDeque::new(), uploads: VecDeque::new() }
    }

    fn next_id(&mut self) -> u32 {
        // At 30 frames a second that is after four and a half years; 0 names no frame.
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }

    /// A frame of the source that is not shown to anybody yet.
    pub(crate) fn number(&mut self, pixels: Pixels, taken: Instant) -> Arc<KeptFrame> {
        Arc::new(KeptFrame::new(self.next_id(), pixels, taken, None))
    }

    /// The newest frame of the source.
    pub(crate) fn show(&mut self, frame: Arc<KeptFrame>) {
        if frame.is_encoded() {
            self.keep_encoded(&frame);
        }
        self.recent.push_back(frame);
        while self.recent.len() > self.keep.recent.max(1) {
            self.recent.pop_front();
        }
    }

    /// Keeps a frame of the source for longer, because it is encoded now.
    pub(crate) fn keep_encoded(&mut self, frame: &Arc<KeptFrame>) {
        if frame.owner.is_some() || self.encoded.iter().any(|kept| kept.id == frame.id) {
            return;
        }
        self.encoded.push_back(frame.clone());
        while self.encoded.len() > self.keep.encoded.max(1) {
            self.encoded.pop_front();
        }
    }

    /// A frame that a client has sent. Its oldest goes, where it has too many.
    pub(crate) fn upload(&mut self, pixels: Pixels, owner: u64) -> Arc<KeptFrame> {
        let frame = Arc::new(KeptFrame::new(self.next_id(), pixels, Instant::now(), Some(owner)));
        let of_owner = |kept: &Arc<KeptFrame>| kept.owner == Some(owner);
        if self.uploads.iter().filter(|kept| of_owner(kept)).count() >= self.keep.uploads.max(1)
            && let Some(oldest) = self.uploads.iter().position(of_owner)
        {
            self.uploads.remove(oldest);
        }
        self.uploads.push_back(frame.clone());
        while self.uploads.len() > 1 && self.uploads.iter().map(|kept| kept.bytes()).sum::<usize>() > UPLOADS {
            self.uploads.pop_front();
        }
        frame
    }

    /// Forgets the frames of a client.
    pub(crate) fn forget(&mut self, owner: u64) {
        self.uploads.retain(|kept| kept.owner != Some(owner));
    }

    /// The frame of this number, if `owner` may see it.
    pub(crate) fn find(&self, id: u32, owner: u64) -> Option<Arc<KeptFrame>> {
        let uploads = self.uploads.iter().filter(|kept| kept.owner == Some(owner));
        self.recent.iter().rev().chain(self.encoded.iter().rev()).chain(uploads).find(|kept| kept.id == id).cloned()
    }

    /// Whether a number was given to a frame already.
    pub(crate) fn was_there(&self, id: u32) -> bool {
        (1..=self.last_id).contains(&id)
    }

    /// The newest frame of the source.
    pub(crate) fn newest(&self) -> Option<&Arc<KeptFrame>> {
        self.recent.back()
    }

    /// The newest frame that `owner` may see.
    pub(crate) fn latest(&self, owner: u64) -> Option<Arc<KeptFrame>> {
        let upload = self.uploads.iter().rev().find(|kept| kept.owner == Some(owner));
        self.recent.back().into_iter().chain(upload).max_by_key(|kept| kept.id).cloned()
    }

    /// The newest frame that `owner` may see and that is encoded.
    pub(crate) fn latest_encoded(&self, owner: u64) -> Option<u32> {
        let uploads = self.uploads.iter().filter(|kept| kept.owner == Some(owner));
        let all = self.recent.iter().chain(&self.encoded).chain(uploads);
        all.filter(|kept| kept.is_encoded()).map(|kept| kept.id).max()
    }

    /// Number of the oldest frame that is kept of the source; 0 if there is none.
    pub(crate) fn oldest(&self) -> u32 {
        self.recent.iter().chain(&self.encoded).map(|kept| kept.id).min().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cutout_runtime::PixelFormat;

    fn pixels() -> Pixels {
        Pixels::Raw(Raster::new(vec![0; 3], Size::new(1, 1), 3, PixelFormat::Rgb8).unwrap())
    }

    fn ids(frames: &Frames) -> (Vec<u32>, Vec<u32>) {
        let ids = |kept: &VecDeque<Arc<KeptFrame>>| kept.iter().map(|frame| frame.id).collect();
        (ids(&frames.recent), ids(&frames.encoded))
    }

    #[test]
    fn encoded_frames_outlive_the_newest() {
        let mut frames = Frames::new(Keep { encoded: 2, recent: 2, uploads: 1 });
        for number in 1..=6u32 {
            let frame = frames.number(pixels(), Instant::now());
            assert_eq!(frame.id, number);
            frames.show(frame.clone());
            if number % 2 == 1 {
                frame.encoded.store(true, Ordering::Release);
                frames.keep_encoded(&frame);
                frames.keep_encoded(&frame);
            }
        }
        assert_eq!(ids(&frames), (vec![5, 6], vec![3, 5]));
        assert_eq!((frames.oldest(), frames.latest(0).unwrap().id, frames.latest_encoded(0)), (3, 6, Some(5)));
        assert!(frames.find(4, 0).is_none() && frames.was_there(4) && !frames.was_there(7) && !frames.was_there(0));
        assert!(frames.find(3, 0).is_some());
    }

    #[test]
    fn uploads_belong_to_who_sent_them_and_push_out_no_others() {
        let mut frames = Frames::new(Keep { encoded: 2, recent: 2, uploads: 1 });
        let of_seven = frames.upload(pixels(), 7).id;
        for _ in 0..10 {
            frames.upload(pixels(), 8);
        }
        assert_eq!(frames.uploads.len(), 2);
        assert_eq!(frames.latest(7).unwrap().id, of_seven);
        assert!(frames.find(of_seven, 8).is_none() && frames.find(of_seven, 7).is_some());
        assert!(frames.latest(9).is_none());
        frames.forget(8);
        assert!(frames.latest(8).is_none() && frames.uploads.len() == 1);
        // However many clients there are, memory has an end.
        (100..300).for_each(|owner| drop(frames.upload(pixels(), owner)));
        assert_eq!(frames.uploads.len(), 31);
    }

    #[test]
    fn a_damaged_picture_says_so_each_time() {
        let frame = KeptFrame::new(1, Pixels::Compressed(b"no picture".to_vec()), Instant::now(), None);
        assert_eq!(frame.size(), None);
        let (first, second) = (frame.raster().err().unwrap(), frame.raster().err().unwrap());
        assert!(!first.is_empty());
        assert_eq!(first, second);
    }
}
