//! The service as the camera that MAVLink's ground stations see.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cutout_runtime::{BBox, Prompt, Size};

use super::Shared;
use super::frames::KeptFrame;
use super::metrics::{Answer, Via};
use super::work::{Client, Followed, FrameChoice, Refusal, Serial, TrackAsk};
use crate::mavlink::{self, Target, Tracked, Traffic};

/// Frames of the source only.
const NOBODY: u64 = 0;

/// Where the object is, in shares of the frame's sides.
#[derive(Clone, Copy)]
enum Seen {
    Nothing,
    Object { centre: (f32, f32), rectangle: [f32; 4], taken: Instant },
    Lost,
}

/// One camera component.
pub(crate) struct Camera {
    shared: Arc<Shared>,
    client: Client,
    /// Which track, and what is known of it.
    seen: Arc<Mutex<(Serial, Seen)>>,
}

impl Camera {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let client = shared.next_client();
        Camera { shared, client, seen: Arc::new(Mutex::new((0, Seen::Nothing))) }
    }

    fn latest(&self) -> Result<(Arc<KeptFrame>, Size), mavlink::Refusal> {
        let frame = self.shared.hub.frame(&FrameChoice::Latest, NOBODY).map_err(refusal)?;
        let size = match frame.size() {
            Some(size) => size,
            None => frame.raster().map_err(|_| mavlink::Refusal::NoFrame)?.size(),
        };
        Ok((frame, size))
    }
}

fn refusal(refusal: Refusal) -> mavlink::Refusal {
    match refusal {
        Refusal::NoFrame(_) | Refusal::Stale { .. } | Refusal::BadImage(_) => mavlink::Refusal::NoFrame,
        Refusal::Busy(_) | Refusal::Deadline { .. } | Refusal::Cancelled => mavlink::Refusal::Busy,
        Refusal::BadPrompt(_) | Refusal::Internal(_) => mavlink::Refusal::Failed,
    }
}

/// A target, in pixels of a frame of this size.
fn prompt(target: Target, size: Size) -> Prompt {
    let (width, height) = (size.width as f32, size.height as f32);
    match target {
        Target::Point { x, y, .. } => Prompt::new().with_point(x * width, y * height, true),
        Target::Rectangle { x0, y0, x1, y1 } => {
            Prompt::new().with_box(BBox::new(x0 * width, y0 * height, x1 * width, y1 * height))
        }
    }
}

/// Where an answer says that the object is.
fn seen(followed: &Followed) -> Seen {
    let Ok(answered) = &followed.outcome else { return Seen::Lost };
    let Some(mask) = answered.mask.as_ref().filter(|_| !followed.lost) else { return Seen::Lost };
    let (Some((x, y, w, h)), Some(centre)) = (mask.mask.bbox(), mask.mask.centroid()) else { return Seen::Lost };
    let size = mask.mask.size();
    let (width, height) = (size.width as f32, size.height as f32);
    let rectangle = [x as f32 / width, y as f32 / height, (x + w) as f32 / width, (y + h) as f32 / height];
    Seen::Object { centre: (centre.x / width, centre.y / height), rectangle, taken: answered.frame.taken }
}

impl mavlink::Camera for Camera {
    fn frame_size(&self) -> Option<(u16, u16)> {
        let (_, size) = self.latest().ok()?;
        Some((u16::try_from(size.width).ok()?, u16::try_from(size.height).ok()?))
    }

    fn track(&self, what: Target) -> Result<(), mavlink::Refusal> {
        let (frame, size) = self.latest()?;
        let serial = self.shared.hub.serial();
        let untaken = Arc::new(AtomicBool::new(false));
        let (kept, taken, shared) = (self.seen.clone(), untaken.clone(), self.shared.clone());
        let reply = Arc::new(move |followed: Followed| {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            // A track that was replaced may have one more answer.
            if kept.0 == serial {
                kept.1 = seen(&followed);
                shared.metrics.answered[Answer::Track].inc();
            }
            taken.store(false, Ordering::Release);
        });
        let ask = TrackAsk {
            serial,
            client: self.client,
            owner: NOBODY,
            // It may be pushed out of those that are kept before it is looked at.
            frame: FrameChoice::This(frame),
            prompt: prompt(what, size),
            interval: Duration::ZERO,
            deadline: None,
            reply,
            untaken,
        };
        let before = {
            let mut kept = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let before = *kept;
            *kept = (serial, Seen::Nothing);
            before
        };
        match self.shared.hub.track(ask) {
            Ok(()) => {
                self.shared.hub.cancel(before.0);
                Ok(())
            }
            Err(why) => {
                *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = before;
                Err(refusal(why))
            }
        }
    }

    fn stop(&self) {
        let before =
            std::mem::replace(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner), (0, Seen::Nothing));
        self.shared.hub.cancel(before.0);
    }

    fn tracked(&self) -> Tracked {
        match self.seen.lock().unwrap_or_else(PoisonError::into_inner).1 {
            Seen::Nothing => Tracked::Idle,
            Seen::Lost => Tracked::Lost,
            Seen::Object { centre, rectangle, taken } => Tracked::Active { centre, rectangle, age: taken.elapsed() },
        }
    }

    fn traffic(&self, traffic: Traffic) {
        let metrics = &self.shared.metrics;
        metrics.received_bytes[Via::Mavlink].add(traffic.received_bytes);
        metrics.sent_bytes[Via::Mavlink].add(traffic.sent_bytes);
        metrics.bad_packets[Via::Mavlink].add(traffic.bad_packets);
        metrics.clients[Via::Mavlink].set(traffic.peers as i64);
    }
}
