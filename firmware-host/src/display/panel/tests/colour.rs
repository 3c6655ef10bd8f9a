//! Colour panels over SPI.

use super::*;

/// A controller of MIPI's display command set, with 240 x 320 pixels of 16 bits.
struct LcdChip {
    words: Vec<u16>,
    /// Of the command, whose arguments are collected.
    command: u8,
    args: Vec<u8>,
    columns: (u16, u16),
    rows: (u16, u16),
    at: (u16, u16),
    is_data: bool,
    on: bool,
    inverted: bool,
    lit: bool,
    resets: usize,
    pixel_bytes: usize,
    longest: usize,
    unplugged: bool,
}

#[derive(Clone)]
struct LcdBus(Arc<Mutex<LcdChip>>);

impl LcdBus {
    fn new() -> Self {
        LcdBus(Arc::new(Mutex::new(LcdChip {
            words: vec![0x1234; 240 * 320],
            command: 0,
            args: Vec::new(),
            columns: (0, 0),
            rows: (0, 0),
            at: (0, 0),
            is_data: false,
            on: false,
            inverted: false,
            lit: false,
            resets: 0,
            pixel_bytes: 0,
            longest: 0,
            unplugged: false,
        })))
    }

    fn chip(&self) -> MutexGuard<'_, LcdChip> {
        self.0.lock().unwrap()
    }
}

impl LcdChip {
    fn take(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.args.push(byte);
            match (self.command, self.args.as_slice()) {
                (0x2a | 0x2b, &[a, b, c, d]) => {
                    let range = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
                    assert!(range.0 <= range.1 && range.1 < 320);
                    *(if self.command == 0x2a { &mut self.columns } else { &mut self.rows }) = range;
                    self.args.clear();
                }
                (0x2c, &[high, low]) => {
                    self.pixel_bytes += 2;
                    let (x, y) = self.at;
                    self.words[usize::from(y) * 240 + usize::from(x)] = u16::from_be_bytes([high, low]);
                    self.at = if x == self.columns.1 { (self.columns.0, y + 1) } else { (x + 1, y) };
                    self.args.clear();
                }
                _ => {}
            }
        }
    }
}

impl spi::ErrorType for LcdBus {
    type Error = Unplugged;
}

impl SpiDevice for LcdBus {
    fn transaction(&mut self, operations: &mut [spi::Operation<'_, u8>]) -> Result<(), Unplugged> {
        let mut chip = self.chip();
        if chip.unplugged {
            return Err(Unplugged);
        }
        for operation in operations {
            let spi::Operation::Write(bytes) = operation else { panic!("{operation:?}") };
            chip.longest = chip.longest.max(bytes.len());
            if chip.is_data {
                chip.take(bytes);
                continue;
            }
            let [command] = **bytes else { panic!("{bytes:?} is no command") };
            chip.command = command;
            chip.args.clear();
            chip.at = (chip.columns.0, chip.rows.0);
            match command {
                0x28 | 0x29 => chip.on = command == 0x29,
                0x20 | 0x21 => chip.inverted = command == 0x21,
                _ => {}
            }
        }
        Ok(())
    }
}

enum Line {
    DataOrCommand,
    Reset,
    Backlight,
}

struct Pin(LcdBus, Line);

impl embedded_hal::digital::ErrorType for Pin {
    type Error = Infallible;
}

impl Pin {
    fn set(&mut self, high: bool) {
        let mut chip = self.0.chip();
        match self.1 {
            Line::DataOrCommand => chip.is_data = high,
            Line::Reset => chip.resets += usize::from(!high),
            Line::Backlight => {
                assert!(chip.words.contains(&0) && chip.on, "the light goes on over a clear picture");
                chip.lit = high;
            }
        }
    }
}

impl OutputPin for Pin {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.set(false);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.set(true);
        Ok(())
    }
}

struct NoDelay;

impl DelayNs for NoDelay {
    fn delay_ns(&mut self, _: u32) {}
}

fn lcd_panel(bus: &LcdBus, text: &str) -> Result<Panel, DisplayError> {
    let bus = bus.clone();
    let open = move |spec: &PanelSpec| {
        let pin = |line| Pin(bus.clone(), line);
        let (reset, backlight) = (Some(pin(Line::Reset)), Some(pin(Line::Backlight)));
        let wires = lcd::Wires { spi: bus.clone(), dc: pin(Line::DataOrCommand), reset, backlight };
        lcd::open(wires, &mut NoDelay, spec)
    };
    Panel::new(&panel_spec(text), Box::new(open))
}

/// A picture of which every pixel differs from its neighbours.
fn ground(width: usize, height: usize) -> Vec<u8> {
    (0..width * height).flat_map(|i| [(i % width) as u8, (i / width) as u8, (i * 7) as u8]).collect()
}

#[test]
fn an_lcd_shows_the_picture_at_its_place_in_the_memory_of_its_controller() {
    let bus = LcdBus::new();
    let mut panel = lcd_panel(&bus, "st7789:/dev/spidev0.0,dc=25,rst=27,bl=18,100x60,at=40x53").unwrap();
    assert!(bus.chip().on && bus.chip().lit && bus.chip().inverted && bus.chip().resets == 1);
    assert!(panel.shows_picture());
    let pixels = ground(100, 60);
    panel.show(&Scene::of(ImageView::rgb8(&pixels, FrameSize::new(100, 60)).unwrap())).unwrap();
    let chip = bus.chip();
    for y in 0..320_usize {
        for x in 0..240_usize {
            let expected = match (x.checked_sub(40), y.checked_sub(53)) {
                (Some(x @ 0..100), Some(y @ 0..60)) => {
                    to_rgb565(pixels[(y * 100 + x) * 3..][..3].try_into().unwrap(), x, y)
                }
                _ => 0x1234,
            };
            assert_eq!(chip.words[y * 240 + x], expected, "({x}, {y})");
        }
    }
    assert!(chip.longest <= 4096, "a transfer of {} bytes", chip.longest);
}

#[test]
fn an_lcd_is_sent_the_rows_that_change() {
    let bus = LcdBus::new();
    let mut panel = lcd_panel(&bus, "ili9341:/dev/spidev0.0,dc=25,100x60").unwrap();
    assert!(!bus.chip().inverted);
    let mut pixels = ground(100, 60);
    let show = |panel: &mut Panel, pixels: &[u8]| {
        panel.show(&Scene::of(ImageView::rgb8(pixels, FrameSize::new(100, 60)).unwrap())).unwrap();
        std::mem::take(&mut bus.chip().pixel_bytes)
    };
    show(&mut panel, &pixels);
    assert_eq!(show(&mut panel, &pixels), 0);
    for row in [7, 8, 59] {
        pixels[row * 300] ^= 0x80;
    }
    assert_eq!(show(&mut panel, &pixels), 3 * 200);
    let repaints = (0..110).filter(|_| show(&mut panel, &pixels) == 60 * 200).count();
    assert_eq!(repaints, 1, "all is sent again now and then");
}

#[test]
fn an_lcd_that_is_turned_and_one_that_is_unplugged() {
    let bus = LcdBus::new();
    let mut panel = lcd_panel(&bus, "st7789:/dev/spidev0.0,dc=25,60x100,rotate=90").unwrap();
    let pixels = ground(100, 60);
    let scene = Scene::of(ImageView::rgb8(&pixels, FrameSize::new(100, 60)).unwrap());
    bus.chip().unplugged = true;
    for _ in 0..2 {
        let error = panel.show(&scene).unwrap_err().to_string();
        assert!(error.starts_with("/dev/spidev0.0: the panel cannot be reached"), "{error}");
    }
    bus.chip().unplugged = false;
    panel.show(&scene).unwrap();
    let chip = bus.chip();
    assert_eq!(chip.resets, 3, "it is set up again, which a bus that is interrupted does not finish");
    // Clockwise: the picture's lower left corner is at the upper left.
    let corner: [u8; 3] = pixels[59 * 300..][..3].try_into().unwrap();
    assert_eq!(chip.words[0], to_rgb565(corner, 0, 0));
    let corner: [u8; 3] = pixels[..3].try_into().unwrap();
    assert_eq!(chip.words[59], to_rgb565(corner, 59, 0));
}
