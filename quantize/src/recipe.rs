//! The whole way from a model in floats to one of bytes, which can be interrupted and taken up again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cutout_models::Bundle;
use cutout_runtime::engine::Operators;
use cutout_runtime::{InputShape, Model, ModelOptions, Predictor};
use serde::{Deserialize, Serialize};

use crate::agreement;
use crate::calibrate::{Calibration, Choice, Pass, Pictures, Progress, Watch};
use crate::calibrated::Calibrated;
use crate::encoder::{Bench, Sample};
use crate::int8::{Methods, Quantizer};
use crate::points::Points;
use crate::ranges::Method;
use crate::rewrites::{self, Factors, Rewrite};
use crate::search::{self, LayerError, Trials};
use crate::statistics::Statistics;
use crate::{Error, Result};

/// How often what was found is kept.
const KEEP_EVERY: Duration = Duration::from_secs(2);
/// The file in the folder of what was found so far.
const STATE: &str = "state.json";
/// Rounds that an encoder's time is the median of.
const ROUNDS: usize = 7;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How ranges are chosen: for all values alike, or `None` for what hurts least.
    pub method: Option<Method>,
    /// Pictures that changes are tried on.
    pub trials: usize,
    /// What runs the networks.
    pub operators: Operators,
    /// Threads to compute on; 0 for one per core.
    pub threads: usize,
    /// Folder for what was found so far.
    pub part: PathBuf,
}

/// What was found so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct State {
    /// What it belongs to.
    key: String,
    ranges: Progress,
    /// Whether the first pass is through.
    ranged: bool,
    factors: Option<Factors>,
    histograms: Option<Progress>,
    counted: bool,
    methods: Methods,
    sensitivity: Vec<LayerError>,
}

/// A calibration, and what is needed to go on from it.
pub struct Prepared {
    /// The network, rewritten, with its statistics.
    pub quantizer: Quantizer,
    /// How each value's range is chosen.
    pub methods: Methods,
    /// What may be kept of it for others.
    pub calibrated: Calibrated,
}

/// Pictures, and which of them are used.
#[derive(Clone, Copy)]
pub struct Chosen<'a> {
    /// All of them.
    pub pictures: &'a dyn Pictures,
    /// Those that are used.
    pub choice: &'a Choice,
}

/// The steps, with what they have in common.
pub struct Recipe<'a> {
    settings: &'a Settings,
    bench: Bench,
    bundle: &'a Bundle,
    points: Points,
    rewrites: Vec<Rewrite>,
    folded: Bundle,
    state: State,
    kept: Instant,
}

impl<'a> Recipe<'a> {
    /// # Errors
    /// [`Error::Graph`], [`Error::Bundle`] where the model's image encoder cannot be quantised.
    pub fn new(bundle: &'a Bundle, settings: &'a Settings) -> Result<Self> {
        let bench = Bench::new(InputShape::of_bundle(bundle), settings.operators, settings.threads)?;
        let mut folded = bundle.folded()?;
        let model = folded.image_encoder_onnx(folded.input_size())?;
        let points = Points::of(&model)?;
        rewrites::whole_levels(&mut folded, &points)?;
        let rewrites = rewrites::rewrites(&model, &points, &folded)?;
        let (state, kept) = (State::default(), Instant::now());
        Ok(Recipe { settings, bench, bundle, points, rewrites, folded, state, kept })
    }

    /// What runs the networks.
    pub fn bench(&self) -> &Bench {
        &self.bench
    }

    /// Prepares a model by pictures.
    ///
    /// # Errors
    /// [`Error::Calibration`] where pictures are no use, [`Error::Engine`] where the network fails, [`Error::Io`] where what was found cannot be
    /// kept.
    pub fn calibrate(&mut self, chosen: Chosen<'_>, watch: &mut dyn Watch) -> Result<Prepared> {
        self.take_up(chosen, watch)?;
        let ranges = self.pass(Pass::Ranges, chosen, &self.folded.clone(), watch)?;
        let mut quantizer = Quantizer { bundle: self.folded.clone(), points: self.points.clone(), statistics: ranges };
        if self.state.factors.is_none() {
            let trials = self.trials(chosen, &quantizer)?;
            let factors = trials.choose_rewrites(&quantizer, &self.rewrites, watch)?;
            self.state.factors = Some(factors);
            self.keep()?;
        }
        let factors = self.state.factors.clone().unwrap_or_default();
        search::apply(&mut quantizer, &self.rewrites, &factors)?;
        if self.state.histograms.is_none() {
            let statistics = search::without_histograms(quantizer.statistics.clone());
            self.state.histograms = Some(Progress { statistics, done: 0 });
        }
        quantizer.statistics = self.pass(Pass::Histograms, chosen, &quantizer.bundle.clone(), watch)?;
        let methods = match self.settings.method {
            Some(method) => quantizer.points.points.iter().map(|p| (p.value.clone(), method)).collect(),
            None => {
                let trials = self.trials(chosen, &quantizer)?;
                let known = std::mem::take(&mut self.state.methods);
                let mut keep = |methods: &Methods| {
                    self.state.methods.clone_from(methods);
                    self.keep_now_and_then()
                };
                let methods = trials.choose_methods(&quantizer, known, &mut keep, watch)?;
                self.keep()?;
                methods
            }
        };
        let calibrated = Calibrated {
            model: self.bundle.id(),
            factors,
            statistics: quantizer.statistics.clone(),
            methods: methods.clone(),
        };
        Ok(Prepared { quantizer, methods, calibrated })
    }

    /// Prepares a model by a calibration that is at hand.
    ///
    /// # Errors
    /// [`Error::Calibration`] where it was made for another model.
    pub fn from_calibrated(&self, calibrated: Calibrated) -> Result<Prepared> {
        if calibrated.model != self.bundle.id() {
            let what = format!(
                "the calibration was made for {}, this model is {}: calibrate it by pictures",
                calibrated.model,
                self.bundle.id()
            );
            return Err(Error::calibration(what));
        }
        let statistics = Statistics::default();
        let mut quantizer = Quantizer { bundle: self.folded.clone(), points: self.points.clone(), statistics };
        search::apply(&mut quantizer, &self.rewrites, &calibrated.factors)?;
        quantizer.statistics = calibrated.statistics.clone();
        let mut methods = calibrated.methods.clone();
        if let Some(method) = self.settings.method {
            methods = quantizer.points.points.iter().map(|p| (p.value.clone(), method)).collect();
        }
        Ok(Prepared { quantizer, methods, calibrated })
    }

    /// The error of each layer alone in bytes.
    ///
    /// # Errors
    /// As [`calibrate`](Self::calibrate).
    pub fn sensitivity(
        &mut self,
        prepared: &Prepared,
        chosen: Chosen<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Vec<LayerError>> {
        self.take_up(chosen, watch)?;
        let trials = self.trials(chosen, &prepared.quantizer)?;
        let known = std::mem::take(&mut self.state.sensitivity);
        let mut keep = |errors: &[LayerError]| {
            self.state.sensitivity = errors.to_vec();
            self.keep_now_and_then()
        };
        let errors = trials.sensitivity(&prepared.quantizer, &prepared.methods, known, &mut keep, watch)?;
        self.keep()?;
        Ok(errors)
    }

    /// The model of bytes, but for the layers (by node) that stay in floats.
    ///
    /// # Errors
    /// As [`Quantizer::encoder`] and [`Quantizer::quantized`].
    pub fn quantized(&self, prepared: &Prepared, floats: &BTreeSet<String>) -> Result<Bundle> {
        let changes = prepared.quantizer.encoder(&prepared.methods, floats)?;
        let mut notes: BTreeMap<String, String> = BTreeMap::new();
        notes.insert("from".into(), self.bundle.id());
        notes.insert("pictures".into(), prepared.quantizer.statistics.pictures.to_string());
        notes.insert("rewrites".into(), prepared.calibrated.factors.0.len().to_string());
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        prepared.methods.values().for_each(|m| *counts.entry(m.name()).or_default() += 1);
        let counts: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
        notes.insert("ranges".into(), counts.join(", "));
        if !floats.is_empty() {
            notes.insert("float layers".into(), floats.iter().cloned().collect::<Vec<_>>().join(" "));
        }
        prepared.quantizer.quantized(&changes, notes)
    }

    /// The fewest layers to keep in floats, the most harmful first, so that masks lose at most `loss` of their overlap with those in floats.
    ///
    /// # Errors
    /// As [`quantized`](Self::quantized); [`Error::Engine`] where models cannot be run.
    pub fn within_loss(
        &self,
        prepared: &Prepared,
        errors: &[LayerError],
        loss: f64,
        chosen: Chosen<'_>,
        watch: &mut dyn Watch,
    ) -> Result<BTreeSet<String>> {
        let Chosen { pictures, choice } = chosen;
        let numbers: Vec<usize> = choice.chosen.iter().take(2 * self.settings.trials).map(|c| c.0).collect();
        let asked = agreement::ask(&mut Predictor::new(self.model(self.bundle.clone())?), pictures, &numbers)?;
        watch.begin("layers that stay in floats", (errors.len() + 1).ilog2() as usize + 1);
        search::fewest(errors, |floats| {
            let model = self.model(self.quantized(prepared, floats)?)?;
            let found = agreement::compare(&asked, &mut Predictor::new(model), pictures)?;
            watch.advance(1);
            watch.note(&format!("{} layers in floats: masks agree to {:.4}", floats.len(), found.iou));
            Ok(1.0 - found.iou <= loss)
        })
    }

    /// The most layers to keep in floats, the most harmful first, so that an image is encoded within `ms` milliseconds here.
    ///
    /// # Errors
    /// As [`within_loss`](Self::within_loss).
    pub fn within_time(
        &self,
        prepared: &Prepared,
        errors: &[LayerError],
        ms: f64,
        watch: &mut dyn Watch,
    ) -> Result<BTreeSet<String>> {
        watch.begin("layers that stay in floats", (errors.len() + 1).ilog2() as usize + 1);
        let mut time = |floats: &BTreeSet<String>| -> Result<f64> {
            let model = self.model(self.quantized(prepared, floats)?)?;
            let layers = model.profile_encoder(self.bench.largest(), ROUNDS)?;
            let took: Duration = layers.iter().map(|l| l.time).sum();
            watch.advance(1);
            watch.note(&format!("{} layers in floats: {:.1} ms", floats.len(), took.as_secs_f64() * 1e3));
            Ok(took.as_secs_f64() * 1e3)
        };
        // The least harmful that are to be bytes, so that the others may be floats: the fewest bytes that are fast enough.
        let all: BTreeSet<String> = errors.iter().map(|e| e.layer.clone()).collect();
        let inverted: Vec<LayerError> =
            errors.iter().map(|e| LayerError { layer: e.layer.clone(), error: -e.error }).collect();
        let bytes = search::fewest(&inverted, |bytes| {
            let floats = all.difference(bytes).cloned().collect();
            Ok(time(&floats)? <= ms)
        })?;
        Ok(all.difference(&bytes).cloned().collect())
    }

    /// A model made ready, at the precision that it has.
    ///
    /// # Errors
    /// [`Error::Engine`] where it cannot be.
    pub fn model(&self, bundle: Bundle) -> Result<Model> {
        let Settings { operators, threads, .. } = *self.settings;
        Ok(Model::load(bundle, ModelOptions { operators, threads, ..ModelOptions::default() })?)
    }

    /// Removes what was found so far, once it is of no more use.
    pub fn finish(&self) {
        // What cannot be removed does no harm.
        let _ = std::fs::remove_dir_all(&self.settings.part);
    }

    fn pass(&mut self, pass: Pass, chosen: Chosen<'_>, bundle: &Bundle, watch: &mut dyn Watch) -> Result<Statistics> {
        let (progress, done) = match pass {
            Pass::Ranges => (self.state.ranges.clone(), self.state.ranged),
            Pass::Histograms => (self.state.histograms.clone().unwrap_or_default(), self.state.counted),
        };
        if done {
            return Ok(progress.statistics);
        }
        let (bench, points) = (self.bench.clone(), self.points.clone());
        let Chosen { pictures, choice } = chosen;
        let calibration = Calibration { bench: &bench, bundle, points: &points, pictures, chosen: &choice.chosen };
        let mut keep = |progress: &Progress| {
            if self.kept.elapsed() < KEEP_EVERY {
                return Ok(());
            }
            match pass {
                Pass::Ranges => self.state.ranges.clone_from(progress),
                Pass::Histograms => self.state.histograms = Some(progress.clone()),
            }
            self.keep()
        };
        let statistics = calibration.run(pass, progress, &mut keep, watch)?;
        let progress = Progress { statistics: statistics.clone(), done: 0 };
        match pass {
            Pass::Ranges => (self.state.ranges, self.state.ranged) = (progress, true),
            Pass::Histograms => (self.state.histograms, self.state.counted) = (Some(progress), true),
        }
        self.keep()?;
        Ok(statistics)
    }

    /// The first pictures of the most frequent input size.
    fn trials(&self, chosen: Chosen<'_>, quantizer: &Quantizer) -> Result<Trials> {
        let mut counts: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        chosen.choice.chosen.iter().for_each(|(_, s)| *counts.entry((s.height, s.width)).or_default() += 1);
        let most = counts.iter().max_by_key(|(_, count)| **count).map(|(size, _)| *size);
        let alike = chosen.choice.chosen.iter().filter(|(_, s)| Some((s.height, s.width)) == most);
        let load = |number: usize| -> Result<Sample> {
            let loaded = chosen.pictures.load(number);
            let (rgb, size) =
                loaded.map_err(|e| Error::calibration(format!("{}: {e}", chosen.pictures.name(number))))?;
            self.bench.sample(&quantizer.bundle, &rgb, size)
        };
        let samples = alike.take(self.settings.trials.max(1)).map(|(number, _)| load(*number));
        Trials::new(self.bench.clone(), quantizer, samples.collect::<Result<_>>()?)
    }

    /// Goes on from what was found of the same model and the same pictures.
    fn take_up(&mut self, chosen: Chosen<'_>, watch: &mut dyn Watch) -> Result<()> {
        let names = chosen.choice.chosen.iter().map(|(n, size)| format!("{} {size}", chosen.pictures.name(*n)));
        let key = format!(
            "{} {} {:?} {:x} {}",
            self.bundle.id(),
            env!("CARGO_PKG_VERSION"),
            self.settings.trials,
            chosen.choice.fingerprint,
            names.collect::<Vec<_>>().join("\n")
        );
        if self.state.key == key {
            return Ok(());
        }
        let path = self.settings.part.join(STATE);
        let read = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice::<State>(&text).ok());
        if let Some(state) = read.filter(|state| state.key == key) {
            watch.note(&format!("going on from {}", self.settings.part.display()));
            self.state = state;
        } else {
            self.state = State { key, ..State::default() };
        }
        Ok(())
    }

    fn keep_now_and_then(&mut self) -> Result<()> {
        if self.kept.elapsed() < KEEP_EVERY { Ok(()) } else { self.keep() }
    }

    fn keep(&mut self) -> Result<()> {
        let folder: &Path = &self.settings.part;
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
        let text = serde_json::to_vec(&self.state).map_err(|e| Error::calibration(e.to_string()))?;
        let (new, path) = (folder.join("state.new"), folder.join(STATE));
        std::fs::write(&new, text).map_err(|e| Error::io(&new, e))?;
        std::fs::rename(&new, &path).map_err(|e| Error::io(&path, e))?;
        self.kept = Instant::now();
        Ok(())
    }
}
