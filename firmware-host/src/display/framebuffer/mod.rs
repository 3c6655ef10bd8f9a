//! Framebuffers of Linux, without ioctl and without memory maps: geometry comes from sysfs, pixels go by `pwrite`.
//!
//! Source: the kernel's `Documentation/fb/api.rst` and `drivers/video/fbdev/core/fbsysfs.c`. Sysfs does not tell where in
//! a pixel the colours are; what drivers do for 16, 24 and 32 bits is nearly always the same and is taken for granted,
//! with a word in the specification for the others.
//!
//! A text console on the same display goes on drawing its cursor; `vt.global_cursor_default=0` on the kernel's command
//! line stops it. What it has drawn over a picture is repaired every so often.

mod geometry;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use embedded_graphics::geometry::Size;

use self::geometry::Geometry;
use super::pixels::turned_row;
use super::{DisplayError, FramebufferSpec, Painter, Scene, Screen};

/// Where the kernel tells about framebuffers.
pub const SYSFS: &str = "/sys/class/graphics";

/// Scenes after which all rows are written again, whoever may have drawn on some.
const REPAINT: u32 = 100;

/// A framebuffer of Linux.
#[derive(Debug)]
pub struct Framebuffer {
    spec: FramebufferSpec,
    sysfs: PathBuf,
    painter: Painter,
    /// `None` after a fault: it is opened again for the next scene.
    device: Option<Device>,
    /// What it was when it was last open.
    geometry: Geometry,
}

#[derive(Debug)]
struct Device {
    file: File,
    /// What its visible rows hold; empty where that is not known.
    shadow: Vec<u8>,
    /// Scenes until all rows are written.
    until_repaint: u32,
}

impl Framebuffer {
    /// Opens a framebuffer about which `sysfs` ([`SYSFS`], but in tests) tells.
    ///
    /// # Errors
    /// Where there is none, it may not be written, or its pixels have other than 16, 24 or 32 bits.
    pub fn open(spec: &FramebufferSpec, sysfs: &Path) -> Result<Self, DisplayError> {
        let (geometry, file) = open(spec, sysfs)?;
        let device = Some(Device { file, shadow: Vec::new(), until_repaint: REPAINT });
        Ok(Framebuffer { spec: spec.clone(), sysfs: sysfs.into(), painter: Painter::new(), device, geometry })
    }
}

fn open(spec: &FramebufferSpec, sysfs: &Path) -> Result<(Geometry, File), DisplayError> {
    // The device before what is told about it: who has no display at all shall hear that.
    let opened = File::options().write(true).open(&spec.device);
    let file = opened.map_err(|error| DisplayError::device(&spec.device, "opened", error))?;
    Ok((Geometry::read(&spec.device, sysfs)?, file))
}

impl Screen for Framebuffer {
    fn show(&mut self, scene: &Scene<'_>) -> Result<(), DisplayError> {
        let mut device = match self.device.take() {
            Some(device) => {
                // A monitor that was exchanged may have another mode.
                let now = Geometry::read(&self.spec.device, &self.sysfs)?;
                let same = now == self.geometry;
                self.geometry = now;
                if same { device } else { Device { shadow: Vec::new(), ..device } }
            }
            None => {
                let (geometry, file) = open(&self.spec, &self.sysfs)?;
                self.geometry = geometry;
                Device { file, shadow: Vec::new(), until_repaint: REPAINT }
            }
        };
        let size = self.spec.turn.of(self.geometry.visible);
        let shown = self.painter.paint(scene, size).map(|pixels| {
            let written = device.write(pixels.as_chunks().0, size, &self.spec, &self.geometry);
            written.map_err(|error| DisplayError::device(&self.spec.device, "written", error))
        });
        // A picture that cannot be shown is no fault of the device.
        if !matches!(shown, Ok(Err(_))) {
            self.device = Some(device);
        }
        shown?
    }

    fn describe(&self) -> String {
        let Geometry { visible: Size { width, height }, layout, name, .. } = &self.geometry;
        let named = if name.is_empty() { String::new() } else { format!(" ({name})") };
        let device = self.spec.device.display();
        format!("framebuffer {device}{named}, {width}x{height}, {} bits", layout.bytes() * 8)
    }
}

impl Device {
    /// Brings the device's rows up to date: those that differ from what it holds, neighbours in one call.
    fn write(
        &mut self,
        pixels: &[[u8; 3]],
        size: Size,
        spec: &FramebufferSpec,
        geometry: &Geometry,
    ) -> std::io::Result<()> {
        let row_bytes = geometry.row_bytes();
        let rows = geometry.visible.height as usize;
        self.until_repaint = self.until_repaint.checked_sub(1).unwrap_or(REPAINT);
        let all = self.shadow.len() != row_bytes * rows || self.until_repaint == 0;
        self.shadow.resize(row_bytes * rows, 0);
        let mut new = vec![0; row_bytes];
        // The first of the changed rows that are not yet written.
        let mut open = None;
        for y in 0..rows {
            geometry.layout.write_row(turned_row(pixels, size, spec.turn, spec.bgr, y), y, &mut new);
            let held = &mut self.shadow[y * row_bytes..][..row_bytes];
            if all || *held != *new {
                held.copy_from_slice(&new);
                open = open.or(Some(y));
            } else if let Some(first) = open.take() {
                self.write_rows(first, y, geometry)?;
            }
        }
        open.map_or(Ok(()), |first| self.write_rows(first, rows, geometry))
    }

    /// Writes rows of the shadow.
    fn write_rows(&self, first: usize, end: usize, geometry: &Geometry) -> std::io::Result<()> {
        let row_bytes = geometry.row_bytes();
        let held = &self.shadow[first * row_bytes..end * row_bytes];
        if geometry.stride == row_bytes {
            return self.file.write_all_at(held, geometry.offset(first));
        }
        let mut rows = held.chunks_exact(row_bytes).zip(first..);
        rows.try_for_each(|(row, y)| self.file.write_all_at(row, geometry.offset(y)))
    }
}
