//! The displays' thread: shows the newest answer on the frame that it is about.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use cutout_runtime::Point;

use super::shown::{Latest, Shown};
use crate::display::{Object, Scene, Screen, Track};
use crate::overlay::{FrameAge, Status};

/// Places of a track that are drawn behind it.
const TRAIL: usize = 32;

/// Displays that run.
pub(crate) struct Displays {
    latest: Arc<Latest<Shown>>,
    thread: JoinHandle<()>,
}

impl Displays {
    pub(crate) fn start(screens: Vec<Box<dyn Screen>>, model: &str) -> std::io::Result<Self> {
        let latest = Arc::new(Latest::default());
        let (shown, model) = (latest.clone(), model.to_owned());
        let thread = thread::Builder::new().name("displays".into()).spawn(move || run(screens, &shown, &model))?;
        Ok(Displays { latest, thread })
    }

    /// Where answers are put to be shown.
    pub(crate) fn door(&self) -> impl Fn(Shown) + Send + use<> {
        let latest = self.latest.clone();
        move |shown| latest.put(shown)
    }

    pub(crate) fn stop(self) {
        self.latest.close();
        let _ = self.thread.join();
    }
}

fn run(mut screens: Vec<Box<dyn Screen>>, latest: &Latest<Shown>, model: &str) {
    let name = model.split('@').next().unwrap_or(model);
    let mut trail: VecDeque<Point> = VecDeque::new();
    let mut failed = vec![false; screens.len()];
    for screen in &screens {
        tracing::info!("answers are shown on {}", screen.describe());
    }
    while let Some(shown) = latest.take() {
        let Ok(raster) = shown.frame.raster() else { continue };
        let track = shown.track.map(|(state, bbox, centre)| {
            trail.push_back(centre);
            (state, bbox)
        });
        if track.is_none() {
            trail.clear();
        }
        while trail.len() > TRAIL {
            trail.pop_front();
        }
        let trail = trail.make_contiguous();
        let track = track.map(|(state, bbox)| Track { state, bbox, trail });
        let objects = [Object { mask: Some(&shown.mask.mask), colour: 0, track }];
        let status = Status {
            predicted_iou: Some(shown.mask.predicted_iou),
            frame: Some(FrameAge { id: shown.frame.id, age_ms: shown.frame.age().as_millis() as u32 }),
            ..Status::new(name, shown.took.as_secs_f32() * 1e3)
        };
        let prompt = track.is_none().then_some(&shown.prompt);
        let scene = Scene { objects: &objects, prompt, status: Some(status), ..Scene::of(raster.view()) };
        for (screen, failed) in screens.iter_mut().zip(&mut failed) {
            match screen.show(&scene) {
                Ok(()) => *failed = false,
                Err(fault) if !*failed => {
                    tracing::error!("{fault}");
                    *failed = true;
                }
                Err(_) => {}
            }
        }
    }
}
