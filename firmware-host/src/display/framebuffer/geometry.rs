//! What sysfs says about a framebuffer.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use embedded_graphics::geometry::Size;

use crate::display::DisplayError;
use crate::display::pixels::Layout;
use crate::display::spec::MAX_SIDE;

/// Longest text of an attribute that is read.
const MAX_TEXT: u64 = 256;

/// Where pixels are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Geometry {
    /// The driver's name; empty where it has none.
    pub(super) name: String,
    /// What is seen.
    pub(super) visible: Size,
    /// How a pixel is held.
    pub(super) layout: Layout,
    /// Bytes from a row to the next.
    pub(super) stride: usize,
    /// Column and row of the framebuffer that are seen at the top left.
    pan: (u32, u32),
}

impl Geometry {
    /// Reads `virtual_size`, `bits_per_pixel` and `stride`; and, where they are there, `mode` and `pan`, which say what part
    /// of a framebuffer that holds more than one picture is seen.
    pub(super) fn read(device: &Path, sysfs: &Path) -> Result<Self, DisplayError> {
        // A link such as /dev/fb/0 leads to the name that sysfs knows.
        let real = device.canonicalize().map_err(|error| DisplayError::device(device, "opened", error))?;
        let folder = sysfs.join(real.file_name().unwrap_or_default());
        let text = |attribute: &str| {
            let mut text = String::new();
            File::open(folder.join(attribute))?.take(MAX_TEXT).read_to_string(&mut text)?;
            Ok(text.trim().to_owned())
        };
        let needed = |attribute: &str| {
            text(attribute).map_err(|error: std::io::Error| {
                let file = folder.join(attribute);
                let problem = format!("is no framebuffer of Linux: {} cannot be read ({error})", file.display());
                DisplayError::unfit(device, problem)
            })
        };
        let unfit = |attribute: &str, text: &str| {
            DisplayError::unfit(device, format!("has a {attribute} of '{text}', which this program cannot use"))
        };
        let text_of_size = needed("virtual_size")?;
        let whole = pair(&text_of_size, ',').ok_or_else(|| unfit("virtual_size", &text_of_size))?;
        let bits = needed("bits_per_pixel")?;
        let layout = match bits.as_str() {
            "16" => Layout::Rgb565,
            "24" => Layout::Bgr888,
            "32" => Layout::Bgrx8888,
            _ => {
                let problem = format!("has {bits} bits per pixel; 16, 24 and 32 can be shown (fbset -depth 32)");
                return Err(DisplayError::unfit(device, problem));
            }
        };
        let text_of_stride = needed("stride")?;
        let stride = text_of_stride.parse().ok().filter(|&stride| {
            let row = whole.0 as usize * layout.bytes();
            (row..=row.saturating_add(1 << 16)).contains(&stride)
        });
        let stride = stride.ok_or_else(|| unfit("stride", &text_of_stride))?;
        let pan = text("pan").ok().and_then(|text| coordinates(&text, ',')).unwrap_or((0, 0));
        let mode = text("mode").ok().and_then(|text| mode(&text)).unwrap_or(whole);
        let within = |seen: u32, from: u32, all: u32| from.checked_add(seen).is_some_and(|end| end <= all);
        let seen = within(mode.0, pan.0, whole.0) && within(mode.1, pan.1, whole.1);
        let ((width, height), pan) = if seen { (mode, pan) } else { (whole, (0, 0)) };
        let name = text("name").unwrap_or_default();
        Ok(Geometry { name, visible: Size::new(width, height), layout, stride, pan })
    }

    /// Bytes of a row of what is seen.
    pub(super) fn row_bytes(&self) -> usize {
        self.visible.width as usize * self.layout.bytes()
    }

    /// Where row `y` of what is seen begins.
    pub(super) fn offset(&self, y: usize) -> u64 {
        let (column, row) = (self.pan.0 as usize * self.layout.bytes(), self.pan.1 as usize + y);
        (row * self.stride + column) as u64
    }
}

/// Two sides of a display.
fn pair(text: &str, between: char) -> Option<(u32, u32)> {
    coordinates(text, between).filter(|(a, b)| *a > 0 && *b > 0)
}

fn coordinates(text: &str, between: char) -> Option<(u32, u32)> {
    let (a, b) = text.split_once(between)?;
    let number = |text: &str| text.parse().ok().filter(|number| *number <= MAX_SIDE);
    Some((number(a)?, number(b)?))
}

/// The size in a mode such as `U:800x480p-60`.
fn mode(text: &str) -> Option<(u32, u32)> {
    let (_, size) = text.split_once(':')?;
    let end = size.find(|c: char| !c.is_ascii_digit() && c != 'x')?;
    pair(&size[..end], 'x')
}
