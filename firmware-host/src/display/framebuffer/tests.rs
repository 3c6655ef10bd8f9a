//! A framebuffer as the kernel shows one, of plain files.

use std::fs;
use std::path::PathBuf;

use cutout_runtime::{ImageView, Size as FrameSize};
use tempfile::TempDir;

use super::*;
use crate::display::{DisplaySpec, Turn};

/// A folder for sysfs and one for devices.
struct Fake {
    folder: TempDir,
}

impl Fake {
    fn new(attributes: &[(&str, &str)], bytes: usize) -> Self {
        let fake = Fake { folder: tempfile::tempdir().unwrap() };
        fs::create_dir_all(fake.sysfs().join("fb0")).unwrap();
        fake.set(attributes);
        fs::write(fake.device(), vec![0x55; bytes]).unwrap();
        fake
    }

    fn set(&self, attributes: &[(&str, &str)]) {
        for (name, text) in attributes {
            fs::write(self.sysfs().join("fb0").join(name), format!("{text}\n")).unwrap();
        }
    }

    fn sysfs(&self) -> PathBuf {
        self.folder.path().join("graphics")
    }

    fn device(&self) -> PathBuf {
        self.folder.path().join("fb0")
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.device()).unwrap()
    }

    fn spec(&self) -> FramebufferSpec {
        FramebufferSpec { device: self.device(), turn: Turn::None, bgr: false }
    }

    fn open(&self) -> Result<Framebuffer, DisplayError> {
        Framebuffer::open(&self.spec(), &self.sysfs())
    }
}

const SMALL: [(&str, &str); 3] = [("virtual_size", "4,2"), ("bits_per_pixel", "32"), ("stride", "16")];

/// Two rows of red, green, blue, white and of black.
const COLOURS: [[u8; 3]; 8] = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0; 3], [0; 3], [0; 3], [0; 3]];

fn show(screen: &mut Framebuffer, pixels: &[[u8; 3]]) -> Result<(), DisplayError> {
    screen.show(&Scene::of(ImageView::rgb8(pixels.as_flattened(), FrameSize::new(4, 2)).unwrap()))
}

#[test]
fn pixels_of_32_bits_are_blue_green_red() {
    let fake = Fake::new(&SMALL, 32);
    let mut screen = fake.open().unwrap();
    show(&mut screen, &COLOURS).unwrap();
    let row = [0, 0, 255, 255, 0, 255, 0, 255, 255, 0, 0, 255, 255, 255, 255, 255];
    assert_eq!(fake.bytes()[..16], row);
    assert_eq!(fake.bytes()[16..], [0, 0, 0, 255].repeat(4));
    assert_eq!(screen.describe(), format!("framebuffer {}, 4x2, 32 bits", fake.device().display()));
}

#[test]
fn pixels_of_16_bits_are_565_and_gaps_between_rows_stay() {
    let fake = Fake::new(&[("virtual_size", "4,2"), ("bits_per_pixel", "16"), ("stride", "12"), ("name", "toy")], 24);
    let mut screen = fake.open().unwrap();
    show(&mut screen, &COLOURS).unwrap();
    let expected = [0x00, 0xf8, 0xe0, 0x07, 0x1f, 0x00, 0xff, 0xff, 0x55, 0x55, 0x55, 0x55];
    assert_eq!(fake.bytes()[..12], expected);
    assert_eq!(fake.bytes()[12..], [0, 0, 0, 0, 0, 0, 0, 0, 0x55, 0x55, 0x55, 0x55]);
    assert_eq!(screen.describe(), format!("framebuffer {} (toy), 4x2, 16 bits", fake.device().display()));
}

#[test]
fn a_display_that_is_mounted_turned_is_drawn_turned() {
    let fake = Fake::new(&[("virtual_size", "2,4"), ("bits_per_pixel", "24"), ("stride", "6")], 24);
    let turned = FramebufferSpec { turn: Turn::Quarter, bgr: true, ..fake.spec() };
    let mut screen = Framebuffer::open(&turned, &fake.sysfs()).unwrap();
    show(&mut screen, &COLOURS).unwrap();
    // Clockwise: what was above is at the right; with red and blue exchanged the bytes are red, green, blue.
    let expected = [0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255];
    assert_eq!(fake.bytes(), expected);
}

#[test]
fn only_rows_that_change_are_written_until_all_are_repaired() {
    let fake = Fake::new(&SMALL, 32);
    let mut screen = fake.open().unwrap();
    show(&mut screen, &COLOURS).unwrap();
    // Somebody else draws over both rows.
    fs::write(fake.device(), [7; 32]).unwrap();
    let mut changed = COLOURS;
    changed[6] = [0, 0, 255];
    show(&mut screen, &changed).unwrap();
    assert_eq!(fake.bytes()[..16], [7; 16], "a row that the scene leaves as it was");
    assert_eq!(fake.bytes()[16..], [0, 0, 0, 255, 0, 0, 0, 255, 255, 0, 0, 255, 0, 0, 0, 255]);
    (0..REPAINT).for_each(|_| show(&mut screen, &changed).unwrap());
    assert_eq!(fake.bytes()[..4], [0, 0, 255, 255], "a repaint repairs it");
}

#[test]
fn what_is_seen_of_a_larger_framebuffer_is_where_mode_and_pan_say() {
    let larger = [("virtual_size", "6,4"), ("bits_per_pixel", "16"), ("stride", "12")];
    let fake = Fake::new(&larger, 48);
    fake.set(&[("mode", "U:4x2p-60"), ("pan", "1,2")]);
    let mut screen = fake.open().unwrap();
    show(&mut screen, &COLOURS).unwrap();
    let bytes = fake.bytes();
    assert_eq!(bytes[..24], [0x55; 24], "rows above stay");
    assert_eq!(bytes[24..36], [0x55, 0x55, 0x00, 0xf8, 0xe0, 0x07, 0x1f, 0x00, 0xff, 0xff, 0x55, 0x55]);
    // A mode that does not fit is not believed; neither is one that is no mode.
    for odd in ["U:7x2p-60", "U:4x9p-60", "nonsense", "U:0x0p-0", "U:4x2", ""] {
        fake.set(&[("mode", odd)]);
        let screen = fake.open().unwrap();
        assert!(screen.describe().contains("6x4"), "{odd}: {}", screen.describe());
    }
}

#[test]
fn another_mode_is_noticed_while_it_is_open() {
    let fake = Fake::new(&SMALL, 32);
    let mut screen = fake.open().unwrap();
    show(&mut screen, &COLOURS).unwrap();
    fake.set(&[("bits_per_pixel", "16"), ("stride", "8")]);
    show(&mut screen, &COLOURS).unwrap();
    assert_eq!(fake.bytes()[..8], [0x00, 0xf8, 0xe0, 0x07, 0x1f, 0x00, 0xff, 0xff]);
}

#[test]
fn a_device_that_goes_is_one_error_and_one_that_comes_back_is_drawn_on() {
    let fake = Fake::new(&SMALL, 32);
    let mut screen = fake.open().unwrap();
    show(&mut screen, &COLOURS).unwrap();
    fs::remove_file(fake.device()).unwrap();
    for _ in 0..2 {
        let error = show(&mut screen, &COLOURS).unwrap_err().to_string();
        assert!(error.contains("there is no such device") && !error.contains('\n'), "{error}");
    }
    fs::write(fake.device(), [0x55; 32]).unwrap();
    show(&mut screen, &COLOURS).unwrap();
    assert_eq!(fake.bytes()[..4], [0, 0, 255, 255]);
}

#[test]
fn a_device_without_room_is_one_error_and_the_next_scene_tries_again() {
    let fake = Fake::new(&SMALL, 32);
    fs::create_dir_all(fake.sysfs().join("full")).unwrap();
    for attribute in ["virtual_size", "bits_per_pixel", "stride"] {
        fs::copy(fake.sysfs().join("fb0").join(attribute), fake.sysfs().join("full").join(attribute)).unwrap();
    }
    let spec = FramebufferSpec { device: "/dev/full".into(), ..fake.spec() };
    let Ok(mut screen) = Framebuffer::open(&spec, &fake.sysfs()) else {
        cutout_tests::not_checked("a display that refuses its pixels: there is no /dev/full here");
        return;
    };
    for _ in 0..2 {
        let error = show(&mut screen, &COLOURS).unwrap_err().to_string();
        assert!(error.starts_with("/dev/full: cannot be written: "), "{error}");
    }
}

#[test]
fn what_cannot_be_shown_on_says_why() {
    let fake = Fake::new(&SMALL, 32);
    let refused = |attributes: &[(&str, &str)]| {
        fake.set(&SMALL);
        fake.set(attributes);
        fake.open().unwrap_err().to_string()
    };
    for (attribute, text) in [
        ("virtual_size", "0,2"),
        ("virtual_size", "4"),
        ("virtual_size", "-4,2"),
        ("virtual_size", "99999,99999"),
        ("virtual_size", "18446744073709551615,2"),
        ("stride", "15"),
        ("stride", "x"),
        ("stride", "99999999999"),
    ] {
        let error = refused(&[(attribute, text)]);
        assert!(error.contains(&format!("has a {attribute} of '{text}'")), "{error}");
    }
    assert!(refused(&[("bits_per_pixel", "8")]).contains("8 bits per pixel; 16, 24 and 32"));
    fake.set(&SMALL);
    fs::remove_file(fake.sysfs().join("fb0/stride")).unwrap();
    assert!(fake.open().unwrap_err().to_string().contains("is no framebuffer of Linux"));
    let missing = FramebufferSpec { device: fake.folder.path().join("fb9"), ..fake.spec() };
    let error = Framebuffer::open(&missing, &fake.sysfs()).unwrap_err().to_string();
    assert!(error.contains("there is no such device"), "{error}");
    let spec: DisplaySpec = format!("fb:{}", missing.device.display()).parse().unwrap();
    assert!(crate::display::open(&spec).is_err());
}

#[test]
fn a_picture_that_cannot_be_scaled_leaves_the_device_open() {
    let fake = Fake::new(&SMALL, 32);
    let mut screen = fake.open().unwrap();
    show(&mut screen, &COLOURS).unwrap();
    assert!(screen.device.is_some());
    // Without a picture the ground is black, whatever the frame's size.
    screen.show(&Scene::new(FrameSize::new(usize::MAX, 1))).unwrap();
    screen.show(&Scene::new(FrameSize::new(0, 0))).unwrap();
    assert_eq!(fake.bytes(), [0, 0, 0, 255].repeat(8));
}
