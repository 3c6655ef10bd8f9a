//! Taking corners away, the one that is missed least first, until few enough are left.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use super::rings::{Corner, Rings};

/// Rings that can be given up only together: a part of a mask and its holes, or a hole and what lies in it.
#[derive(Debug, Clone)]
pub(super) struct Family {
    /// Its rings; without the first of them, there is no family any more.
    pub(super) rings: Vec<usize>,
    /// Pixels that are wrong without it.
    pub(super) price: f64,
    /// Pixels of those that are wrong already, since a family within it was given up.
    pub(super) paid: f64,
    /// The family that it lies in.
    pub(super) parent: Option<usize>,
    /// Whether it is a part of the mask, of which one must stay.
    pub(super) is_part: bool,
}

impl Family {
    fn is_left(&self, rings: &Rings) -> bool {
        self.rings.first().is_some_and(|&ring| rings.rings[ring].left > 0)
    }

    /// What giving it up costs for each corner that is gained of those that are needed.
    fn cost(&self, rings: &Rings, needed: usize) -> f64 {
        let (mut error, mut left) = (self.paid, 0);
        for ring in self.rings.iter().map(|&ring| &rings.rings[ring]) {
            error += ring.error;
            left += ring.left;
        }
        (self.price - error) / left.min(needed).max(1) as f64
    }
}

/// Something that can be given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// A corner, if nothing around it has changed since: its version.
    Corner(Corner, u32),
    Family(usize),
}

/// An offer; the cheapest is the greatest.
struct Offer {
    cost: f64,
    what: What,
}

impl Ord for Offer {
    fn cmp(&self, other: &Self) -> Ordering {
        other.cost.total_cmp(&self.cost).then(other.what.cmp(&self.what))
    }
}

impl PartialOrd for Offer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Offer {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Offer {}

/// Offers, and what they are about.
struct Market<'a> {
    rings: &'a mut Rings,
    families: &'a mut [Family],
    offers: BinaryHeap<Offer>,
    versions: Vec<u32>,
    /// Corners that can be taken away at the earliest when another is gone.
    waiting: HashMap<Corner, Vec<Corner>>,
    /// Corners that were taken away, and between which others.
    taken: Vec<(Corner, [Corner; 2])>,
}

/// Takes corners and families away until at most so many corners are left. Says whether that could be done without borders that
/// cross.
pub(super) fn reduce(rings: &mut Rings, families: &mut [Family], most: usize) -> bool {
    let versions = vec![0; rings.left];
    let mut market =
        Market { rings, families, offers: BinaryHeap::new(), versions, waiting: HashMap::new(), taken: Vec::new() };
    if market.rings.left > most {
        market.open(most);
    }
    while market.rings.left > most {
        let Some(Offer { cost, what }) = market.offers.pop() else { return false };
        match what {
            What::Corner(corner, version) => market.take(corner, version),
            What::Family(family) => market.give_up(family, cost, most),
        }
    }
    // Giving up a family may leave more than was needed: what was taken last is given back.
    while market.rings.left < most
        && let Some((corner, around)) = market.taken.pop()
    {
        if market.rings.ring(corner).left > 0 {
            market.rings.restore(corner, around);
        }
    }
    true
}

impl Market<'_> {
    fn open(&mut self, most: usize) {
        let corner = |corner| Offer { cost: self.rings.cost(corner), what: What::Corner(corner, 0) };
        let needed = self.rings.left - most;
        let family = |(number, family): (usize, &Family)| Offer {
            cost: family.cost(self.rings, needed),
            what: What::Family(number),
        };
        let families = self.families.iter().enumerate().map(family);
        self.offers = (0..self.versions.len()).map(corner).chain(families).collect();
    }

    fn take(&mut self, corner: Corner, version: u32) {
        if self.versions[corner] != version || !self.rings.is_left(corner) || self.rings.ring(corner).left <= 3 {
            return;
        }
        if let Some(other) = self.rings.forbids(corner) {
            self.waiting.entry(other).or_default().push(corner);
            return;
        }
        let around = self.rings.around(corner);
        self.rings.remove(corner);
        self.taken.push((corner, around));
        around.into_iter().for_each(|corner| self.offer(corner));
        self.is_gone(corner);
    }

    /// Offers a corner at what it costs now.
    fn offer(&mut self, corner: Corner) {
        if self.rings.is_left(corner) {
            self.versions[corner] += 1;
            self.offers
                .push(Offer { cost: self.rings.cost(corner), what: What::Corner(corner, self.versions[corner]) });
        }
    }

    fn is_gone(&mut self, corner: Corner) {
        for waiting in self.waiting.remove(&corner).unwrap_or_default() {
            self.offer(waiting);
        }
    }

    fn give_up(&mut self, number: usize, offered: f64, most: usize) {
        let family = &self.families[number];
        if !family.is_left(self.rings) {
            return;
        }
        let parts = self.families.iter().filter(|family| family.is_part && family.is_left(self.rings));
        if family.is_part && parts.count() <= 1 {
            return;
        }
        // Its corners have become fewer since, and what they give worse.
        let cost = family.cost(self.rings, self.rings.left.saturating_sub(most));
        if cost > offered && self.offers.peek().is_some_and(|next| next.cost < cost) {
            self.offers.push(Offer { cost, what: What::Family(number) });
            return;
        }
        let (members, parent, price) = (family.rings.clone(), family.parent, family.price);
        for ring in members {
            for corner in self.rings.give_up(ring) {
                self.is_gone(corner);
            }
        }
        if let Some(parent) = parent {
            self.families[parent].paid += price;
            let cost = self.families[parent].cost(self.rings, self.rings.left.saturating_sub(most));
            self.offers.push(Offer { cost, what: What::Family(parent) });
        }
    }
}
