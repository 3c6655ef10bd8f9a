//! [`DisplaySpec`]: a display as it is named on a command line.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use embedded_graphics::geometry::Size;

use super::DisplayError;

/// Longest side of a display, in pixels.
pub(super) const MAX_SIDE: u32 = 8192;

/// What kinds there are, for messages.
const KINDS: &str = "fb:/dev/fb0, png:FOLDER, png:FILE.png, ssd1306:/dev/i2c-1 or st7789:/dev/spidev0.0,dc=25";

/// A display: its kind, where it is, and options after commas.
///
/// | text | is |
/// |---|---|
/// | `fb:/dev/fb0` | a framebuffer of Linux; options `rotate=90`, `bgr` |
/// | `png:shots` | numbered PNG files in a folder; options `keep=100`, `640x480` |
/// | `png:now.png` | one PNG file, always the newest; option `640x480` |
/// | `ssd1306:/dev/i2c-1` | a monochrome panel; options `addr=0x3c`, `128x64`, `rotate=180` |
/// | `st7789:/dev/spidev0.0,dc=25` | a colour panel (also `ili9341`, `st7735s`); options `rst=27`, `bl=18`, `gpio=/dev/gpiochip0`, `240x240`, `at=0x0`, `rotate=90`, `bgr`, `invert=no`, `mhz=32` |
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DisplaySpec {
    /// A framebuffer of Linux.
    Framebuffer(FramebufferSpec),
    /// PNG files.
    Png(PngSpec),
    /// A panel on I2C or SPI.
    Panel(PanelSpec),
}

/// A framebuffer of Linux.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FramebufferSpec {
    /// Its device, as `/dev/fb0`.
    pub device: PathBuf,
    /// How the display is mounted.
    pub turn: Turn,
    /// Whether red and blue are the other way round than usual.
    pub bgr: bool,
}

/// PNG files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PngSpec {
    /// A file, if its name ends in `.png`, else a folder.
    pub path: PathBuf,
    /// Most files that are kept in a folder.
    pub keep: usize,
    /// Size of the pictures; that of the camera frame where there is none.
    pub size: Option<(u32, u32)>,
}

impl PngSpec {
    /// Files kept if nothing is said.
    pub const KEEP: usize = 100;

    /// Whether it is one file that is replaced.
    pub fn is_file(&self) -> bool {
        self.path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png"))
    }
}

/// A panel on I2C or SPI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PanelSpec {
    /// Its controller.
    pub kind: PanelKind,
    /// The bus, as `/dev/i2c-1` or `/dev/spidev0.0`.
    pub bus: PathBuf,
    /// Columns and rows of the glass, before it is turned.
    pub size: (u32, u32),
    /// Where the glass begins in the controller's memory: column and row.
    pub at: (u32, u32),
    /// How the panel is mounted.
    pub turn: Turn,
    /// Address on I2C.
    pub address: u8,
    /// The GPIO chip of the lines below.
    pub gpio: PathBuf,
    /// Line that tells data from commands; needed on SPI.
    pub dc: Option<u32>,
    /// Line that resets the panel.
    pub reset: Option<u32>,
    /// Line that switches the light behind it on.
    pub backlight: Option<u32>,
    /// Whether red and blue are the other way round.
    pub bgr: bool,
    /// Whether colours are inverted.
    pub invert: bool,
    /// Clock of SPI.
    pub mhz: u32,
}

/// Controllers of panels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PanelKind {
    /// Monochrome OLED on I2C, 128x64.
    Ssd1306,
    /// Colour LCD on SPI, 240x320.
    St7789,
    /// Colour LCD on SPI, 240x320.
    Ili9341,
    /// Colour LCD on SPI, 80x160.
    St7735s,
}

impl PanelKind {
    const ALL: [PanelKind; 4] = [PanelKind::Ssd1306, PanelKind::St7789, PanelKind::Ili9341, PanelKind::St7735s];

    pub(super) const fn name(self) -> &'static str {
        match self {
            PanelKind::Ssd1306 => "ssd1306",
            PanelKind::St7789 => "st7789",
            PanelKind::Ili9341 => "ili9341",
            PanelKind::St7735s => "st7735s",
        }
    }

    /// Size of the controller's memory, which is that of most glasses.
    pub(super) const fn memory(self) -> (u32, u32) {
        match self {
            PanelKind::Ssd1306 => (128, 64),
            PanelKind::St7789 | PanelKind::Ili9341 => (240, 320),
            PanelKind::St7735s => (132, 162),
        }
    }

    const fn is_on_spi(self) -> bool {
        !matches!(self, PanelKind::Ssd1306)
    }
}

/// How far a picture is turned clockwise to be upright on a display as it is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Turn {
    /// Not.
    #[default]
    None,
    /// A quarter.
    Quarter,
    /// On its head.
    Half,
    /// Three quarters.
    ThreeQuarters,
}

impl Turn {
    const ALL: [Turn; 4] = [Turn::None, Turn::Quarter, Turn::Half, Turn::ThreeQuarters];

    /// Degrees clockwise.
    pub const fn degrees(self) -> u32 {
        self as u32 * 90
    }

    /// The size that a picture must have to fill a display of this one.
    pub(super) const fn of(self, size: Size) -> Size {
        match self {
            Turn::None | Turn::Half => size,
            Turn::Quarter | Turn::ThreeQuarters => Size::new(size.height, size.width),
        }
    }
}

impl FromStr for DisplaySpec {
    type Err = DisplayError;

    fn from_str(text: &str) -> Result<Self, DisplayError> {
        parse(text).map_err(|problem| DisplayError::Spec { text: text.into(), problem })
    }
}

fn parse(text: &str) -> Result<DisplaySpec, String> {
    let (kind, rest) = text.split_once(':').ok_or_else(|| format!("it may be {KINDS}"))?;
    let mut parts = rest.split(',');
    let path = parts.next().filter(|path| !path.is_empty()).ok_or("the device or file is missing after the colon")?;
    let path = PathBuf::from(path);
    match kind {
        "fb" => {
            let mut spec = FramebufferSpec { device: path, turn: Turn::None, bgr: false };
            for option in parts {
                match Opt::new(option) {
                    Opt::Value("rotate", value) => spec.turn = turn(value)?,
                    Opt::Flag("bgr") => spec.bgr = true,
                    _ => return Err(unknown(option, "rotate=90 and bgr")),
                }
            }
            Ok(DisplaySpec::Framebuffer(spec))
        }
        "png" => {
            let mut spec = PngSpec { path, keep: PngSpec::KEEP, size: None };
            for option in parts {
                match Opt::new(option) {
                    Opt::Value("keep", value) => spec.keep = number(value, 1..=1_000_000)? as usize,
                    Opt::Size(size) => spec.size = Some(size),
                    _ => return Err(unknown(option, "keep=100 and 640x480")),
                }
            }
            Ok(DisplaySpec::Png(spec))
        }
        _ => {
            let known = PanelKind::ALL.into_iter().find(|known| known.name() == kind);
            let kind = known.ok_or_else(|| format!("'{kind}' is no kind of display; it may be {KINDS}"))?;
            Ok(DisplaySpec::Panel(panel(kind, path, parts)?))
        }
    }
}

fn panel<'a>(kind: PanelKind, bus: PathBuf, options: impl Iterator<Item = &'a str>) -> Result<PanelSpec, String> {
    let mut spec = PanelSpec::new(kind, bus);
    let (most_x, most_y) = kind.memory();
    for option in options {
        match Opt::new(option) {
            Opt::Value("rotate", value) => spec.turn = turn(value)?,
            Opt::Size(size) => spec.size = size,
            Opt::Value("addr", value) if !kind.is_on_spi() => spec.address = number(value, 0x03..=0x77)? as u8,
            Opt::Value("at", value) if kind.is_on_spi() => {
                spec.at = pair(value).ok_or_else(|| format!("'{value}' is no column and row such as 0x80"))?;
            }
            Opt::Value("gpio", value) if kind.is_on_spi() && !value.is_empty() => spec.gpio = value.into(),
            Opt::Value("dc", value) if kind.is_on_spi() => spec.dc = Some(number(value, LINES)?),
            Opt::Value("rst", value) if kind.is_on_spi() => spec.reset = Some(number(value, LINES)?),
            Opt::Value("bl", value) if kind.is_on_spi() => spec.backlight = Some(number(value, LINES)?),
            Opt::Value("mhz", value) if kind.is_on_spi() => spec.mhz = number(value, 1..=125)?,
            Opt::Flag("bgr") if kind.is_on_spi() => spec.bgr = true,
            Opt::Value("invert", value) if kind.is_on_spi() => spec.invert = yes(value)?,
            _ if kind.is_on_spi() => {
                let all =
                    "dc=25, rst=27, bl=18, gpio=/dev/gpiochip0, 240x240, at=0x0, rotate=90, bgr, invert=no and mhz=32";
                return Err(unknown(option, all));
            }
            _ => return Err(unknown(option, "addr=0x3c, 128x64 and rotate=180")),
        }
    }
    let ((width, height), (x, y)) = (spec.size, spec.at);
    if x + width > most_x || y + height > most_y {
        return Err(format!("a {} has {most_x}x{most_y} pixels, not {width}x{height} from {x}x{y} on", kind.name()));
    }
    if kind.is_on_spi() && spec.dc.is_none() {
        return Err("say which GPIO line tells data from commands: dc=25".into());
    }
    if kind == PanelKind::Ssd1306 && !matches!(spec.size, (128, 64) | (128, 32) | (96, 16) | (72, 40) | (64, 48)) {
        return Err(format!("{width}x{height} is none of 128x64, 128x32, 96x16, 72x40, 64x48"));
    }
    Ok(spec)
}

impl PanelSpec {
    /// A panel as most are wired; `dc` is to be said.
    pub fn new(kind: PanelKind, bus: PathBuf) -> Self {
        let (size, at) = match kind {
            PanelKind::St7735s => ((80, 160), (26, 1)),
            _ => (kind.memory(), (0, 0)),
        };
        PanelSpec {
            kind,
            bus,
            size,
            at,
            turn: Turn::None,
            address: 0x3c,
            gpio: "/dev/gpiochip0".into(),
            dc: None,
            reset: None,
            backlight: None,
            bgr: false,
            // What is sold with this controller are mostly IPS panels, which show negatives unless they are told.
            invert: kind == PanelKind::St7789,
            mhz: 32,
        }
    }
}

/// GPIO lines that a chip may have.
const LINES: std::ops::RangeInclusive<u32> = 0..=1023;

/// One option.
enum Opt<'a> {
    Value(&'a str, &'a str),
    Size((u32, u32)),
    Flag(&'a str),
}

impl<'a> Opt<'a> {
    fn new(text: &'a str) -> Self {
        match (text.split_once('='), pair(text)) {
            (Some((name, value)), _) => Opt::Value(name, value),
            (None, Some((width, height))) if width > 0 && height > 0 => Opt::Size((width, height)),
            (None, _) => Opt::Flag(text),
        }
    }
}

fn unknown(option: &str, known: &str) -> String {
    format!("'{option}' is none of its options, which are {known}")
}

fn pair(text: &str) -> Option<(u32, u32)> {
    let (a, b) = text.split_once('x')?;
    let side = |text: &str| text.parse().ok().filter(|side| *side <= MAX_SIDE);
    Some((side(a)?, side(b)?))
}

fn number(text: &str, range: std::ops::RangeInclusive<u32>) -> Result<u32, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => text.parse(),
    };
    let refused = || format!("'{text}' is no number from {} to {}", range.start(), range.end());
    parsed.ok().filter(|number| range.contains(number)).ok_or_else(refused)
}

fn yes(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("'{text}' is neither yes nor no")),
    }
}

fn turn(text: &str) -> Result<Turn, String> {
    let found = Turn::ALL.into_iter().find(|turn| turn.degrees().to_string() == text);
    found.ok_or_else(|| format!("a display is rotated by 0, 90, 180 or 270 degrees, not '{text}'"))
}

impl fmt::Display for DisplaySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rotated = |f: &mut fmt::Formatter<'_>, turn: Turn| match turn {
            Turn::None => Ok(()),
            turn => write!(f, ",rotate={}", turn.degrees()),
        };
        match self {
            DisplaySpec::Framebuffer(FramebufferSpec { device, turn, bgr }) => {
                write!(f, "fb:{}", device.display())?;
                rotated(f, *turn)?;
                f.write_str(if *bgr { ",bgr" } else { "" })
            }
            DisplaySpec::Png(spec) => {
                write!(f, "png:{}", spec.path.display())?;
                if let Some((width, height)) = spec.size {
                    write!(f, ",{width}x{height}")?;
                }
                match spec.keep {
                    PngSpec::KEEP => Ok(()),
                    keep => write!(f, ",keep={keep}"),
                }
            }
            DisplaySpec::Panel(spec) => {
                write!(f, "{}:{}", spec.kind.name(), spec.bus.display())?;
                let usual = PanelSpec::new(spec.kind, spec.bus.clone());
                if spec.address != usual.address {
                    write!(f, ",addr={:#04x}", spec.address)?;
                }
                if spec.gpio != usual.gpio {
                    write!(f, ",gpio={}", spec.gpio.display())?;
                }
                for (name, line) in [("dc", spec.dc), ("rst", spec.reset), ("bl", spec.backlight)] {
                    line.map_or(Ok(()), |line| write!(f, ",{name}={line}"))?;
                }
                if spec.size != usual.size {
                    write!(f, ",{}x{}", spec.size.0, spec.size.1)?;
                }
                if spec.at != usual.at {
                    write!(f, ",at={}x{}", spec.at.0, spec.at.1)?;
                }
                rotated(f, spec.turn)?;
                f.write_str(if spec.bgr { ",bgr" } else { "" })?;
                if spec.invert != usual.invert {
                    write!(f, ",invert={}", if spec.invert { "yes" } else { "no" })?;
                }
                if spec.mhz != usual.mhz {
                    write!(f, ",mhz={}", spec.mhz)?;
                }
                Ok(())
            }
        }
    }
}
