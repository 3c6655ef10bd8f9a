//! What each pixel of the scene shows: the exact masks.

use super::camera::Camera;
use super::light::id;

/// For each pixel the object at its middle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Rows from the top; 0 for what is no object.
    pub ids: Vec<u8>,
}

/// Looks through the middle of each pixel; the view is that of [`render`](super::render), and takes a second at the size
/// of the photo in `assets/`.
pub fn labels(width: u32, height: u32) -> Labels {
    let camera = Camera::new(width, height);
    let points = (0..height).flat_map(|y| (0..width).map(move |x| (x as f32 + 0.5, y as f32 + 0.5)));
    let ids = points.map(|(x, y)| camera.ray(x, y, 0.5, 0.5)).map(|(origin, direction)| id(origin, direction));
    Labels { width, height, ids: ids.collect() }
}

impl Labels {
    /// For each pixel whether it shows the object `id`.
    pub fn mask(&self, id: u8) -> Vec<bool> {
        self.ids.iter().map(|&here| here == id).collect()
    }

    /// A pixel to point at the object `id` by, as (x, y): of those at least three quarters as deep inside it as the deepest,
    /// the one nearest to its centre of mass. Depth is the distance to what is not the object, by chamfer distances of
    /// 3 and 4 (Borgefors, 1986). `None` if the object is not seen.
    pub fn inner_point(&self, id: u8) -> Option<(u32, u32)> {
        let (width, height) = (self.width as usize, self.height as usize);
        // A border of zeros: the outside of the picture is not the object.
        let stride = width + 2;
        let mut depth = vec![0_u32; stride * (height + 2)];
        let place = |i: usize| (i / width + 1) * stride + i % width + 1;
        let inside = || (0..self.ids.len()).filter(|&i| self.ids[i] == id);
        let near = [(1, 3), (stride - 1, 4), (stride, 3), (stride + 1, 4)];
        for at in inside().map(place) {
            depth[at] = near.iter().map(|(step, cost)| depth[at - step] + cost).min().unwrap_or(0);
        }
        for at in inside().rev().map(place) {
            let back = near.iter().map(|(step, cost)| depth[at + step] + cost).min().unwrap_or(0);
            depth[at] = depth[at].min(back);
        }
        let (count, sum_x, sum_y) = inside().fold((0, 0, 0), |(n, x, y), i| (n + 1, x + i % width, y + i / width));
        let deep = 3 * inside().map(|i| depth[place(i)]).max()?;
        let off_centre = |i: usize| {
            let (x, y) = ((i % width * count).abs_diff(sum_x), (i / width * count).abs_diff(sum_y));
            (x as u128).pow(2) + (y as u128).pow(2)
        };
        let best = inside().filter(|&i| 4 * depth[place(i)] >= deep).min_by_key(|&i| off_centre(i))?;
        Some(((best % width) as u32, (best / width) as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inner_point_is_deep_and_near_the_middle() {
        // A block at the lower edge, which is an edge of the object too; a wire along the right one, longer below.
        let rows = ["........1", "........1", "..22222.1", "..22222.1", "..22222.1", "..22222.1", "..22222.1"];
        let ids: Vec<u8> = rows.iter().flat_map(|row| row.bytes().map(|byte| byte.saturating_sub(b'0'))).collect();
        let labels = Labels { width: 9, height: 7, ids };
        assert_eq!(labels.inner_point(2), Some((4, 4)));
        assert_eq!(labels.inner_point(1), Some((8, 3)));
        assert_eq!(labels.inner_point(9), None);
        // The head of a nail is deep, 9 thirds in its middle and 7 beside it; the centre of mass lies on the shaft.
        let nail: Vec<u8> = (0..5 * 25).map(|i| u8::from(i % 25 < 5 || i / 25 == 2)).collect();
        assert_eq!(Labels { width: 25, height: 5, ids: nail }.inner_point(1), Some((3, 2)));
    }
}
