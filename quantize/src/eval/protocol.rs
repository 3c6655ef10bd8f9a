//! The protocol: what each object is asked, and how the answers score.
//!
//! Every score is the IoU of the answer with the object's mask, at the image's own size. Coordinates are image pixels;
//! a point is the index of a pixel, without the half pixel to its centre, which the prompt encoder adds itself
//! (Kirillov et al., "Segment Anything", 2023, and the official code).
//!
//! * `box`: prompt is the exact box of the mask, `x, y, x + w, y + h`; the single mask (token 0) answers.
//! * `point_best`, `point_chosen`: prompt is the point deepest inside the mask ([`deepest_point`]); of the three masks
//!   the one that is truly best, and the one of highest predicted IoU (the first where several are highest).
//! * `clicks3`, `clicks5`: the first click is that point, answered by the chosen one of three. Then the pixels missed
//!   (in the mask, not in the answer) and the pixels too many (in the answer, not in the mask) are counted; the next
//!   click goes to the point deepest inside the larger of the two sets, missed pixels winning a tie: a foreground click
//!   on missed pixels, a background click on pixels too many. All clicks so far and the low-resolution logits of the
//!   answer at hand make the next prompt; the single mask answers. An answer without error is kept as it is. Scored
//!   after the third and the fifth click.

use cutout_runtime::{BBox, Error, ErrorKind, LowResLogits, Mask, Prompt, Result, ScoredMask};
use serde::Serialize;

use super::distance::{deepest_pixel, deepest_point};
use super::segmenter::Segmenter;

/// Objects asked about at a time: they go through the protocol in step, so that a model can answer them in one run.
const BATCH: usize = 16;
const CLICKS: usize = 5;

/// IoUs by the ways of prompting, 0 to 1: of one object, or means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Scores {
    /// From the exact box.
    #[serde(rename = "box")]
    pub bbox: f64,
    /// From one point, the truly best of three masks.
    pub point_best: f64,
    /// From one point, the mask of highest predicted IoU of three.
    pub point_chosen: f64,
    /// After three corrective clicks.
    pub clicks3: f64,
    /// After five corrective clicks.
    pub clicks5: f64,
}

impl Scores {
    /// The names of the fields as the reports write them, in order.
    pub const NAMES: [&str; 5] = ["box", "point_best", "point_chosen", "clicks3", "clicks5"];

    /// The fields in order.
    pub fn to_array(self) -> [f64; 5] {
        [self.bbox, self.point_best, self.point_chosen, self.clicks3, self.clicks5]
    }

    /// The fields from their order.
    pub fn from_array([bbox, point_best, point_chosen, clicks3, clicks5]: [f64; 5]) -> Self {
        Self { bbox, point_best, point_chosen, clicks3, clicks5 }
    }
}

/// Scores objects of the image that `segmenter` holds; `objects` are masks of that image's size with at least one pixel
/// each.
///
/// # Errors
/// Those of the segmenter; kind `InvalidPrompt` where a mask is empty; kind `Engine` where the segmenter answers with
/// another number of masks than it must, or kind `InvalidImage` where its masks have another size.
pub fn score_objects(segmenter: &mut impl Segmenter, objects: &[Mask]) -> Result<Vec<Scores>> {
    let mut scores = Vec::with_capacity(objects.len());
    for batch in objects.chunks(BATCH) {
        scores.extend(score_batch(segmenter, batch)?);
    }
    Ok(scores)
}

/// The clicks on one object and the answer that they gave.
struct Dialogue<'a> {
    object: &'a Mask,
    clicks: Vec<(usize, usize, bool)>,
    answer: Mask,
    logits: LowResLogits,
}

fn score_batch(segmenter: &mut impl Segmenter, objects: &[Mask]) -> Result<Vec<Scores>> {
    let boxes = objects.iter().map(|o| Ok(Prompt::new().with_box(exact_box(o)?))).collect::<Result<Vec<_>>>()?;
    let mut scores = Vec::with_capacity(objects.len());
    for ([answer], object) in ask::<1>(segmenter, &boxes)?.into_iter().zip(objects) {
        scores.push(Scores { bbox: answer.mask.iou(object)?, ..Scores::default() });
    }

    let first = objects.iter().map(|o| deepest_point(o).ok_or_else(empty)).collect::<Result<Vec<_>>>()?;
    let prompts: Vec<Prompt> = first.iter().map(|&(x, y)| point_prompt(&[(x, y, true)])).collect();
    let mut dialogues = Vec::with_capacity(objects.len());
    for (i, three) in ask::<3>(segmenter, &prompts)?.into_iter().enumerate() {
        let mut best = 0.0_f64;
        for answer in &three {
            best = best.max(answer.mask.iou(&objects[i])?);
        }
        let chosen = highest_predicted(three);
        scores[i].point_best = best;
        scores[i].point_chosen = chosen.mask.iou(&objects[i])?;
        dialogues.push(Dialogue {
            object: &objects[i],
            clicks: vec![(first[i].0, first[i].1, true)],
            answer: chosen.mask,
            logits: chosen.low_res_logits,
        });
    }

    for click in 2..=CLICKS {
        correct(segmenter, &mut dialogues)?;
        for (dialogue, scores) in dialogues.iter().zip(&mut scores) {
            match click {
                3 => scores.clicks3 = dialogue.answer.iou(dialogue.object)?,
                5 => scores.clicks5 = dialogue.answer.iou(dialogue.object)?,
                _ => {}
            }
        }
    }
    Ok(scores)
}

/// One corrective click on every object whose answer is not yet perfect.
fn correct(segmenter: &mut impl Segmenter, dialogues: &mut [Dialogue<'_>]) -> Result<()> {
    let (mut open, mut prompts) = (Vec::new(), Vec::new());
    for dialogue in dialogues {
        let Some(click) = correction(dialogue.object, &dialogue.answer) else { continue };
        dialogue.clicks.push(click);
        prompts.push(point_prompt(&dialogue.clicks).with_mask(dialogue.logits.clone()));
        open.push(dialogue);
    }
    for (dialogue, [answer]) in open.into_iter().zip(ask::<1>(segmenter, &prompts)?) {
        dialogue.answer = answer.mask;
        dialogue.logits = answer.low_res_logits;
    }
    Ok(())
}

/// The next click (x, y, foreground) on an answer: deepest inside the larger of the missed and the superfluous pixels;
/// `None` where there are neither. Masks of different sizes are compared where both have pixels in row-major order.
pub fn correction(object: &Mask, answer: &Mask) -> Option<(usize, usize, bool)> {
    let (truth, got) = (object.to_bools(), answer.to_bools());
    let pixels = || truth.iter().zip(&got);
    let missed = pixels().filter(|&(&t, &g)| t && !g).count();
    let extra = pixels().filter(|&(&t, &g)| g && !t).count();
    let foreground = missed >= extra;
    let region: Vec<bool> = pixels().map(|(&t, &g)| t != g && t == foreground).collect();
    deepest_pixel(object.size(), &region).map(|(x, y)| (x, y, foreground))
}

/// The prompts' answers, `N` masks each (1 or 3).
fn ask<const N: usize>(segmenter: &mut impl Segmenter, prompts: &[Prompt]) -> Result<Vec<[ScoredMask; N]>> {
    if prompts.is_empty() {
        return Ok(Vec::new());
    }
    let contract = |what: String| Error::new(ErrorKind::Engine, what);
    let answers = segmenter.predict(prompts, N > 1)?;
    if answers.len() != prompts.len() {
        return Err(contract(format!("{} prompts had {} answers", prompts.len(), answers.len())));
    }
    answers
        .into_iter()
        .map(|masks| masks.try_into().map_err(|m: Vec<_>| contract(format!("a prompt had {} masks, not {N}", m.len()))))
        .collect()
}

/// The mask of highest predicted IoU, the first of equals; one that is not a number never wins over one that is.
fn highest_predicted(three: [ScoredMask; 3]) -> ScoredMask {
    let score = |m: &ScoredMask| if m.predicted_iou.is_nan() { f32::NEG_INFINITY } else { m.predicted_iou };
    let [first, second, third] = three;
    [second, third].into_iter().fold(first, |best, m| if score(&m) > score(&best) { m } else { best })
}

pub(super) fn exact_box(object: &Mask) -> Result<BBox> {
    let (x, y, w, h) = object.bbox().ok_or_else(empty)?;
    Ok(BBox { x0: x as f32, y0: y as f32, x1: (x + w) as f32, y1: (y + h) as f32 })
}

fn point_prompt(clicks: &[(usize, usize, bool)]) -> Prompt {
    clicks.iter().fold(Prompt::new(), |prompt, &(x, y, foreground)| prompt.with_point(x as f32, y as f32, foreground))
}

fn empty() -> Error {
    Error::new(ErrorKind::InvalidPrompt, "an object without pixels cannot be asked about")
}

#[cfg(test)]
mod tests {
    use cutout_runtime::{PointLabel, Size};

    use super::super::testing::{answer, rectangle};
    use super::*;

    const SIZE: Size = Size { width: 20, height: 10 };

    /// Answers from a list, whatever it is asked, and remembers what that was.
    struct Scripted {
        answers: Vec<Vec<ScoredMask>>,
        asked: Vec<(Prompt, bool)>,
    }

    impl Segmenter for Scripted {
        fn set_image(&mut self, _rgb: &[u8], _size: Size) -> Result<()> {
            Ok(())
        }

        fn predict(&mut self, prompts: &[Prompt], multimask: bool) -> Result<Vec<Vec<ScoredMask>>> {
            self.asked.extend(prompts.iter().map(|p| (p.clone(), multimask)));
            Ok(vec![self.answers.remove(0)])
        }
    }

    fn clicks(prompt: &Prompt) -> Vec<(f32, f32, bool)> {
        prompt.points.iter().map(|(p, label)| (p.x, p.y, *label == PointLabel::Foreground)).collect()
    }

    /// The object is 8x5 pixels at (2, 2). Every answer is a rectangle, so the IoUs and the deepest points are plain
    /// arithmetic.
    #[test]
    fn a_whole_dialogue_by_hand() {
        let object = rectangle(SIZE, 2, 2, 8, 5);
        let mut segmenter = Scripted {
            answers: vec![
                vec![answer(rectangle(SIZE, 2, 2, 4, 5), 0.9)],
                // Of three the first is best (30 of 40), the second chosen: 40 of 40 + 20 too many.
                vec![
                    answer(rectangle(SIZE, 2, 2, 6, 5), 0.2),
                    answer(rectangle(SIZE, 2, 2, 12, 5), 0.8),
                    answer(rectangle(SIZE, 2, 2, 1, 1), 0.8),
                ],
                // Then 25 missed, then 5 missed and 5 too many, then 5 missed again, then perfect.
                vec![answer(rectangle(SIZE, 2, 2, 3, 5), 0.3)],
                vec![answer(rectangle(SIZE, 3, 2, 8, 5), 0.4)],
                vec![answer(rectangle(SIZE, 2, 2, 7, 5), 0.6)],
                vec![answer(object.clone(), 0.7)],
            ],
            asked: vec![],
        };
        let [scores] = score_objects(&mut segmenter, &[object]).unwrap()[..] else { panic!("one object, one row") };
        assert_eq!(scores.bbox, 20.0 / 40.0);
        assert_eq!(scores.point_best, 30.0 / 40.0);
        assert_eq!(scores.point_chosen, 40.0 / 60.0);
        assert_eq!(scores.clicks3, 35.0 / 45.0);
        assert_eq!(scores.clicks5, 1.0);

        let asked = &segmenter.asked;
        assert_eq!(
            asked.iter().map(|(_, multimask)| *multimask).collect::<Vec<_>>(),
            [false, true, false, false, false, false]
        );
        assert_eq!(asked[0].0.bbox, Some(BBox { x0: 2.0, y0: 2.0, x1: 10.0, y1: 7.0 }));
        assert!(asked[1..].iter().all(|(p, _)| p.bbox.is_none()));
        // Row 4 is the object's middle row; columns 4 to 7 are three deep.
        let first = (4.0, 4.0, true);
        assert_eq!(clicks(&asked[1].0), [first]);
        // Too many: columns 10 to 13; columns 11 and 12 are two deep, in rows 3, 4 and 5.
        let second = (11.0, 3.0, false);
        assert_eq!(clicks(&asked[2].0), [first, second]);
        // Missed: columns 5 to 9, rows 2 to 6: its middle.
        let third = (7.0, 4.0, true);
        assert_eq!(clicks(&asked[3].0), [first, second, third]);
        // A tie of five pixels each: missed ones first, column 2, all one deep.
        let fourth = (2.0, 2.0, true);
        assert_eq!(clicks(&asked[4].0), [first, second, third, fourth]);
        assert_eq!(clicks(&asked[5].0), [first, second, third, fourth, (9.0, 2.0, true)]);
        // Every answer's logits go into the next prompt.
        let fed: Vec<Option<f32>> = asked.iter().map(|(p, _)| p.mask.as_ref().map(|m| m.values[0])).collect();
        assert_eq!(fed, [None, None, Some(0.8), Some(0.3), Some(0.4), Some(0.6)]);
    }

    #[test]
    fn a_perfect_answer_is_kept_and_nothing_more_is_asked() {
        let object = rectangle(SIZE, 0, 0, 20, 10);
        let mut segmenter = Scripted {
            answers: vec![vec![answer(object.clone(), 0.1)], vec![answer(object.clone(), f32::NAN); 3]],
            asked: vec![],
        };
        let scores = score_objects(&mut segmenter, &[object]).unwrap();
        assert_eq!(scores, [Scores::from_array([1.0; 5])]);
        assert_eq!(segmenter.asked.len(), 2);
    }

    #[test]
    fn a_broken_contract_is_an_error() {
        let object = rectangle(SIZE, 2, 2, 8, 5);
        let single = vec![answer(object.clone(), 0.1)];
        let mut two = Scripted { answers: vec![single.clone(), vec![single[0].clone(); 2]], asked: vec![] };
        assert_eq!(score_objects(&mut two, std::slice::from_ref(&object)).unwrap_err().kind(), ErrorKind::Engine);
        let other = Size { width: 10, height: 20 };
        let mut wrong = Scripted { answers: vec![vec![answer(rectangle(other, 0, 0, 1, 1), 0.1)]], asked: vec![] };
        assert_eq!(score_objects(&mut wrong, &[object]).unwrap_err().kind(), ErrorKind::InvalidImage);
        let empty = Mask::from_runs(SIZE, vec![]).unwrap();
        let mut none = Scripted { answers: vec![], asked: vec![] };
        assert_eq!(score_objects(&mut none, &[empty]).unwrap_err().kind(), ErrorKind::InvalidPrompt);
    }

    #[test]
    fn a_prediction_that_is_not_a_number_never_wins() {
        let of = |predicted: [f32; 3]| {
            highest_predicted(predicted.map(|p| answer(rectangle(SIZE, 0, 0, 1, 1), p))).predicted_iou
        };
        assert_eq!(of([f32::NAN, 0.3, f32::NAN]), 0.3);
        assert_eq!(of([0.1, f32::NAN, 0.2]), 0.2);
        assert_eq!(of([-3.0, -2.0, -2.5]), -2.0);
    }
}
