//! Colour LCDs whose controllers speak MIPI's display command set.

use std::fmt::Debug;

use embedded_graphics::geometry::Size;
use embedded_graphics::pixelcolor::Rgb565;
use embedded_graphics::pixelcolor::raw::RawU16;
use embedded_hal::delay::DelayNs;
use embedded_hal::digital::OutputPin;
use embedded_hal::spi::SpiDevice;
use mipidsi::interface::{Interface, InterfaceKind};
use mipidsi::models::{ILI9341Rgb565, Model, ST7735s, ST7789};
use mipidsi::options::{ColorInversion, ColorOrder};
use mipidsi::{Builder, Display};

use super::Glass;
use crate::display::pixels::{to_rgb565, turned_row};
use crate::display::{DisplayError, Painter, PanelKind, PanelSpec, Scene};

/// Most bytes of one transfer: what Linux's spidev takes unless it is told otherwise.
const TRANSFER: usize = 4096;
/// Scenes after which all rows are sent again: on a bus without answers nobody tells of a panel that lost power.
const REPAINT: u32 = 100;

/// The lines of a panel.
pub(super) struct Wires<S, P> {
    pub(super) spi: S,
    pub(super) dc: P,
    pub(super) reset: Option<P>,
    pub(super) backlight: Option<P>,
}

/// Sets an LCD up, and clears it before its light goes on.
pub(super) fn open<S, P>(
    wires: Wires<S, P>,
    delay: &mut impl DelayNs,
    spec: &PanelSpec,
) -> Result<Box<dyn Glass>, DisplayError>
where
    S: SpiDevice + Send + 'static,
    P: OutputPin + Send + 'static,
{
    match spec.kind {
        PanelKind::Ili9341 => Lcd::open(ILI9341Rgb565, wires, delay, spec),
        PanelKind::St7735s => Lcd::open(ST7735s, wires, delay, spec),
        PanelKind::St7789 | PanelKind::Ssd1306 => Lcd::open(ST7789, wires, delay, spec),
    }
}

struct Lcd<S, P, M>
where
    S: SpiDevice,
    P: OutputPin,
    M: Model<ColorFormat = Rgb565>,
{
    driver: Display<Bus<S, P>, M, MaybePin<P>>,
    /// Kept so that the line stays as it is.
    _backlight: Option<P>,
    painter: Painter,
    spec: PanelSpec,
    /// What the panel holds; empty where that is not known.
    shown: Vec<u16>,
    until_repaint: u32,
}

impl<S, P, M> Lcd<S, P, M>
where
    S: SpiDevice + Send + 'static,
    P: OutputPin + Send + 'static,
    M: Model<ColorFormat = Rgb565> + Send + 'static,
{
    fn open(
        model: M,
        wires: Wires<S, P>,
        delay: &mut impl DelayNs,
        spec: &PanelSpec,
    ) -> Result<Box<dyn Glass>, DisplayError> {
        let Wires { spi, dc, reset, mut backlight } = wires;
        let bus = Bus { spi, dc, buffer: Vec::with_capacity(TRANSFER) };
        // The specification keeps sizes within the controllers' memories.
        let side = |side: u32| u16::try_from(side).unwrap_or(u16::MAX);
        let (width, height) = (side(spec.size.0), side(spec.size.1));
        let builder = Builder::new(model, bus)
            .display_size(width, height)
            .display_offset(side(spec.at.0), side(spec.at.1))
            .color_order(if spec.bgr { ColorOrder::Bgr } else { ColorOrder::Rgb })
            .invert_colors(if spec.invert { ColorInversion::Inverted } else { ColorInversion::Normal })
            .reset_pin(MaybePin(reset));
        let mut driver = builder.init(delay).map_err(|fault| failed(spec, &fault))?;
        let dark = vec![0; spec.size.0 as usize * spec.size.1 as usize];
        send(&mut driver, spec, 0, &dark).map_err(|fault| failed(spec, &fault))?;
        if let Some(backlight) = &mut backlight {
            backlight.set_high().map_err(|fault| failed(spec, &fault))?;
        }
        let (painter, spec) = (Painter::new(), spec.clone());
        let lcd = Lcd { driver, _backlight: backlight, painter, spec, shown: dark, until_repaint: REPAINT };
        Ok(Box::new(lcd))
    }
}

impl<S, P, M> Glass for Lcd<S, P, M>
where
    S: SpiDevice + Send,
    P: OutputPin + Send,
    M: Model<ColorFormat = Rgb565> + Send,
{
    fn show(&mut self, scene: &Scene<'_>) -> Result<(), DisplayError> {
        let Lcd { driver, painter, spec, shown, until_repaint, .. } = self;
        let (width, height) = (spec.size.0 as usize, spec.size.1 as usize);
        let size = spec.turn.of(Size::new(spec.size.0, spec.size.1));
        let pixels = painter.paint(scene, size)?;
        *until_repaint = until_repaint.checked_sub(1).unwrap_or(REPAINT);
        let all = *until_repaint == 0;
        let mut row: Vec<u16> = Vec::with_capacity(width);
        // The first of the changed rows that are not yet sent.
        let mut open = None;
        for y in 0..=height {
            row.clear();
            let changed = y < height && {
                let pixels = turned_row(pixels.as_chunks().0, size, spec.turn, false, y);
                row.extend(pixels.enumerate().map(|(x, rgb)| to_rgb565(rgb, x, y)));
                let held = &mut shown[y * width..][..width];
                let changed = all || *held != *row;
                held.copy_from_slice(&row);
                changed
            };
            match (changed, open) {
                (true, None) => open = Some(y),
                (false, Some(first)) => {
                    let rows = &shown[first * width..y * width];
                    send(driver, spec, first, rows).map_err(|fault| failed(spec, &fault))?;
                    open = None;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Sends whole rows from row `first` on.
fn send<S, P, M>(
    driver: &mut Display<Bus<S, P>, M, MaybePin<P>>,
    spec: &PanelSpec,
    first: usize,
    rows: &[u16],
) -> Result<(), BusError<S::Error, P::Error>>
where
    S: SpiDevice,
    P: OutputPin,
    M: Model<ColorFormat = Rgb565>,
{
    let width = spec.size.0 as usize;
    let last = first + rows.len() / width - 1;
    let colours = rows.iter().map(|&word| Rgb565::from(RawU16::new(word)));
    driver.set_pixels(0, first as u16, (width - 1) as u16, last as u16, colours)
}

fn failed(spec: &PanelSpec, fault: &impl Debug) -> DisplayError {
    DisplayError::unfit(&spec.bus, format!("the panel cannot be reached; check bus and lines ({fault:?})"))
}

/// A line that may not be connected.
struct MaybePin<P>(Option<P>);

impl<P: OutputPin> embedded_hal::digital::ErrorType for MaybePin<P> {
    type Error = P::Error;
}

impl<P: OutputPin> OutputPin for MaybePin<P> {
    fn set_low(&mut self) -> Result<(), P::Error> {
        self.0.as_mut().map_or(Ok(()), P::set_low)
    }

    fn set_high(&mut self) -> Result<(), P::Error> {
        self.0.as_mut().map_or(Ok(()), P::set_high)
    }
}

/// SPI with a line that tells data from commands. As the driver's own, but that it owns its buffer, so that a panel can be
/// set up again and again.
struct Bus<S, P> {
    spi: S,
    dc: P,
    buffer: Vec<u8>,
}

#[derive(Debug)]
#[allow(dead_code, reason = "shown to people")]
enum BusError<S, P> {
    Spi(S),
    Line(P),
}

impl<S: SpiDevice, P: OutputPin> Bus<S, P> {
    fn send(&mut self) -> Result<(), BusError<S::Error, P::Error>> {
        let sent = self.spi.write(&self.buffer).map_err(BusError::Spi);
        self.buffer.clear();
        sent
    }
}

impl<S: SpiDevice, P: OutputPin> Interface for Bus<S, P> {
    type Word = u8;
    type Error = BusError<S::Error, P::Error>;
    const KIND: InterfaceKind = InterfaceKind::Serial4Line;

    fn send_command(&mut self, command: u8, args: &[u8]) -> Result<(), Self::Error> {
        self.dc.set_low().map_err(BusError::Line)?;
        self.spi.write(&[command]).map_err(BusError::Spi)?;
        self.dc.set_high().map_err(BusError::Line)?;
        match args {
            [] => Ok(()),
            args => self.spi.write(args).map_err(BusError::Spi),
        }
    }

    fn send_pixels<const N: usize>(&mut self, pixels: impl IntoIterator<Item = [u8; N]>) -> Result<(), Self::Error> {
        for pixel in pixels {
            if self.buffer.len() + N > TRANSFER {
                self.send()?;
            }
            self.buffer.extend_from_slice(&pixel);
        }
        self.send()
    }

    fn send_repeated_pixel<const N: usize>(&mut self, pixel: [u8; N], count: u32) -> Result<(), Self::Error> {
        self.send_pixels((0..count).map(|_| pixel))
    }
}
