//! The engine's thread: encodes frames and answers prompts, one after the other, on all cores that the model has.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cutout_runtime::{
    ErrorKind, ImageEmbedding, PredictOptions, Prediction, Predictor, Prompt, ScoredMask, Size, StageTimings, Tracked,
    Tracker, Zoom,
};

use super::frames::KeptFrame;
use super::hub::{Hub, Task};
use super::metrics::Stage;
use super::readiness::Pulse;
use super::shown::Shown;
use super::work::{Answered, Ask, Choice, Followed, Job, Outcome, Refusal};
use crate::source::Raster;

/// Longest time that one piece of work may take before the engine is taken for dead: SAM's largest encoder on a small board.
const SILENCE: Duration = Duration::from_secs(300);

/// Where answers are shown, besides being sent.
pub(crate) type Show = Box<dyn Fn(Shown) + Send>;

/// Owns the predictor.
pub(crate) struct Engine {
    hub: Arc<Hub>,
    predictor: Predictor,
    show: Option<Show>,
}

impl Engine {
    pub(crate) fn new(hub: Arc<Hub>, predictor: Predictor, show: Option<Show>) -> Self {
        Engine { hub, predictor, show }
    }

    /// Builds the networks for frames of this size and learns how long they take here.
    ///
    /// # Errors
    /// If the model cannot be run.
    pub(crate) fn warm_up(&mut self, size: Size) -> cutout_runtime::Result<()> {
        let grey = vec![128; size.width * size.height * 3];
        let view = cutout_runtime::ImageView::rgb8(&grey, size)?;
        let prompt = Prompt::new().with_point(size.width as f32 / 2.0, size.height as f32 / 2.0, true);
        // The first run touches memory for the first time and is no measure.
        for round in 0..3 {
            self.predictor.set_image(&view)?;
            let encoded = self.predictor.image_timings().total();
            let mut decoded = Duration::ZERO;
            for _ in 0..2 {
                decoded = self.predictor.predict(&prompt, &PredictOptions { multimask: true })?.timings.total();
            }
            if round > 0 {
                let mut state = self.hub.lock();
                state.estimates.encoded(encoded);
                state.estimates.decoded(decoded);
            }
        }
        self.predictor.take_embedding();
        Ok(())
    }

    /// Works until the service stops.
    pub(crate) fn run(mut self, pulse: &Pulse) {
        loop {
            pulse.rest();
            let Some(task) = self.hub.next() else { return };
            pulse.beat(SILENCE);
            match task {
                Task::Job(job, frame) => self.job(job, &frame),
                Task::Encode(frame) => {
                    if let Err(refusal) = self.encode(&frame) {
                        tracing::warn!(frame = frame.id, "a frame cannot be encoded: {}", refusal.words());
                    }
                }
            }
        }
    }

    /// Counts where the time went.
    fn count(&self, timings: &StageTimings) {
        let stages = &self.hub.metrics.stages;
        let all = [
            (Stage::Preprocess, timings.preprocess),
            (Stage::Encode, timings.encode),
            (Stage::Decode, timings.decode),
            (Stage::Postprocess, timings.postprocess),
        ];
        all.into_iter().filter(|(_, time)| !time.is_zero()).for_each(|(stage, time)| stages[stage].observe(time));
    }

    fn job(&mut self, job: Job, frame: &Arc<KeptFrame>) {
        let waited = job.arrived.elapsed();
        match &job.ask {
            Ask::Follow => self.follow(&job, frame, waited),
            Ask::Encode => {
                let outcome = self.encode(frame).map(|timings| answered(frame, None, waited, timings));
                (job.reply)(outcome);
            }
            Ask::Mask { prompt, choice, zoom } => {
                let asked = |_: &ImageEmbedding| (prompt.clone(), *choice, *zoom);
                let outcome = self.mask(frame, waited, asked, |_, _| {});
                self.told(&outcome, prompt, None);
                (job.reply)(outcome);
            }
        }
    }

    fn follow(&mut self, job: &Job, frame: &Arc<KeptFrame>, waited: Duration) {
        let Some(tracker) = self.hub.lock().tracks.take(job.serial) else { return };
        let tracker = RefCell::new(tracker);
        let state = Cell::new(Tracked::Lost);
        let asked = |embedding: &ImageEmbedding| (tracker.borrow_mut().prompt(embedding), Choice::Auto, false);
        let judge =
            |mask: &ScoredMask, embedding: &ImageEmbedding| state.set(tracker.borrow_mut().update(mask, embedding));
        let outcome = self.mask(frame, waited, asked, judge);
        let (tracker, state) = (tracker.into_inner(), state.get());
        // A frame of the source that is damaged: the next one may be good.
        if matches!(outcome, Err(Refusal::BadImage(_))) {
            return self.hub.lock().tracks.skip(job.serial, Some(tracker));
        }
        self.told(&outcome, &Prompt::new(), Some((&tracker, state)));
        let told = self.hub.lock().tracks.put(job.serial, tracker, frame.id);
        if let Some((reply, sequence)) = told {
            reply(Followed { outcome, lost: state == Tracked::Lost, sequence });
        }
        self.hub.follow_on();
    }

    /// Shows an answer.
    fn told(&self, outcome: &Outcome, prompt: &Prompt, track: Option<(&Tracker, Tracked)>) {
        let (Some(show), Ok(answer)) = (&self.show, outcome) else { return };
        if let Some(mask) = &answer.mask {
            let took = answer.waited + answer.timings.total();
            let track = track.and_then(|(tracker, state)| Some((state, tracker.bbox()?, tracker.centre()?)));
            show(Shown { frame: answer.frame.clone(), mask: mask.clone(), prompt: prompt.clone(), took, track });
        }
    }

    /// Answers what `asked` says of a frame when it sees its embedding. `judge` sees the mask that is taken, too.
    fn mask(
        &mut self,
        frame: &Arc<KeptFrame>,
        waited: Duration,
        asked: impl FnOnce(&ImageEmbedding) -> (Prompt, Choice, bool),
        judge: impl FnOnce(&ScoredMask, &ImageEmbedding),
    ) -> Outcome {
        let encoding = self.encode(frame)?;
        let raster = frame.raster().map_err(Refusal::BadImage)?;
        let embedding = frame.take_embedding().ok_or_else(lost)?;
        let predictor = &mut self.predictor;
        let answer = predictor.set_embedding(embedding).map_err(refusal).and_then(|()| {
            let (prompt, choice, zoom) = asked(predictor.embedding().ok_or_else(lost)?);
            let answer = predict(predictor, &raster, &prompt, choice, zoom)?;
            let (zoomed, timings) = (answer.zoomed.is_some(), answer.timings);
            let mask = best(answer).ok_or_else(lost)?;
            judge(&mask, predictor.embedding().ok_or_else(lost)?);
            Ok((mask, zoomed, timings))
        });
        if let Some(embedding) = self.predictor.take_embedding() {
            frame.put_embedding(embedding);
        }
        let (mask, zoomed, mut timings) = answer?;
        if !zoomed {
            self.hub.lock().estimates.decoded(timings.total());
        }
        self.count(&timings);
        timings += encoding;
        let mut answered = answered(frame, Some(Arc::new(mask)), waited, timings);
        (answered.encoded, answered.zoomed) = (encoding != StageTimings::default(), zoomed);
        Ok(answered)
    }

    /// Encodes a frame unless it is encoded already; says how long that took.
    fn encode(&mut self, frame: &Arc<KeptFrame>) -> Result<StageTimings, Refusal> {
        if frame.is_encoded() {
            return Ok(StageTimings::default());
        }
        let start = Instant::now();
        let raster = frame.raster().map_err(Refusal::BadImage)?;
        let developed = start.elapsed();
        self.predictor.set_image(&raster.view()).map_err(refusal)?;
        let mut timings = self.predictor.image_timings();
        timings.preprocess += developed;
        if let Some(mut embedding) = self.predictor.take_embedding() {
            embedding.frame_id = Some(u64::from(frame.id));
            frame.put_embedding(embedding);
        }
        self.hub.encoded(frame, timings.total());
        // Networks for a new size of frames are built at its first frame: no measure for the next, but time that was spent.
        timings.encode += start.elapsed().saturating_sub(timings.total());
        self.hub.metrics.encoded.inc();
        self.count(&timings);
        Ok(timings)
    }
}

fn answered(
    frame: &Arc<KeptFrame>,
    mask: Option<Arc<ScoredMask>>,
    waited: Duration,
    timings: StageTimings,
) -> Answered {
    let encoded = timings.encode > Duration::ZERO;
    Answered { frame: frame.clone(), mask, waited, timings, encoded, zoomed: false, age: frame.age() }
}

fn predict(
    predictor: &mut Predictor,
    raster: &Raster,
    prompt: &Prompt,
    choice: Choice,
    zoom: bool,
) -> Result<Prediction, Refusal> {
    let alone = prompt.points.len() == 1 && prompt.bbox.is_none() && prompt.mask.is_none();
    let multimask = match choice {
        Choice::Auto => alone,
        Choice::BestOfThree => true,
        Choice::One => false,
    };
    let options = PredictOptions { multimask };
    match zoom {
        false => predictor.predict(prompt, &options),
        true => predictor.predict_zoomed(&raster.view(), prompt, &options, &Zoom::default()),
    }
    .map_err(refusal)
}

/// What cannot be, unless a fault of ours lost it.
fn lost() -> Refusal {
    Refusal::Internal("a frame's embedding or its mask is gone".into())
}

fn best(answer: Prediction) -> Option<ScoredMask> {
    answer.masks.into_iter().reduce(|best, mask| if mask.predicted_iou > best.predicted_iou { mask } else { best })
}

fn refusal(error: cutout_runtime::Error) -> Refusal {
    match error.kind() {
        ErrorKind::InvalidPrompt => Refusal::BadPrompt(error.to_string()),
        ErrorKind::InvalidImage => Refusal::BadImage(error.to_string()),
        _ => Refusal::Internal(error.to_string()),
    }
}
