//! Calibration: pictures through the image encoder, and what its values were.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher};
use std::path::PathBuf;

use cutout_models::Bundle;
use cutout_models::arch::InputSize;
use cutout_models::onnx::OnnxModel;
use cutout_models::onnx::proto::{NodeProto, TensorProto, TensorTypeProto, TypeProto, ValueInfoProto};
use cutout_runtime::Size;
use cutout_runtime::engine::Tensor;
use rayon::prelude::*;

use crate::encoder::Bench;
use crate::points::{Point, Points};
use crate::statistics::{Histogram, Statistics, ValueStatistics};
use crate::{Error, Result};

/// Values that a network gives at a time: they are kept in memory together.
const GROUP: usize = 8;

/// What reading a picture may fail with.
pub type PictureError = Box<dyn std::error::Error + Send + Sync>;

/// Pictures by number: files of a folder, frames of a recording.
pub trait Pictures {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What to call one in messages.
    fn name(&self, number: usize) -> String;

    /// Reads one: row-major RGB, three bytes a pixel, and its size.
    ///
    /// # Errors
    /// Says why it cannot be read; the others are used then.
    fn load(&self, number: usize) -> Result<(Vec<u8>, Size), PictureError>;
}

/// Follows a long task.
pub trait Watch {
    /// A part of it begins, of so many steps.
    fn begin(&mut self, what: &str, steps: usize);
    /// So many more steps are done.
    fn advance(&mut self, steps: usize);
    /// Something that the user should know.
    fn note(&mut self, text: &str);
}

/// Follows nothing.
impl Watch for () {
    fn begin(&mut self, _: &str, _: usize) {}
    fn advance(&mut self, _: usize) {}
    fn note(&mut self, _: &str) {}
}

/// Where a pass over the pictures has got to: what is kept to go on from.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Progress {
    /// What was found so far.
    pub statistics: Statistics,
    /// Runs that are done, of the order of all.
    pub done: usize,
}

/// One pass over pictures.
pub struct Calibration<'a> {
    /// What runs the networks.
    pub bench: &'a Bench,
    /// The network, in f32.
    pub bundle: &'a Bundle,
    /// Its values.
    pub points: &'a Points,
    /// The pictures.
    pub pictures: &'a dyn Pictures,
    /// Those to use, by number, with their input sizes.
    pub chosen: &'a [(usize, InputSize)],
}

/// What a pass finds out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Ranges, means and squares of channels.
    Ranges,
    /// Histograms; ranges are known.
    Histograms,
}

impl Calibration<'_> {
    /// Runs a pass from where it had got to. `keep` is called after every run, so that the pass can go on from there another time.
    ///
    /// # Errors
    /// [`Error::Calibration`] where values are not finite; [`Error::Engine`] where the network fails; those of `keep`.
    pub fn run(
        &self,
        pass: Pass,
        mut progress: Progress,
        keep: &mut dyn FnMut(&Progress) -> Result<()>,
        watch: &mut dyn Watch,
    ) -> Result<Statistics> {
        let mut order: Vec<(usize, InputSize)> = self.chosen.to_vec();
        // One network at a time: pictures of a size come together.
        order.sort_by_key(|(number, size)| (size.height, size.width, *number));
        let groups: Vec<&[Point]> = self.points.points.chunks(GROUP).collect();
        let what = match pass {
            Pass::Ranges => "ranges",
            Pass::Histograms => "histograms",
        };
        watch.begin(what, order.len() * groups.len());
        let mut run = 0;
        for same in order.chunk_by(|a, b| a.1 == b.1) {
            for group in &groups {
                if run + same.len() <= progress.done {
                    run += same.len();
                    watch.advance(same.len());
                    continue;
                }
                let model = with_outputs(self.bundle.image_encoder_onnx(same[0].1)?, group);
                let network = self.bench.network(model)?;
                for (number, _) in same {
                    run += 1;
                    if run > progress.done {
                        // Readable when it was chosen.
                        let (rgb, size) = self.pictures.load(*number).map_err(|e| self.unreadable(*number, &*e))?;
                        let sample = self.bench.sample(self.bundle, &rgb, size)?;
                        let outputs = self.bench.run(&network, &sample)?;
                        let values = &outputs[outputs.len() - group.len()..];
                        observe(pass, &mut progress.statistics, group, values)
                            .map_err(|value| self.not_finite(*number, &value))?;
                        progress.done = run;
                        keep(&progress)?;
                    }
                    watch.advance(1);
                }
            }
        }
        progress.statistics.pictures = order.len();
        Ok(progress.statistics)
    }

    fn unreadable(&self, number: usize, why: &(dyn std::error::Error + Send + Sync)) -> Error {
        Error::calibration(format!("{}: {why}", self.pictures.name(number)))
    }

    fn not_finite(&self, number: usize, value: &str) -> Error {
        let name = self.pictures.name(number);
        Error::calibration(format!(
            "{name} makes {value} infinite or no number: the model is damaged, or this picture is no use"
        ))
    }
}

/// Takes up the values of a group. Fails with the name of one that is not finite.
fn observe(pass: Pass, statistics: &mut Statistics, group: &[Point], values: &[Tensor]) -> Result<(), String> {
    let mut entries: Vec<ValueStatistics> =
        group.iter().map(|p| statistics.values.remove(&p.value).unwrap_or_default()).collect();
    let taken: Vec<Option<()>> = entries
        .par_iter_mut()
        .zip(group.par_iter().zip(values))
        .map(|(entry, (point, tensor))| match pass {
            Pass::Ranges => entry.observe(tensor.shape(), tensor.values(), point.channels),
            Pass::Histograms => {
                let (low, high) = entry.range()?;
                entry.histogram.get_or_insert_with(|| Histogram::new(low, high)).add(tensor.values());
                Some(())
            }
        })
        .collect();
    let bad = taken.iter().zip(group).find(|(taken, _)| taken.is_none()).map(|(_, point)| point.value.clone());
    statistics.values.extend(group.iter().map(|p| p.value.clone()).zip(entries));
    bad.map_or(Ok(()), Err)
}

/// The graph with values as further outputs, behind its own.
fn with_outputs(mut model: OnnxModel, values: &[Point]) -> OnnxModel {
    if let Some(graph) = &mut model.proto_mut().graph {
        let inputs: HashSet<String> = graph.input.iter().map(|input| input.name.clone()).collect();
        for point in values {
            let mut name = point.value.clone();
            // tract forgets the shape of an input that is an output too.
            if inputs.contains(&name) {
                name.push_str("/observed");
                graph.node.push(NodeProto {
                    input: vec![point.value.clone()],
                    output: vec![name.clone()],
                    name: name.clone(),
                    op_type: "Identity".into(),
                    attribute: Vec::new(),
                });
            }
            let tensor = TensorTypeProto { elem_type: TensorProto::FLOAT, shape: None };
            graph.output.push(ValueInfoProto { name, r#type: Some(TypeProto { tensor_type: Some(tensor) }) });
        }
    }
    model
}

/// Pictures chosen for calibration, and what is wrong with the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// Their numbers and input sizes.
    pub chosen: Vec<(usize, InputSize)>,
    /// Names of those that cannot be read, and why.
    pub unreadable: Vec<(String, String)>,
    /// Names of those of one colour.
    pub flat: Vec<String>,
    /// How many pictures there are.
    pub found: usize,
    /// Tells the pixels of those that are chosen from those of others.
    pub fingerprint: u64,
}

/// Fewest pictures that ranges should be taken from.
pub const ENOUGH: usize = 32;

/// Chooses up to `limit` pictures, evenly over all of them, of those that can be read and show anything.
///
/// # Errors
/// [`Error::Calibration`] where there is none at all, which says what is wrong with those that are there.
pub fn choose(
    pictures: &dyn Pictures,
    bench: &Bench,
    limit: usize,
    folder: &std::path::Path,
    watch: &mut dyn Watch,
) -> Result<Choice> {
    let found = pictures.len();
    let place: PathBuf = folder.into();
    if found == 0 {
        let what = format!(
            "{} holds no picture: give a folder of JPEG, PNG, WebP, BMP or PNM files (folders in it count), or a recording (.y4m, .mjpeg)",
            place.display()
        );
        return Err(Error::calibration(what));
    }
    let mut choice = Choice { found, ..Choice::default() };
    let wanted = limit.min(found).max(1);
    watch.begin("pictures", wanted);
    // The n-th of `wanted` first, then those between, until there are enough.
    let mut order: Vec<usize> = (0..wanted).map(|n| n * found / wanted).collect();
    let first: HashSet<usize> = order.iter().copied().collect();
    order.extend((0..found).filter(|n| !first.contains(n)));
    // Without a seed: the same in every process of this program.
    let mut hasher = DefaultHasher::new();
    for number in order {
        if choice.chosen.len() == wanted {
            break;
        }
        match pictures.load(number) {
            Err(why) => choice.unreadable.push((pictures.name(number), why.to_string())),
            Ok((rgb, _)) if is_flat(&rgb) => choice.flat.push(pictures.name(number)),
            Ok((rgb, size)) => {
                hasher.write(&rgb);
                choice.chosen.push((number, bench.input_for(size)));
                watch.advance(1);
            }
        }
    }
    choice.fingerprint = hasher.finish();
    if choice.chosen.is_empty() {
        let why = match (choice.unreadable.first(), choice.flat.first()) {
            (Some((name, why)), _) => format!("none can be read; the first is {name}: {why}"),
            (None, Some(name)) => {
                format!("each is of one colour, {name} for one: give pictures of what the camera is to see")
            }
            (None, None) => "none can be used".to_owned(),
        };
        return Err(Error::calibration(format!("{} holds {}, but {why}", place.display(), self::pictures(found))));
    }
    Ok(choice)
}

impl Choice {
    /// What the user should know of it, a sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some((name, why)) = self.unreadable.first() {
            warnings.push(format!(
                "{} left out that cannot be read; the first is {name}: {why}",
                pictures(self.unreadable.len())
            ));
        }
        if let Some(name) = self.flat.first() {
            warnings.push(format!("{} of one colour left out, such as {name}", pictures(self.flat.len())));
        }
        if self.chosen.len() < ENOUGH {
            warnings.push(format!(
                "{} may be too few: ranges that they do not show are cut. Give {ENOUGH} or more that differ, such as the camera will see",
                pictures(self.chosen.len())
            ));
        }
        warnings
    }
}

fn pictures(count: usize) -> String {
    format!("{count} {}", if count == 1 { "picture" } else { "pictures" })
}

/// Whether all pixels are nearly of one colour.
fn is_flat(rgb: &[u8]) -> bool {
    const NEARLY: u8 = 4;
    (0..3).all(|c| {
        let channel = rgb.iter().skip(c).step_by(3);
        let (low, high) = channel.fold((u8::MAX, 0), |(low, high), &v| (low.min(v), high.max(v)));
        high.saturating_sub(low) <= NEARLY
    })
}
