//! `cutout prompt`: a client of `cutout serve`, for one question, for many, or for a talk.

mod args;
mod coco;
mod draw;
mod endpoint;
mod lines;
mod report;
mod table;
mod talk;
mod terminal;
mod token;

use std::fs;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cutout_protocol::{Features, Format, ItemKind, ItemSet, Options as HowTo};

pub(crate) use self::args::PromptArgs;
use self::report::Reader;
use super::print_json;
use crate::client::{Answer, Client, ClientError, Options, Prompt, Tracked, point};
use crate::photo::{MAX_FILE_BYTES, Photo};
use crate::progress::Progress;
use crate::transport::Endpoint;

/// Exit status if the command line makes no sense, as clap has it.
const MISUSED: u8 = 2;

/// Exit status if the service answers with an error, or a line of a talk is answered with one.
const REFUSED: u8 = 4;

/// The command line makes no sense, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Misuse(String);

/// Ctrl-C: ends what goes on; where nothing does, or pressed again, it ends the program.
struct Interrupt {
    /// Whether the next Ctrl-C ends the program.
    ends: Arc<AtomicBool>,
}

impl Interrupt {
    fn new() -> io::Result<Self> {
        let ends = Arc::new(AtomicBool::new(true));
        // They act in this order.
        signal_hook::flag::register_conditional_shutdown(signal_hook::consts::SIGINT, 130, Arc::clone(&ends))?;
        signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&ends))?;
        Ok(Interrupt { ends })
    }

    /// Something begins that it ends.
    fn arm(&self) {
        self.ends.store(false, Ordering::SeqCst);
    }

    /// It has ended.
    fn disarm(&self) {
        self.ends.store(true, Ordering::SeqCst);
    }

    fn is_pressed(&self) -> bool {
        self.ends.load(Ordering::SeqCst)
    }
}

pub(crate) fn run(args: &PromptArgs) -> Result<ExitCode> {
    // A lost connection is told when it is lost, not only when it stays so.
    let told = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(io::stderr);
    let told = told.without_time().with_level(false).with_target(false).with_ansi(false).finish();
    // Who logs already goes on as it does.
    let _ = tracing::subscriber::set_global_default(told);
    let error = match ask(args) {
        Ok(true) => return Ok(ExitCode::SUCCESS),
        Ok(false) => return Ok(ExitCode::from(REFUSED)),
        Err(error) => error,
    };
    if let Some(misuse) = error.downcast_ref::<Misuse>() {
        writeln!(io::stderr(), "error: {misuse}\n\nFor more information, try '--help'.")?;
        return Ok(ExitCode::from(MISUSED));
    }
    if let Some(ClientError::Refused(refusal)) = error.downcast_ref::<ClientError>() {
        let reader = if args.image.is_some() { Reader::Photo } else { Reader::Flags(args.frame.unwrap_or(0)) };
        writeln!(io::stderr(), "error: {refusal}{}", report::hint(refusal, reader))?;
        return Ok(ExitCode::from(REFUSED));
    }
    Err(error)
}

/// Whether all was well, if nothing made an end of it.
fn ask(args: &PromptArgs) -> Result<bool> {
    // What cannot be is refused before anybody is asked.
    let prompt = prompt(args)?;
    let endpoint = args.endpoint.endpoint()?;
    if args.baud.is_some() && !matches!(endpoint, Endpoint::Serial { .. }) {
        return Err(Misuse("--baud is the speed of a serial line: give --serial DEVICE with it".into()).into());
    }
    let patience = Duration::from_secs(args.patience);
    let options = Options { token: token::token(args)?, work: patience, patience, ..Options::default() };
    let mut client = Client::connect(&endpoint, options.clone())?;
    let Some(baud) = args.baud else { return talk_to(&mut client, args, prompt, (&endpoint, options)) };
    client.set_baud(baud)?;
    let done = talk_to(&mut client, args, prompt, (&endpoint, options));
    // Who comes next expects the line as it was.
    let restored = match endpoint {
        Endpoint::Serial { baud: before, .. } => client.set_baud(before),
        _ => Ok(()),
    };
    let well = done?;
    restored?;
    Ok(well)
}

/// Does what is asked for over a connection.
fn talk_to(
    client: &mut Client,
    args: &PromptArgs,
    mut prompt: Prompt,
    (endpoint, options): (&Endpoint, Options),
) -> Result<bool> {
    let mut out = io::stdout().lock();
    if args.status {
        let (status, ping) = (client.status()?, client.ping()?);
        match args.json {
            true => print_json(&mut out, &report::status_json(client.caps(), &status, ping))?,
            false => report::status(&mut out, client.caps(), &status, ping)?,
        }
        return Ok(true);
    }
    if let Some(image) = &args.image {
        prompt.frame = upload(client, image)?;
    }
    if !asks(args) {
        if let Some(image) = &args.image {
            writeln!(out, "frame {} is {}", prompt.frame, image.display())?;
        }
        return talk::run(client, (endpoint, options), prompt, &mut out);
    }
    if args.track {
        return track(client, &prompt, args, &mut out).map(|()| true);
    }
    if let Some(times) = args.repeat {
        return repeat(client, &prompt, times, args.json, &mut out).map(|()| true);
    }
    let answer = client.prompt(&prompt)?;
    let files = args.output.as_deref().map(|folder| draw(client, &answer, &prompt, args, folder)).transpose()?;
    match args.json {
        true => print_json(&mut out, &report::json(&answer, client, files.as_ref()))?,
        false => {
            report::text(&mut out, &answer)?;
            files.iter().flatten().try_for_each(|file| writeln!(out, "  {}", file.display()))?;
        }
    }
    Ok(true)
}

/// Whether the command line says what is meant; else lines of a talk do.
fn asks(args: &PromptArgs) -> bool {
    !args.points.is_empty() || args.bbox.is_some()
}

fn prompt(args: &PromptArgs) -> Result<Prompt, Misuse> {
    let needy = [
        ("--track", args.track),
        ("--repeat", args.repeat.is_some()),
        ("--output", args.output.is_some()),
        ("--json", args.json && !args.status),
    ];
    if let Some((option, _)) = needy.iter().find(|(_, is_given)| *is_given && !asks(args)) {
        return Err(Misuse(format!("{option} needs --point X,Y or --box X0,Y0,X1,Y1: what is meant?")));
    }
    let mut prompt = Prompt {
        frame: args.frame.unwrap_or(0),
        deadline_ms: args.deadline.unwrap_or(0),
        budget: args.budget.unwrap_or(0),
        wanted: ItemSet::BBOX | ItemSet::CENTROID | ItemSet::AREA | ItemSet::RLE,
        contour_points: args.contour.unwrap_or(0),
        options: if args.zoom { HowTo::ZOOM } else { HowTo::default() },
        bbox: args.bbox,
        ..Prompt::default()
    };
    if args.contour.is_some() {
        prompt.wanted = prompt.wanted | ItemSet::CONTOUR;
    }
    for p in &args.points {
        if prompt.points.push(point(p.x, p.y, p.foreground)).is_err() {
            return Err(Misuse(format!("a prompt has at most {} points", prompt.points.capacity())));
        }
    }
    Ok(prompt)
}

fn upload(client: &mut Client, image: &Path) -> Result<u32> {
    let name = image.display();
    let length = fs::metadata(image).with_context(|| format!("cannot read the photo {name}"))?.len();
    let limit = u64::from(client.caps().max_upload).min(MAX_FILE_BYTES);
    if !client.caps().features.contains(Features::UPLOAD) {
        bail!("the service takes no uploads: ask about a frame of its camera, without --image");
    }
    if length > limit {
        bail!("the photo {name} has {length} bytes, more than the {limit} that the service takes: make it smaller");
    }
    let bytes = fs::read(image).with_context(|| format!("cannot read the photo {name}"))?;
    let progress = Progress::on_stderr();
    progress.start("uploading");
    progress.expect(Some(bytes.len() as u64));
    let frame = client.upload(&bytes, (0, 0), Format::Picture, |sent| progress.at(sent.into()));
    progress.done();
    Ok(frame?)
}

/// Writes the mask and the picture with it.
fn draw(
    client: &mut Client,
    answer: &Answer,
    prompt: &Prompt,
    args: &PromptArgs,
    folder: &Path,
) -> Result<[PathBuf; 2]> {
    if answer.item(ItemKind::Rle).is_none() {
        bail!("the mask was left out for the budget, so there is nothing to draw: give --budget more bytes, or none");
    }
    let (stem, photo) = match &args.image {
        Some(image) => (image.file_stem().unwrap_or_default().to_string_lossy().into_owned(), Photo::open(image)?),
        None => (format!("frame-{}", answer.frame), frame_of(client, answer)?),
    };
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let model = client.caps().model.to_string();
    draw::write(folder, &stem, photo, answer, prompt, &model)
}

/// The picture of the frame that an answer is about.
fn frame_of(client: &mut Client, answer: &Answer) -> Result<Photo> {
    if !client.caps().features.contains(Features::PICTURE) {
        bail!("the service gives no pictures of its frames, so there is nothing to draw on: leave out --output");
    }
    let picture = client.picture(answer.frame, 0, 90)?;
    let bytes = picture.picture().context("the service gave no picture")?;
    Photo::decode(bytes).map_err(|fault| anyhow::anyhow!("the service's picture cannot be read: {fault}"))
}

fn track(client: &mut Client, prompt: &Prompt, args: &PromptArgs, out: &mut impl Write) -> Result<()> {
    let interrupt = Interrupt::new()?;
    interrupt.arm();
    let mut prompt = prompt.clone();
    if !args.json {
        // A line in words has no room for it.
        prompt.wanted = prompt.wanted.without(ItemSet::RLE);
    }
    let mut failed = Ok(());
    client.track(&prompt, Duration::from_millis(args.interval.into()), |tracked| {
        if let Tracked::Answer(answer) = tracked {
            failed = match args.json {
                true => writeln!(out, "{}", report::answer_json(answer)),
                false => report::line(out, answer),
            }
            .and_then(|()| out.flush());
        }
        match failed.is_err() || interrupt.is_pressed() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    })?;
    Ok(failed?)
}

fn repeat(client: &mut Client, prompt: &Prompt, times: u32, json: bool, out: &mut impl Write) -> Result<()> {
    let interrupt = Interrupt::new()?;
    interrupt.arm();
    let mut table = table::Table::default();
    for _ in 0..times {
        table.add(&client.prompt(prompt)?);
        if interrupt.is_pressed() {
            break;
        }
    }
    match json {
        true => print_json(out, &table.json(client)),
        false => Ok(table.text(out, client)?),
    }
}
