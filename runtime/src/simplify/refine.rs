//! Moving the corners that are left along the border that they came from.

use super::rings::{Corner, Rings};

/// How often all corners are looked at.
const ROUNDS: usize = 2;

/// Moves each corner to where the border is most like it was at first, a few times.
pub(super) fn refine(rings: &mut Rings) {
    let mut left: Vec<Corner> =
        (0..rings.rings.len()).flat_map(|ring| rings.corners(ring).collect::<Vec<_>>()).collect();
    for _ in 0..ROUNDS {
        let mut moved = false;
        for number in 0..left.len() {
            let corner = left[number];
            if let Some(to) = better(rings, corner)
                && rings.replace(corner, to, &left)
            {
                left[number] = to;
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
}

/// A better place for a corner: down the hill in steps that become smaller.
fn better(rings: &Rings, corner: Corner) -> Option<Corner> {
    let held = rings.held(corner);
    let (mut best, mut at) = ((corner, held), 0);
    let mut step = 8;
    while step > 0 {
        let tries = [at - step, at + step].map(|to| (to, rings.moved(corner, to)));
        let nearer =
            tries.into_iter().filter_map(|(to, moved)| Some((to, moved?))).min_by(|a, b| a.1.1.total_cmp(&b.1.1));
        match nearer {
            Some((to, moved)) if moved.1 < best.1 => (best, at) = (moved, to),
            _ => step /= 2,
        }
    }
    (best.0 != corner && best.1 < held * (1.0 - 1e-9)).then_some(best.0)
}
