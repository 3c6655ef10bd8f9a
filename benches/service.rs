//! What does the service add to a call of the library? And how long does a mask of 500 bytes take over a cable of 115200 baud?
//!
//! `cargo bench -p cutout-benches --bench service [-- PROMPTS]`
//!
//! What is added is, for each request, the time from asking to having the whole answer, without what the service spent on the mask
//! decoder and on post-processing. It holds two ways through the system, the queue and the protocol at both ends.
#![allow(clippy::print_stdout, reason = "a bench's result is its output")]

use std::error::Error;
use std::time::{Duration, Instant};

use cutout::client::{Answer, Client, Options, Prompt, point};
use cutout::photo::Photo;
use cutout::service::Service;
use cutout::service::settings::Settings;
use cutout::transport::{Endpoint, Stop};
use cutout_benches::cpu;
use cutout_models::Bundle;
use cutout_protocol::ItemSet;
use cutout_protocol::timing::transfer_us;
use cutout_runtime::{Model, ModelOptions, PredictOptions, Predictor};
use cutout_tests::scene_path;
use cutout_tests::serial::SerialLine;

const BAUD: u32 = 115_200;

fn main() -> Result<(), Box<dyn Error>> {
    // Cargo passes `--bench`; what is a number is ours.
    let prompts = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(2000);
    println!("cpu: {}", cpu());
    let folder = tempfile::tempdir()?;
    let line = SerialLine::new(BAUD);
    let local = || vec!["127.0.0.1:0".to_owned()];
    let settings = Settings {
        serial: vec![format!("{}:{BAUD}", line.service().display())],
        tcp: local(),
        unix: vec![folder.path().join("socket").display().to_string()],
        udp: local(),
        ws: local(),
        source: Some(scene_path().parent().ok_or("a folder")?.display().to_string()),
        ..Settings::default()
    };
    let service = Service::start(&settings.plan(None)?, model()?, Stop::new()?)?;
    added(&service, prompts)?;
    cable(&line)?;
    Ok(())
}

fn model() -> Result<Model, Box<dyn Error>> {
    Ok(Model::load(Bundle::shipped()?, ModelOptions::default())?)
}

fn asked(x: f32, y: f32, wanted: ItemSet) -> Prompt {
    let mut prompt = Prompt { wanted, ..Prompt::default() };
    prompt.points.extend([point(x, y, true)]);
    prompt
}

/// Prints milliseconds at the 50th, 90th and 99th percentile, and the most.
fn row(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("{name:44} {:9.3} {:9.3} {:9.3} {:9.3}", at(0.5), at(0.9), at(0.99), at(1.0));
}

fn added(service: &Service, prompts: usize) -> Result<(), Box<dyn Error>> {
    let photo = Photo::open(&scene_path())?;
    let mut predictor = Predictor::new(model()?);
    predictor.set_image(&photo.view())?;
    println!("\n{prompts} prompts about a frame that is encoded, each; milliseconds");
    println!("{:44} {:>9} {:>9} {:>9} {:>9}", "", "p50", "p90", "p99", "most");
    for endpoint in service.endpoints().iter().filter(|endpoint| !matches!(endpoint, Endpoint::Serial { .. })) {
        let mut client = Client::connect(endpoint, Options::default())?;
        let (mut library, mut whole, mut over) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..prompts + 20 {
            let (x, y) = (80.0 + (number % 40) as f32 * 20.0, 90.0 + (number % 27) as f32 * 20.0);
            let start = Instant::now();
            predictor
                .predict(&cutout_runtime::Prompt::new().with_point(x, y, true), &PredictOptions { multimask: true })?;
            let call = start.elapsed();
            let answer = client.prompt(&asked(x, y, ItemSet::BBOX | ItemSet::RLE))?;
            // Until caches and clocks have settled.
            if number >= 20 {
                library.push(call);
                whole.push(answer.round_trip);
                over.push(answer.round_trip.saturating_sub(answer.stages.decode + answer.stages.postprocess));
            }
        }
        let kind = endpoint.kind();
        row("the library's call", library);
        row(&format!("the service's answer, {kind}"), whole);
        row(&format!("added by the service, {kind}"), over);
    }
    Ok(())
}

/// From the mask being ready to the client having it, over an emulated cable.
fn cable(line: &SerialLine) -> Result<(), Box<dyn Error>> {
    let endpoint = Endpoint::Serial { path: line.client().into(), baud: BAUD, rts_cts: false };
    let mut client = Client::connect(&endpoint, Options::default())?;
    let mut nearest: Option<(usize, Prompt)> = None;
    for number in 0..22 {
        let prompt = asked(60.0 + 40.0 * number as f32, 500.0, ItemSet::RLE);
        let bytes = client.prompt(&prompt)?.item(cutout_protocol::ItemKind::Rle).map_or(0, <[u8]>::len);
        if nearest.as_ref().is_none_or(|(known, _)| bytes.abs_diff(500) < known.abs_diff(500)) {
            nearest = Some((bytes, prompt));
        }
    }
    let (bytes, prompt) = nearest.ok_or("no mask")?;
    let mut times = Vec::new();
    let mut on_the_wire = 0;
    for _ in 0..60 {
        let answer: Answer = client.prompt(&prompt)?;
        on_the_wire = answer.received;
        let there = Duration::from_micros(transfer_us(answer.sent as usize, BAUD));
        times.push(answer.round_trip.saturating_sub(there + answer.stages.total()));
    }
    println!(
        "\na mask of {bytes} bytes, {on_the_wire} on the wire, over an emulated cable of {BAUD} baud; milliseconds from the mask being ready"
    );
    println!("{:44} {:>9} {:>9} {:>9} {:>9}", "", "p50", "p90", "p99", "most");
    row("to the client having it", times);
    row("of these, the cable's own", vec![Duration::from_micros(transfer_us(on_the_wire as usize, BAUD))]);
    Ok(())
}
