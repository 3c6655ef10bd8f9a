//! What needs no model: the figures that a model must beat.

use cutout_runtime::{LowResLogits, Mask, Prompt, Result, Run, ScoredMask, Size};

use super::segmenter::Segmenter;

/// Answers a box with the filled box, and anything else with the whole image: what is known without looking.
#[derive(Debug, Clone, Default)]
pub struct FilledBox {
    size: Option<Size>,
}

impl Segmenter for FilledBox {
    fn set_image(&mut self, _rgb: &[u8], size: Size) -> Result<()> {
        self.size = Some(size);
        Ok(())
    }

    fn predict(&mut self, prompts: &[Prompt], multimask: bool) -> Result<Vec<Vec<ScoredMask>>> {
        let size = self.size.unwrap_or(Size { width: 0, height: 0 });
        prompts.iter().map(|prompt| Ok(vec![fill(prompt, size)?; if multimask { 3 } else { 1 }])).collect()
    }
}

/// The pixels whose centres lie inside the prompt's box.
fn fill(prompt: &Prompt, size: Size) -> Result<ScoredMask> {
    let edge = |v: f32, limit: usize| (v.round().max(0.0) as usize).min(limit);
    let (columns, rows) = match &prompt.bbox {
        Some(b) => (edge(b.x0, size.width)..edge(b.x1, size.width), edge(b.y0, size.height)..edge(b.y1, size.height)),
        None => (0..size.width, 0..size.height),
    };
    let runs = if columns.is_empty() {
        Vec::new()
    } else {
        rows.map(|y| Run { y: y as u32, x: columns.start as u32, len: columns.len() as u32 }).collect()
    };
    Ok(ScoredMask {
        mask: Mask::from_runs(size, runs)?,
        predicted_iou: 0.0,
        stability_score: 1.0,
        low_res_logits: LowResLogits { height: 0, width: 0, values: Vec::new() },
    })
}
