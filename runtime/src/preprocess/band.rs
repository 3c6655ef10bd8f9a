//! A band of rows, swept from top to bottom.

use cutout_kernels::normalize::{Channel, interleave};
use cutout_kernels::{Aligned, SimdLevel, resize};

use super::element::{InputElement, Scratch};
use super::source::{self, Source};
use crate::geometry::Size;
use crate::image::ImageView;

/// What is to be done, for all bands.
pub(super) struct Plan<'a> {
    pub(super) level: SimdLevel,
    pub(super) image: &'a ImageView<'a>,
    /// Of the resized image.
    pub(super) size: Size,
    /// Of the output, padding included.
    pub(super) canvas: Size,
    pub(super) channels: &'a [Channel; 3],
    pub(super) across: &'a resize::Across,
    pub(super) down: &'a resize::Down,
}

/// The scratch of one band.
#[derive(Debug, Default)]
pub(super) struct Band {
    source: Source,
    ring: Ring,
    scratch: Scratch,
}

/// The quads of rows, resized horizontally, that the current row and those after it need.
#[derive(Debug, Default)]
struct Ring {
    words: Aligned<u32>,
    /// The next quad that is to be made.
    next: usize,
    /// Planes of a quad: one for grey, three for colours.
    planes: usize,
    /// Words of a plane.
    width: usize,
    /// Quads that there is room for, a power of two.
    capacity: usize,
}

impl Ring {
    fn begin(&mut self, plan: &Plan<'_>, row: usize) {
        self.next = plan.down.quads(row).start;
        self.planes = source::planes(plan.image.format());
        self.width = resize::padded(plan.size.width);
        self.capacity = plan.down.most_quads().next_power_of_two();
        self.words.resize(self.capacity * self.planes * self.width);
    }

    fn at(&self, quad: usize) -> usize {
        (quad & (self.capacity - 1)) * self.planes * self.width
    }

    /// Makes the quads that `row` needs and that are not there yet.
    fn advance(&mut self, plan: &Plan<'_>, row: usize, source: &mut Source) {
        for quad in self.next..plan.down.quads(row).end {
            let (at, len) = (self.at(quad), self.planes * self.width);
            source.quad(plan, quad, &mut self.words[at..at + len]);
            self.next = quad + 1;
        }
    }

    /// A channel's plane of a quad.
    fn plane(&self, quad: usize, channel: usize) -> &[u32] {
        &self.words[self.at(quad) + channel.min(self.planes - 1) * self.width..][..self.width]
    }
}

/// One row of the resized image, not made yet.
pub(super) struct Row<'a> {
    plan: &'a Plan<'a>,
    ring: &'a Ring,
    y: usize,
}

impl Row<'_> {
    /// Makes the row's levels of one channel.
    pub(super) fn levels(&self, channel: usize, out: &mut [u8]) {
        resize::vertical_u8(self.plan.down, self.y, |quad| self.ring.plane(quad, channel), out);
    }

    /// Makes the row's normalised values of one channel.
    pub(super) fn normalized(&self, channel: usize, out: &mut [f32]) {
        let quad = |quad| self.ring.plane(quad, channel);
        resize::vertical_f32(self.plan.down, self.y, quad, &self.plan.channels[channel], out);
    }
}

impl Band {
    /// Writes rows from `first` on to planes that hold nothing but them.
    pub(super) fn planar<T: InputElement>(&mut self, plan: &Plan<'_>, first: usize, planes: [&mut [T]; 3]) {
        let (size, width) = (plan.size, plan.canvas.width);
        let image_rows = size.height.saturating_sub(first).min(planes[0].len() / width);
        if image_rows > 0 {
            self.ring.begin(plan, first);
        }
        let [red, green, blue] = planes.map(|plane| {
            let (image, padding) = plane.split_at_mut(image_rows * width);
            (image.chunks_exact_mut(width), padding)
        });
        let rows = red.0.zip(green.0).zip(blue.0);
        for (y, ((red, green), blue)) in (first..).zip(rows) {
            self.ring.advance(plan, y, &mut self.source);
            let row = Row { plan, ring: &self.ring, y };
            for (channel, out) in [red, green, blue].into_iter().enumerate() {
                let (image, padding) = out.split_at_mut(size.width);
                T::row(&row, channel, &mut self.scratch, image);
                padding.fill(T::padding(&plan.channels[channel]));
            }
        }
        for (channel, padding) in plan.channels.iter().zip([red.1, green.1, blue.1]) {
            padding.fill(T::padding(channel));
        }
    }

    /// Writes rows from `first` on to pixels that hold nothing but them.
    pub(super) fn channel_last<T: InputElement>(&mut self, plan: &Plan<'_>, first: usize, pixels: &mut [T]) {
        let (size, width) = (plan.size, 3 * plan.canvas.width);
        let image_rows = size.height.saturating_sub(first).min(pixels.len() / width);
        if image_rows > 0 {
            self.ring.begin(plan, first);
        }
        let pad = |padding: &mut [T]| {
            let value = plan.channels.each_ref().map(T::padding);
            padding.as_chunks_mut().0.fill(value);
        };
        let (image, below) = pixels.split_at_mut(image_rows * width);
        let mut planes = std::mem::take(T::planes(&mut self.scratch));
        planes.resize(3 * size.width, T::default());
        for (y, out) in (first..).zip(image.chunks_exact_mut(width)) {
            self.ring.advance(plan, y, &mut self.source);
            let row = Row { plan, ring: &self.ring, y };
            for (channel, plane) in planes.chunks_exact_mut(size.width).enumerate() {
                T::row(&row, channel, &mut self.scratch, plane);
            }
            let (red, rest) = planes.split_at(size.width);
            let (green, blue) = rest.split_at(size.width);
            let (image, padding) = out.split_at_mut(3 * size.width);
            interleave(plan.level, [red, green, blue], image);
            pad(padding);
        }
        *T::planes(&mut self.scratch) = planes;
        pad(below);
    }
}
