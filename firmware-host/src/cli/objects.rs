//! Which objects of a folder of annotated images a command looks at.

use clap::Args;
use cutout_quantize::eval::Selection;

/// Which objects.
#[derive(Args, Clone, Debug)]
pub(super) struct Objects {
    /// Which split of the annotations to take
    #[arg(long, value_name = "NAME", default_value = "heldout")]
    split: String,
    /// Only these sources, by the names of their folders; may be repeated
    #[arg(long, value_name = "NAME", num_args = 1..)]
    source: Vec<String>,
    /// At most N objects of each source, drawn at random but always the same ones for a seed; 0 for all
    #[arg(long, value_name = "N", default_value_t = 0)]
    limit: usize,
    /// Seed of the draw
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

impl From<Objects> for Selection {
    fn from(Objects { split, source, limit, seed }: Objects) -> Self {
        Selection { split, sources: source, limit: (limit > 0).then_some(limit), seed }
    }
}
