//! `cutout bench`: how fast a model is on this machine, as a table ready to paste.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use cutout_runtime::engine::{Layer, Precision};
use cutout_runtime::{ImageView, Model, PredictOptions, Predictor, Prompt, Size, StageTimings};
use indicatif::ProgressBar;
use serde::Serialize;

use super::compute::Compute;
use super::values::{SizeArg, parse_size};
use super::{layers, print_json};
use crate::board::Board;
use crate::model_source::load_bundle;

/// Prompts along each side of the grid that is asked about in one call.
const GRID: usize = 8;

/// The stages, in the order of the table.
const STAGES: [&str; 7] = [
    "preprocess",
    "encode",
    "decode, first prompt",
    "decode, next prompts",
    "mask at full size",
    "decode, 64 prompts, each",
    "mask, 64 prompts, each",
];

const MORE: &str = "\
A picture of noise is preprocessed and encoded, and a point in its middle is asked about, again and again. A stage's \
time is the median over the rounds; p99 is what one answer in a hundred takes longer than. Then a grid of 64 points is \
asked about in one call: those stages give the time of the call for each of its prompts.

GMAC/s counts multiply-accumulates of the image encoder. Of peak: against products that stay in the first-level cache, \
measured after the rounds on as many threads.

Memory is the most that the process has held. Temperature and clock are those at the end, where the board tells \
them; a clock below its maximum under load means throttling.

Examples:
  cutout bench
  cutout bench --size 384 --threads 1 --rounds 100
  cutout bench --layers
  cutout bench --operators tract";

/// Measure how fast a model is on this machine.
#[derive(Debug, Args)]
#[command(after_long_help = MORE)]
pub(crate) struct BenchArgs {
    /// Model by name, folder (a bundle, or two ONNX files), checkpoint or compiled file [default: the shipped model]
    #[arg(long, value_name = "NAME|DIR|FILE")]
    model: Option<String>,
    /// Longest side of the model's input in pixels, or its height and width [default: the model's own]
    #[arg(long, value_name = "SIDE|HxW", value_parser = parse_size)]
    size: Option<SizeArg>,
    /// Width and height of the picture
    #[arg(long, value_name = "WxH", default_value = "1280x720", value_parser = parse_picture)]
    picture: Size,
    /// How often each stage is run
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: u32,
    /// Also list the steps of the image encoder and of the mask decoder
    #[arg(long)]
    layers: bool,
    #[command(flatten)]
    compute: Compute,
    /// Print JSON: {"model", "stages": [{"name", "median_ms", "p99_ms", ...}], "layers", "decoder_layers", "board", ...}
    #[arg(long)]
    json: bool,
}

fn parse_picture(text: &str) -> Result<Size, String> {
    let wrong = || "give width and height in pixels, such as 1280x720".to_owned();
    let (width, height) = text.split_once('x').ok_or_else(wrong)?;
    let side = |text: &str| text.parse().ok().filter(|n| (1..=16_384).contains(n)).ok_or_else(wrong);
    Ok(Size::new(side(width)?, side(height)?))
}

/// One stage of an answer.
#[derive(Debug, Serialize)]
struct Stage {
    name: &'static str,
    median_ms: f64,
    p99_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    gmac_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    share_of_peak: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Table {
    model: String,
    precision: Precision,
    operators: String,
    threads: usize,
    input: String,
    picture: String,
    rounds: u32,
    start_ms: f64,
    stages: Vec<Stage>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    layers: Vec<Layer>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    decoder_layers: Vec<Layer>,
    board: Board,
}

pub(crate) fn run(args: &BenchArgs) -> Result<ExitCode> {
    let progress = ProgressBar::new(u64::from(args.rounds)).with_message("running");
    let pixels = noise(args.picture);
    let image = ImageView::rgb8(&pixels, args.picture)?;
    let middle = (args.picture.width as f32 / 2.0, args.picture.height as f32 / 2.0);
    let prompt = Prompt::new().with_point(middle.0, middle.1, true);

    let start = Instant::now();
    let bundle = load_bundle(args.model.as_deref())?;
    let input = args.size.map(|size| size.shape(bundle.architecture()));
    let model = Model::load(bundle, args.compute.options(input))?;
    let mut predictor = Predictor::new(model.clone());
    predictor.set_image(&image)?;
    predictor.predict(&prompt, &PredictOptions::default())?;
    let start = start.elapsed();

    let size = model.input_for(args.picture);
    let layers = model.profile_encoder(size, (args.rounds as usize).min(20))?;
    let grid = grid(args.picture);
    let mut times: [Vec<Duration>; STAGES.len()] = Default::default();
    for _ in 0..args.rounds {
        predictor.set_image(&image)?;
        let mut timings = predictor.image_timings();
        // The first prompt about an image also computes what the others find done.
        let first = predictor.predict(&prompt, &PredictOptions::default())?.timings;
        timings += predictor.predict(&prompt, &PredictOptions::default())?.timings;
        let batch = predictor.predict_batch(&grid, &PredictOptions::default())?;
        let each = |stage: fn(&StageTimings) -> Duration| {
            batch.iter().map(|answer| stage(&answer.timings)).sum::<Duration>() / grid.len() as u32
        };
        let stages = [
            timings.preprocess,
            timings.encode,
            first.decode,
            timings.decode,
            timings.postprocess,
            each(|timings| timings.decode),
            each(|timings| timings.postprocess),
        ];
        times.iter_mut().zip(stages).for_each(|(times, time)| times.push(time));
        progress.inc(1);
    }
    progress.finish_and_clear();

    let macs: u64 = layers.iter().map(|l| l.macs).sum();
    let precision = model.encoder_precision(size)?;
    let peak = model.peak_macs_per_second(precision);
    let stage = |(name, mut times): (&'static str, Vec<Duration>)| {
        times.sort_unstable();
        let median = times[times.len() / 2];
        let rate = (name == "encode" && macs > 0).then(|| macs as f64 / median.as_secs_f64());
        Stage {
            name,
            median_ms: milliseconds(median),
            p99_ms: milliseconds(times[(times.len() * 99).div_ceil(100) - 1]),
            gmac_per_s: rate.map(|r| r / 1e9),
            share_of_peak: rate.zip(peak).map(|(r, peak)| r / peak),
        }
    };
    let table = Table {
        model: model.id().to_owned(),
        precision,
        operators: model.encoder_operators(size)?.to_string(),
        threads: model.threads().count(),
        input: format!("{}x{}", size.width, size.height),
        picture: args.picture.to_string(),
        rounds: args.rounds,
        start_ms: milliseconds(start),
        stages: STAGES.into_iter().zip(times).map(stage).collect(),
        layers: if args.layers { layers } else { Vec::new() },
        decoder_layers: match args.layers {
            true => predictor.profile_decoder(&prompt, (args.rounds as usize).min(20))?,
            false => Vec::new(),
        },
        board: Board::read(),
    };
    let mut out = std::io::stdout().lock();
    match args.json {
        true => print_json(&mut out, &table)?,
        false => write!(out, "{}", text(&table)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A prompt of one point at each node of a grid.
fn grid(picture: Size) -> Vec<Prompt> {
    let at = |i: usize, side: usize| (i as f32 + 0.5) / GRID as f32 * side as f32;
    let point = |i: usize| (at(i % GRID, picture.width), at(i / GRID, picture.height));
    (0..GRID * GRID).map(point).map(|(x, y)| Prompt::new().with_point(x, y, true)).collect()
}

/// A picture without structure: no stage has it easy.
fn noise(size: Size) -> Vec<u8> {
    (0..size.pixels() * 3).map(|i| ((i * 2_654_435_761) >> 13) as u8).collect()
}

/// The table as Markdown.
fn text(table: &Table) -> Result<String, std::fmt::Error> {
    let Table { model, precision, operators, threads, input, picture, rounds, start_ms, .. } = table;
    let mut out = String::new();
    writeln!(
        out,
        "{model}, {precision}, {operators}, {threads} threads, input {input}, picture {picture}, {rounds} rounds"
    )?;
    writeln!(out, "{}", table.board)?;
    writeln!(out, "from nothing to the first mask: {start_ms:.0} ms\n")?;
    writeln!(out, "| {:24} | {:>9} | {:>9} | {:>7} | {:>7} |", "stage", "ms median", "ms p99", "GMAC/s", "of peak")?;
    writeln!(out, "|{:-<26}|{:->10}:|{:->10}:|{:->8}:|{:->8}:|", "", "", "", "", "")?;
    for s in &table.stages {
        let rate = s.gmac_per_s.map_or(String::new(), |r| format!("{r:.1}"));
        let share = s.share_of_peak.map_or(String::new(), |r| format!("{:.0} %", 100.0 * r));
        writeln!(out, "| {:24} | {:9.2} | {:9.2} | {rate:>7} | {share:>7} |", s.name, s.median_ms, s.p99_ms)?;
    }
    for (what, layers) in [("image encoder", &table.layers), ("mask decoder", &table.decoder_layers)] {
        out += &layers::table(what, layers);
    }
    Ok(out)
}
