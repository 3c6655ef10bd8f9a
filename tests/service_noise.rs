//! Over lines that flip, lose, double and reorder, every request is answered, and rightly.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cutout::client::{Client, Options, Prompt, point};
use cutout::transport::Endpoint;
use cutout_protocol::ItemSet;
use cutout_runtime::{CocoRle, PredictOptions, Predictor};
use cutout_tests::noise::{Noise, NoisyLine};
use cutout_tests::scene_photo;
use cutout_tests::service::{scene_settings, small_model, start, tcp_of};

/// Requests at each share of flipped bits; ten thousand in all.
const LINES: [(f64, usize); 3] = [(1e-5, 7000), (1e-4, 2700), (1e-3, 300)];
const CLIENTS: usize = 16;
const PLACES: usize = 12;

#[test]
fn ten_thousand_requests_over_bad_lines_are_answered_rightly() {
    let service = start(scene_settings(), small_model());
    let expected = expected();
    for (bit_errors, requests) in LINES {
        let noise = Noise { bit_errors, lost: 0.002, doubled: 0.002, late: 0.002, garbage: 0.002 };
        let line = NoisyLine::to(tcp_of(&service), noise, 0x5eed);
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    let mut client = connected(&line);
                    while let number @ 0.. = next.fetch_add(1, Ordering::Relaxed)
                        && number < requests
                    {
                        let (prompt, counts) = &expected[number % PLACES];
                        let answer = client.prompt(prompt).unwrap_or_else(|e| panic!("request {number}: {e}"));
                        assert_eq!(answer.coco_rle(), Some(counts.as_str()), "request {number} at {bit_errors}");
                    }
                });
            }
        });
        let damage = line.damage();
        let count = |what: &std::sync::atomic::AtomicU64| what.load(Ordering::Relaxed);
        assert!(count(&damage.packets) as usize >= 2 * requests);
        assert!(
            count(&damage.flipped) > 0 && count(&damage.lost) > 0 || requests < 1000,
            "the line was too good: {damage:?}"
        );
    }
}

/// Saying Hello may take several connections, where every third packet is damaged.
fn connected(line: &NoisyLine) -> Client {
    let options = Options {
        tries: 100,
        work: Duration::from_millis(700),
        patience: Duration::from_secs(20),
        ..Options::default()
    };
    Client::connect(&Endpoint::Tcp(line.address()), options).expect("in a hundred tries one is whole")
}

/// Prompts, and what the library says to them.
fn expected() -> Vec<(Prompt, String)> {
    let mut predictor = Predictor::new(small_model());
    predictor.set_image(&scene_photo().view()).unwrap();
    let places = (0..PLACES).map(|place| (80.0 + 70.0 * place as f32, 90.0 + 50.0 * place as f32));
    let answers = places.map(|(x, y)| {
        let mut prompt = Prompt { wanted: ItemSet::BBOX | ItemSet::COCO_RLE, ..Prompt::default() };
        prompt.points.extend([point(x, y, true)]);
        let asked = cutout_runtime::Prompt::new().with_point(x, y, true);
        let answer = predictor.predict(&asked, &PredictOptions { multimask: true }).unwrap();
        (prompt, CocoRle::encode(&answer.best().mask).counts)
    });
    let answers: Vec<_> = answers.collect();
    let different = answers.iter().filter(|(_, counts)| *counts != answers[0].1).count();
    assert!(different > PLACES / 2, "a mix-up of answers would not be seen");
    answers
}
