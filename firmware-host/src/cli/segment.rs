//! `cutout segment`: a photo and a prompt in, a mask and a picture out.

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use cutout_runtime::{
    BBox, LowResLogits, Mask, Model, PredictOptions, Predictor, Prompt, ResizeLongestSide, ScoredMask, Zoom,
};
use indicatif::{ProgressBar, ProgressStyle};
use ndarray::Array2;
use ndarray_npy::{ReadNpyExt, WriteNpyExt};

use super::compute::Compute;
use super::print_json;
use super::values::{PointArg, SizeArg, parse_box, parse_point, parse_size};
use crate::answer::{Answer, Asked, Found, Image, corners, embedding_crc32};
use crate::model_source::load_bundle;
use crate::output;
use crate::overlay::Status;
use crate::photo::Photo;
use crate::picture::draw_answer;

const MORE: &str = "\
Examples:
  cutout segment photo.jpg --point 320,240                    what is at x = 320, y = 240?
  cutout segment photo.jpg --box 40,60,300,410 -o answers     what is in this box?
  cutout segment photo.jpg --point 320,240 --point 90,80,bg   this, but not that
  cutout segment photo.jpg --point 320,240 --multimask        whole, part or subpart: three masks
  cutout segment photo.jpg --box 300,220,340,260 --zoom       something small: look again, closer
  cutout segment photo.jpg --point 320,240 --json             masks as COCO RLE, for a program

Coordinates are pixels from the top left corner of the photo as it is seen, EXIF orientation applied.

One point alone may mean several things: the three masks are computed and the one of the highest predicted
IoU is the answer. Any other prompt gets one mask. --multimask keeps all three, best first.

--zoom is for objects that are small in the photo, up to about a third of its side: once found, the part of
the photo around the object is encoded by itself and the model asked again, so that the outline is as fine
as the photo's own pixels allow. It takes about twice the time. A large object gets its plain answer.

Files written to the output folder, STEM being the photo's name without its extension:
  STEM.overlay.png   the photo with mask, outline and prompt drawn on it
  STEM.mask.png      the mask, 8 bits a pixel, 255 inside and 0 outside
  STEM.logits.npy    with --logits: to be given back as --mask, to refine this answer
With --multimask each file is numbered: STEM.1.overlay.png is the best.

embedding_crc32 in what --json prints is a checksum of what the image encoder made of the whole photo. An int8 model
gives the same one on every machine, whatever --operators and --threads; of floats the last bits may differ.";

/// Segment what a prompt points at in a photo
///
/// Takes a JPEG, PNG, WebP, BMP or PNM file and at least one point, a box or a mask. Writes a picture to look at and
/// the mask, and says how sure the model is.
#[derive(Debug, Args)]
#[command(after_long_help = MORE)]
pub(crate) struct SegmentArgs {
    /// The photo
    photo: PathBuf,
    /// A point on the object, in pixels of the photo; `bg` after it means: not this. May be repeated
    #[arg(short, long = "point", value_name = "X,Y[,bg]", value_parser = parse_point, allow_hyphen_values = true)]
    points: Vec<PointArg>,
    /// A box around the object: left, top, right, bottom, in pixels of the photo
    #[arg(short, long = "box", value_name = "X0,Y0,X1,Y1", value_parser = parse_box, allow_hyphen_values = true)]
    bbox: Option<BBox>,
    /// A mask to start from: a picture of the photo's size, white inside, or the .npy that --logits wrote
    #[arg(short, long, value_name = "FILE")]
    mask: Option<PathBuf>,
    /// Three masks instead of one
    #[arg(long)]
    multimask: bool,
    /// Look again, closer, where the object is small in the photo
    #[arg(long)]
    zoom: bool,
    /// Model by name, folder (a bundle, or two ONNX files), checkpoint or compiled file [default: the shipped model]
    #[arg(long, value_name = "NAME|DIR|FILE")]
    model: Option<String>,
    /// Longest side of the model's input in pixels, or its height and width [default: the model's own]
    #[arg(long, value_name = "SIDE|HxW", value_parser = parse_size)]
    size: Option<SizeArg>,
    #[command(flatten)]
    compute: Compute,
    /// Folder to write to; made if need be
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// Also write the low-resolution logits, to be given back with --mask
    #[arg(long)]
    logits: bool,
    /// Print the answer as JSON: masks as COCO RLE, scores, milliseconds per stage, the model's id
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &SegmentArgs) -> Result<ExitCode> {
    if args.points.is_empty() && args.bbox.is_none() && args.mask.is_none() {
        bail!("nothing is asked for: give --point X,Y, --box X0,Y0,X1,Y1 or --mask FILE");
    }
    let photo = Photo::open(&args.photo)?;
    let spinner = spinner();
    spinner.set_message("loading the model");
    let bundle = load_bundle(args.model.as_deref())?;
    let input = args.size.map(|size| size.shape(bundle.architecture()));
    let model = Model::load(bundle, args.compute.options(input))?;
    let mut predictor = Predictor::new(model);
    let input = predictor.model().input_for(photo.size());
    let transform = ResizeLongestSide::new(photo.size(), cutout_runtime::Size::new(input.width, input.height))?;
    // A prompt that makes no sense is refused before the image is encoded.
    let prompt = prompt(args, &transform)?;
    prompt.validate(photo.size())?;
    spinner.set_message("encoding the photo");
    predictor.set_image(&photo.view())?;
    spinner.set_message("finding the mask");
    let ambiguous = prompt.points.len() == 1 && prompt.bbox.is_none() && prompt.mask.is_none();
    let options = PredictOptions { multimask: args.multimask || ambiguous };
    let prediction = match args.zoom {
        true => predictor.predict_zoomed(&photo.view(), &prompt, &options, &Zoom::default())?,
        false => predictor.predict(&prompt, &options)?,
    };
    spinner.finish_and_clear();

    let mut timings = predictor.image_timings();
    timings += prediction.timings;
    let zoom = prediction.zoomed.map(corners);
    let mut masks = prediction.masks;
    masks.sort_by(|a, b| b.predicted_iou.total_cmp(&a.predicted_iou));
    masks.truncate(if args.multimask { masks.len() } else { 1 });

    fs::create_dir_all(&args.output).with_context(|| format!("cannot make the folder {}", args.output.display()))?;
    let name = predictor.model().bundle().name().to_owned();
    let mut found = Vec::with_capacity(masks.len());
    for (index, mask) in masks.iter().enumerate() {
        let files = Files::new(args, if masks.len() > 1 { Some(index + 1) } else { None });
        output::write_mask_png(&files.mask, photo.size(), &mask.mask.to_bytes())?;
        let mut picture = photo.clone();
        let elapsed_ms = timings.total().as_secs_f32() * 1e3;
        let status = Status { predicted_iou: Some(mask.predicted_iou), ..Status::new(&name, elapsed_ms) };
        draw_answer(&mut picture, &mask.mask, &prompt, Some(&status), index);
        output::write_rgb_png(&files.overlay, picture.size(), picture.pixels())?;
        if args.logits {
            output::write(&files.logits, &npy(&mask.low_res_logits)?)?;
        }
        found.push(Found::new(mask, files.mask, files.overlay));
    }
    let answer = Answer {
        image: Image::new(&args.photo, photo.size()),
        model: predictor.model().id().to_owned(),
        input_size: [input.height, input.width],
        embedding_crc32: predictor.embedding().map(embedding_crc32).unwrap_or_default(),
        prompt: Asked::new(&prompt),
        zoom,
        masks: found,
        timings,
    };
    let mut out = std::io::stdout().lock();
    if args.json {
        print_json(&mut out, &answer)?;
    } else {
        print(&mut out, &answer, &masks, args.zoom)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(out: &mut impl Write, answer: &Answer, masks: &[ScoredMask], zoom: bool) -> Result<()> {
    let pixels = (answer.image.width * answer.image.height) as f64;
    for (found, scored) in answer.masks.iter().zip(masks) {
        let share = 100.0 * found.area as f64 / pixels;
        writeln!(
            out,
            "mask of {} pixels ({share:.1} % of the photo), predicted IoU {:.2}, stability {:.2}",
            found.area, scored.predicted_iou, scored.stability_score
        )?;
        if scored.mask.is_empty() {
            writeln!(out, "  the model finds nothing here: try another point, or a box")?;
        }
        writeln!(out, "  {}\n  {}", found.overlay_file.display(), found.mask_file.display())?;
    }
    match answer.zoom {
        Some([x0, y0, x1, y1]) => writeln!(out, "zoomed in on {x0},{y0},{x1},{y1}")?,
        None if zoom => writeln!(out, "not zoomed: there is no small object to zoom in on")?,
        None => {}
    }
    let ms = |d: Duration| d.as_secs_f64() * 1e3;
    let t = &answer.timings;
    writeln!(
        out,
        "{} at {}x{}: preprocess {:.1} ms, encode {:.1} ms, decode {:.1} ms, postprocess {:.1} ms",
        answer.model,
        answer.input_size[0],
        answer.input_size[1],
        ms(t.preprocess),
        ms(t.encode),
        ms(t.decode),
        ms(t.postprocess)
    )?;
    Ok(())
}

/// The files of one mask.
struct Files {
    mask: PathBuf,
    overlay: PathBuf,
    logits: PathBuf,
}

impl Files {
    fn new(args: &SegmentArgs, number: Option<usize>) -> Self {
        let stem = args.photo.file_stem().map_or_else(|| "photo".into(), |s| s.to_string_lossy().into_owned());
        let number = number.map_or_else(String::new, |n| format!("{n}."));
        let path = |kind: &str| args.output.join(format!("{stem}.{number}{kind}"));
        Files { mask: path("mask.png"), overlay: path("overlay.png"), logits: path("logits.npy") }
    }
}

fn prompt(args: &SegmentArgs, transform: &ResizeLongestSide) -> Result<Prompt> {
    let mut prompt = Prompt::new();
    for point in &args.points {
        prompt = prompt.with_point(point.x, point.y, point.foreground);
    }
    if let Some(bbox) = args.bbox {
        prompt = prompt.with_box(bbox);
    }
    if let Some(file) = &args.mask {
        prompt = prompt.with_mask(read_mask(file, transform)?);
    }
    Ok(prompt)
}

/// A mask prompt: logits as they are, or a picture of the photo's size whose bright pixels are inside.
fn read_mask(file: &Path, transform: &ResizeLongestSide) -> Result<LowResLogits> {
    if file.extension().is_some_and(|e| e.eq_ignore_ascii_case("npy")) {
        let bytes = fs::read(file).with_context(|| format!("cannot read the mask {}", file.display()))?;
        let values = Array2::<f32>::read_npy(bytes.as_slice())
            .with_context(|| format!("{} is not the .npy of float32 logits that --logits writes", file.display()))?;
        let (height, width) = values.dim();
        return Ok(LowResLogits { height, width, values: values.iter().copied().collect() });
    }
    let picture = Photo::open(file)?;
    if picture.size() != transform.image_size() {
        bail!(
            "the mask {} is {}, the photo is {}: give a mask of the photo's size",
            file.display(),
            picture.size(),
            transform.image_size()
        );
    }
    let inside: Vec<bool> = picture.pixels().chunks_exact(3).map(|p| p.iter().any(|&v| v > 127)).collect();
    let mask = Mask::from_bools(picture.size(), &inside)?;
    if mask.is_empty() {
        bail!("the mask {} is black everywhere: make the object white", file.display());
    }
    Ok(LowResLogits::from_mask(&mask, transform)?)
}

fn npy(logits: &LowResLogits) -> Result<Vec<u8>> {
    let array = Array2::from_shape_vec((logits.height, logits.width), logits.values.clone())?;
    let mut bytes = Vec::new();
    array.write_npy(&mut bytes)?;
    Ok(bytes)
}

fn spinner() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
