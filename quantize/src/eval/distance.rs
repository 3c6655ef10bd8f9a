//! Exact Euclidean distance transform, and the pixel deepest inside a region.
//!
//! Felzenszwalb and Huttenlocher, "Distance transforms of sampled functions" (2012): a pass down the columns, then the
//! lower envelope of parabolas along each row, O(pixels) in all. Everything is integer arithmetic, so the squared
//! distances are exact and ties are real ties. What lies outside the image is background.

use cutout_runtime::{Mask, Size};

/// Squared distance of every pixel to the nearest background pixel, centre to centre, in pixels squared: 0 on the
/// background itself. Pixels outside the image count as background, so the largest value is bounded by half of the
/// image's shorter side, and a region without any background inside still has a centre.
///
/// `inside` is row-major, `size.width * size.height` long; a slice of another length is read as background where it
/// ends.
pub fn squared_distances(size: Size, inside: &[bool]) -> Vec<u32> {
    let (w, h) = (size.width, size.height);
    let mut out: Vec<u32> = inside.iter().copied().chain(std::iter::repeat(false)).take(w * h).map(u32::from).collect();
    // Down and up the columns: the distance to the nearest background above or below, the rows just outside being
    // background.
    for y in 1..h {
        let (above, row) = out.split_at_mut(y * w);
        for (d, up) in row[..w].iter_mut().zip(&above[(y - 1) * w..]) {
            *d = if *d == 0 { 0 } else { up + 1 };
        }
    }
    if let Some(last) = h.checked_sub(1) {
        out[last * w..].iter_mut().for_each(|d| *d = (*d).min(1));
    }
    for y in (1..h).rev() {
        let (row, below) = out.split_at_mut(y * w);
        for (d, down) in row[(y - 1) * w..].iter_mut().zip(&below[..w]) {
            *d = (*d).min(down + 1);
        }
    }
    let mut envelope = Envelope::default();
    for row in out.chunks_exact_mut(w.max(1)) {
        // What lies beyond the nearest background of a row is never nearer: stretches between background stand alone.
        row.split_mut(|&d| d == 0).filter(|stretch| !stretch.is_empty()).for_each(|stretch| envelope.run(stretch));
    }
    out
}

/// The pixel (x, y) of `mask` farthest from everything outside it; the first in row-major order where several are
/// equally deep. `None` for an empty mask.
pub fn deepest_point(mask: &Mask) -> Option<(usize, usize)> {
    deepest_pixel(mask.size(), &mask.to_bools())
}

/// [`deepest_point`] of a row-major bitmap.
pub fn deepest_pixel(size: Size, inside: &[bool]) -> Option<(usize, usize)> {
    // Around the region's bounding box everything is background, as around an image: the crop has the same distances.
    let rows = || inside.chunks_exact(size.width.max(1)).take(size.height);
    let top = rows().position(|row| row.contains(&true))?;
    let bottom = rows().rposition(|row| row.contains(&true))?;
    let (mut left, mut right) = (size.width, 0);
    for row in rows() {
        if let (Some(a), Some(b)) = (row.iter().position(|&v| v), row.iter().rposition(|&v| v)) {
            (left, right) = (left.min(a), right.max(b));
        }
    }
    let crop: Vec<bool> = rows().skip(top).take(bottom + 1 - top).flat_map(|row| &row[left..=right]).copied().collect();
    let cropped = Size { width: right + 1 - left, height: bottom + 1 - top };
    let distances = squared_distances(cropped, &crop);
    let deepest = *distances.iter().max()?;
    let at = distances.iter().position(|&d| d == deepest)?;
    Some((left + at % cropped.width, top + at / cropped.width))
}

/// The lower envelope of the parabolas `(x - site)^2 + height(site)` over a stretch of one row.
#[derive(Default)]
struct Envelope {
    /// Sites of the parabolas on the envelope, left to right, with their heights; the columns just outside the stretch
    /// are sites of height 0.
    sites: Vec<(i64, i64)>,
    /// The first column in which each of them is the lowest.
    starts: Vec<i64>,
}

impl Envelope {
    /// Turns a stretch of column distances, background or the image's edge at both ends, into one of squared distances,
    /// in place.
    fn run(&mut self, stretch: &mut [u32]) {
        let width = stretch.len() as i64;
        self.sites.clear();
        self.starts.clear();
        self.sites.push((-1, 0));
        self.starts.push(-1);
        let own = stretch.iter().zip(0..).map(|(&d, x)| (x, i64::from(d) * i64::from(d)));
        for (x, height) in own.chain([(width, 0)]) {
            // The site at -1 always stays: a later parabola overtakes it at column 0 at the earliest.
            while let (Some(&(site, low)), Some(&start)) = (self.sites.last(), self.starts.last()) {
                // The later parabola is strictly lower from the first integer beyond the crossing.
                let crossing = (x * x + height - site * site - low).div_euclid(2 * (x - site));
                if crossing + 1 > start {
                    self.sites.push((x, height));
                    self.starts.push(crossing + 1);
                    break;
                }
                self.sites.pop();
                self.starts.pop();
            }
        }
        let mut k = 0;
        for (value, x) in stretch.iter_mut().zip(0..) {
            while self.starts.get(k + 1).is_some_and(|&start| start <= x) {
                k += 1;
            }
            let (site, height) = self.sites[k];
            *value = u32::try_from((x - site) * (x - site) + height).unwrap_or(u32::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rng::SplitMix64;
    use super::*;

    /// By definition: the least squared distance to any background pixel of the image or of the ring around it.
    fn brute_force(size: Size, inside: &[bool]) -> Vec<u32> {
        let (w, h) = (size.width as i64, size.height as i64);
        let background = |x: i64, y: i64| x < 0 || y < 0 || x >= w || y >= h || !inside[(y * w + x) as usize];
        let mut out = Vec::new();
        for y in 0..h {
            for x in 0..w {
                let mut best = i64::MAX;
                for v in -1..=h {
                    for u in -1..=w {
                        if background(u, v) {
                            best = best.min((u - x) * (u - x) + (v - y) * (v - y));
                        }
                    }
                }
                out.push(best as u32);
            }
        }
        out
    }

    #[test]
    fn agrees_with_brute_force_on_random_masks() {
        let mut rng = SplitMix64::new(11);
        for round in 0..300 {
            let size = Size { width: 1 + rng.below(23), height: 1 + rng.below(19) };
            // From nearly empty to nearly full and full.
            let density = [5, 50, 90, 98, 100][round % 5];
            let inside: Vec<bool> = (0..size.width * size.height).map(|_| rng.below(100) < density).collect();
            let expected = brute_force(size, &inside);
            assert_eq!(squared_distances(size, &inside), expected, "round {round}, {size:?}");
            let deepest = expected.iter().max().filter(|&&d| d > 0);
            let first = deepest.and_then(|d| expected.iter().position(|v| v == d));
            assert_eq!(deepest_pixel(size, &inside), first.map(|i| (i % size.width, i / size.width)), "round {round}");
        }
    }

    #[test]
    fn the_outside_of_the_image_is_background() {
        let size = Size { width: 7, height: 5 };
        let full = squared_distances(size, &[true; 35]);
        assert_eq!(full[0], 1);
        assert_eq!(full[2 * 7 + 3], 9);
        // Row 2, columns 2, 3 and 4 are all three deep: the first wins.
        assert_eq!(deepest_pixel(size, &[true; 35]), Some((2, 2)));
    }

    #[test]
    fn an_empty_region_has_no_deepest_point() {
        assert_eq!(deepest_pixel(Size { width: 4, height: 3 }, &[false; 12]), None);
        assert_eq!(deepest_pixel(Size { width: 0, height: 0 }, &[]), None);
        assert_eq!(squared_distances(Size { width: 0, height: 0 }, &[]), Vec::<u32>::new());
    }
}
