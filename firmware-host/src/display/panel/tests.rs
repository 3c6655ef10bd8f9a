//! Panels of chips in memory, which do with the bytes of a bus what the real ones do with them.

mod colour;

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use cutout_runtime::{ImageView, Size as FrameSize};
use embedded_graphics::geometry::Size;
use embedded_hal::delay::DelayNs;
use embedded_hal::digital::OutputPin;
use embedded_hal::i2c::{self, I2c};
use embedded_hal::spi::{self, SpiDevice};

use super::*;
use crate::display::pixels::to_rgb565;
use crate::display::{BitCanvas, DisplaySpec, MonoPainter};
use crate::overlay::Status;

fn panel_spec(text: &str) -> PanelSpec {
    match text.parse().unwrap() {
        DisplaySpec::Panel(spec) => spec,
        other => panic!("{other} is no panel"),
    }
}

/// A bus that is sometimes interrupted.
#[derive(Debug)]
struct Unplugged;

impl i2c::Error for Unplugged {
    fn kind(&self) -> i2c::ErrorKind {
        i2c::ErrorKind::NoAcknowledge(i2c::NoAcknowledgeSource::Address)
    }
}

impl spi::Error for Unplugged {
    fn kind(&self) -> spi::ErrorKind {
        spi::ErrorKind::Other
    }
}

/// An SSD1306 (its data sheet, section 10): commands after a control byte of 0, data after 0x40.
struct OledChip {
    address: u8,
    pages: [[u8; 128]; 8],
    columns: (u8, u8),
    rows: (u8, u8),
    at: (u8, u8),
    on: bool,
    data_bytes: usize,
    unplugged: bool,
}

#[derive(Clone)]
struct OledBus(Arc<Mutex<OledChip>>);

impl OledBus {
    fn new() -> Self {
        let (columns, rows, at, pages) = ((0, 127), (0, 7), (0, 0), [[0x5a; 128]; 8]);
        let (on, data_bytes, unplugged) = (false, 0, false);
        OledBus(Arc::new(Mutex::new(OledChip { address: 0x3c, pages, columns, rows, at, on, data_bytes, unplugged })))
    }

    fn chip(&self) -> MutexGuard<'_, OledChip> {
        self.0.lock().unwrap()
    }

    /// What is seen.
    fn lit(&self) -> Vec<bool> {
        let pages = self.chip().pages;
        (0..64 * 128).map(|i| pages[i / 128 / 8][i % 128] >> (i / 128 % 8) & 1 == 1).collect()
    }
}

impl OledChip {
    fn command(&mut self, bytes: &[u8]) {
        let mut bytes = bytes.iter().copied();
        while let Some(command) = bytes.next() {
            let mut next = || bytes.next().expect("a command with all its arguments");
            match command {
                0x21 => self.columns = (next(), next()),
                0x22 => self.rows = (next(), next()),
                0x20 | 0x81 | 0x8d | 0xa8 | 0xd3 | 0xd5 | 0xd9 | 0xda | 0xdb => drop(next()),
                0xae | 0xaf => self.on = command == 0xaf,
                _ => {}
            }
            self.at = (self.columns.0, self.rows.0);
        }
    }

    fn data(&mut self, bytes: &[u8]) {
        self.data_bytes += bytes.len();
        for &byte in bytes {
            let (column, page) = self.at;
            self.pages[usize::from(page)][usize::from(column)] = byte;
            self.at = match (column == self.columns.1, page == self.rows.1) {
                (false, _) => (column + 1, page),
                (true, false) => (self.columns.0, page + 1),
                (true, true) => (self.columns.0, self.rows.0),
            };
        }
    }
}

impl i2c::ErrorType for OledBus {
    type Error = Unplugged;
}

impl I2c for OledBus {
    fn transaction(&mut self, address: u8, operations: &mut [i2c::Operation<'_>]) -> Result<(), Unplugged> {
        let mut chip = self.chip();
        if chip.unplugged || address != chip.address {
            return Err(Unplugged);
        }
        for operation in operations {
            match operation {
                i2c::Operation::Write([0x00, commands @ ..]) => chip.command(commands),
                i2c::Operation::Write([0x40, data @ ..]) => chip.data(data),
                other => panic!("{other:?}"),
            }
        }
        Ok(())
    }
}

fn oled_panel(bus: &OledBus, text: &str) -> Result<Panel, DisplayError> {
    let bus = bus.clone();
    Panel::new(&panel_spec(text), Box::new(move |spec| oled::open(bus.clone(), spec)))
}

fn status_scene(text: &str) -> Scene<'_> {
    Scene { status: Some(Status { note: text, ..Status::new("m", 12.0) }), ..Scene::new(FrameSize::new(4, 3)) }
}

fn painted(scene: &Scene<'_>) -> Vec<bool> {
    let mut canvas = BitCanvas::new(Size::new(128, 64));
    MonoPainter::default().paint(&mut canvas, scene).unwrap();
    canvas.lit().to_vec()
}

#[test]
fn an_oled_shows_what_is_painted_and_is_sent_what_changes() {
    let bus = OledBus::new();
    let mut panel = oled_panel(&bus, "ssd1306:/dev/i2c-1").unwrap();
    assert!(bus.lit().iter().all(|lit| !lit), "noise is cleared");
    assert!(bus.chip().on);
    assert_eq!(panel.describe(), "panel ssd1306 on /dev/i2c-1, 128x64");
    assert!(!panel.shows_picture());
    panel.show(&status_scene("one")).unwrap();
    assert_eq!(bus.lit(), painted(&status_scene("one")));
    bus.chip().data_bytes = 0;
    panel.show(&status_scene("one")).unwrap();
    assert_eq!(bus.chip().data_bytes, 0, "the same scene again");
    panel.show(&status_scene("two")).unwrap();
    assert_eq!(bus.lit(), painted(&status_scene("two")));
    assert!((1..200).contains(&bus.chip().data_bytes), "three letters took {} bytes", bus.chip().data_bytes);
}

#[test]
fn an_oled_that_is_unplugged_is_one_error_a_scene_and_is_set_up_again() {
    let bus = OledBus::new();
    let mut panel = oled_panel(&bus, "ssd1306:/dev/i2c-1").unwrap();
    panel.show(&status_scene("one")).unwrap();
    bus.chip().unplugged = true;
    for _ in 0..3 {
        let error = panel.show(&status_scene("two")).unwrap_err().to_string();
        assert!(error.starts_with("/dev/i2c-1: no panel answers at address 0x3c"), "{error}");
    }
    {
        let mut chip = bus.chip();
        (chip.unplugged, chip.on, chip.pages) = (false, false, [[0x77; 128]; 8]);
    }
    panel.show(&status_scene("two")).unwrap();
    assert!(bus.chip().on);
    assert_eq!(bus.lit(), painted(&status_scene("two")));
    let error = oled_panel(&bus, "ssd1306:/dev/i2c-1,addr=0x3d").err().unwrap().to_string();
    assert!(error.contains("0x3d"), "{error}");
}

#[test]
fn a_panel_that_is_not_there_says_what_to_look_at() {
    for text in ["ssd1306:/no/i2c", "st7789:/no/spi,dc=25"] {
        let error = super::open(&panel_spec(text)).err().unwrap().to_string();
        assert!(error.contains("there is no such device"), "{error}");
    }
    cutout_tests::not_checked("panels on real buses; chips in memory stand for them");
}
