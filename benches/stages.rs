//! What does each stage of an answer cost, with one thread and with two, by our own operators and by tract?
//!
//! `cargo bench -p cutout-benches --bench stages [-- ROUNDS]`
#![allow(clippy::print_stdout, reason = "a bench's result is its output")]

use std::error::Error;

use cutout_benches::{Case, interleave, print};
use cutout_models::Bundle;
use cutout_runtime::engine::Operators;
use cutout_runtime::{
    ImageView, InputShape, Model, ModelOptions, PredictOptions, Predictor, Preprocessor, Prompt, Size,
};

/// The size of the picture that is segmented, in pixels: that of a common camera stream.
const PICTURE: Size = Size { width: 1280, height: 720 };

fn main() -> Result<(), Box<dyn Error>> {
    // Cargo passes `--bench`; what is a number is ours.
    let rounds = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(15);
    let pixels: Vec<u8> = (0..PICTURE.pixels() * 3).map(|i| ((i * 2_654_435_761) >> 13) as u8).collect();
    let image = ImageView::rgb8(&pixels, PICTURE)?;
    let prompt = Prompt::new().with_point(640.0, 360.0, true);
    for side in [384, 512, 1024] {
        let input = InputShape::Fit(side);
        let load = |threads, operators| {
            Model::load(
                Bundle::shipped()?,
                ModelOptions { input: Some(input), threads, operators, ..ModelOptions::default() },
            )
        };
        let own = Operators::default();
        let models = [
            (own, load(1, own)?),
            (Operators::Tract, load(1, Operators::Tract)?),
            (own, load(2, own)?),
            (Operators::Tract, load(2, Operators::Tract)?),
        ];
        let mut cases = Vec::new();
        for (operators, model) in &models {
            let threads = format!("{operators}, {} thread", model.threads().count());
            let mut encoding = Predictor::new(model.clone());
            encoding.set_image(&image)?;
            let mut prompting = Predictor::new(model.clone());
            prompting.set_image(&image)?;
            let input = model.input_for(PICTURE);
            let mut preprocessor = Preprocessor::new(Size::new(input.width, input.height), model.normalization());
            let mut buffer = Vec::new();
            cases.push(Case {
                name: format!("preprocess and encode, {threads}"),
                run: Box::new(move || drop(encoding.set_image(&image))),
            });
            cases.push(Case {
                name: format!("preprocess alone, {threads}"),
                run: Box::new(move || drop(model.threads().install(|| preprocessor.run(&image, &mut buffer)))),
            });
            let prompt = &prompt;
            cases.push(Case {
                name: format!("prompt to mask, {threads}"),
                run: Box::new(move || drop(prompting.predict(prompt, &PredictOptions::default()))),
            });
        }
        let times = interleave(&mut cases, rounds);
        println!("\n{} at {}, picture {PICTURE}, {rounds} rounds", models[0].1.id(), models[0].1.input_for(PICTURE));
        print(&cases, &times);
    }
    Ok(())
}
