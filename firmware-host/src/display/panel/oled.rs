//! Monochrome OLEDs with an SSD1306.

use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::prelude::*;
use embedded_hal::i2c::I2c;
use ssd1306::mode::BufferedGraphicsMode;
use ssd1306::prelude::*;
use ssd1306::{I2CDisplayInterface, Ssd1306};

use super::Glass;
use crate::display::bits::BitCanvas;
use crate::display::{DisplayError, MonoPainter, PanelSpec, Scene, Turn};

/// Sets an OLED up and clears it.
pub(super) fn open<I: I2c + Send + 'static>(i2c: I, spec: &PanelSpec) -> Result<Box<dyn Glass>, DisplayError> {
    match spec.size {
        (128, 32) => Oled::open(i2c, spec, DisplaySize128x32),
        (96, 16) => Oled::open(i2c, spec, DisplaySize96x16),
        (72, 40) => Oled::open(i2c, spec, DisplaySize72x40),
        (64, 48) => Oled::open(i2c, spec, DisplaySize64x48),
        _ => Oled::open(i2c, spec, DisplaySize128x64),
    }
}

struct Oled<I, S: DisplaySize> {
    driver: Ssd1306<I2CInterface<I>, S, BufferedGraphicsMode<S>>,
    painter: MonoPainter,
    /// What is to be shown, and what is.
    canvas: BitCanvas,
    shown: BitCanvas,
    spec: PanelSpec,
}

impl<I, S> Oled<I, S>
where
    I: I2c + Send + 'static,
    S: DisplaySize<Buffer: Send> + Send + 'static,
{
    fn open(i2c: I, spec: &PanelSpec, size: S) -> Result<Box<dyn Glass>, DisplayError> {
        let rotation = match spec.turn {
            Turn::None => DisplayRotation::Rotate0,
            Turn::Quarter => DisplayRotation::Rotate90,
            Turn::Half => DisplayRotation::Rotate180,
            Turn::ThreeQuarters => DisplayRotation::Rotate270,
        };
        let interface = I2CDisplayInterface::new_custom_address(i2c, spec.address);
        let mut driver = Ssd1306::new(interface, size, rotation).into_buffered_graphics_mode();
        // The memory of the chip holds noise when it gets power.
        let set_up = driver.init().and_then(|()| driver.flush());
        set_up.map_err(|_| silent(spec))?;
        let canvas = BitCanvas::new(driver.size());
        Ok(Box::new(Oled {
            driver,
            painter: MonoPainter::default(),
            shown: canvas.clone(),
            canvas,
            spec: spec.clone(),
        }))
    }
}

impl<I, S> Glass for Oled<I, S>
where
    I: I2c + Send,
    S: DisplaySize<Buffer: Send> + Send,
{
    fn show(&mut self, scene: &Scene<'_>) -> Result<(), DisplayError> {
        let Ok(()) = self.painter.paint(&mut self.canvas, scene);
        // The driver sends the rectangle around what is drawn, and I2C is slow.
        let changed = differences(&self.canvas, &self.shown);
        let sent = self.driver.draw_iter(changed).and_then(|()| self.driver.flush());
        sent.map_err(|_| silent(&self.spec))?;
        self.shown.clone_from(&self.canvas);
        Ok(())
    }
}

/// The pixels that are not as on another canvas of the same size.
fn differences(new: &BitCanvas, old: &BitCanvas) -> impl Iterator<Item = Pixel<BinaryColor>> {
    let width = new.size().width.max(1) as usize;
    let pixels = new.lit().iter().zip(old.lit()).enumerate().filter(|(_, (new, old))| new != old);
    pixels.map(move |(i, (&lit, _))| Pixel(Point::new((i % width) as i32, (i / width) as i32), lit.into()))
}

fn silent(spec: &PanelSpec) -> DisplayError {
    let problem = format!(
        "no panel answers at address {:#04x}; check its wires and power (i2cdetect lists who answers)",
        spec.address
    );
    DisplayError::unfit(&spec.bus, problem)
}
