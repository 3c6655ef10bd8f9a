//! The buses and lines of Linux: i2c-dev, spidev, GPIO character devices.

use std::error::Error;

use linux_embedded_hal::gpio_cdev::{Chip, LineRequestFlags};
use linux_embedded_hal::spidev::{SpiModeFlags, SpidevOptions};
use linux_embedded_hal::{CdevPin, Delay, I2cdev, SpidevDevice};

use super::{Glass, lcd, oled};
use crate::display::{DisplayError, PanelKind, PanelSpec};

/// Who holds the lines, as other programs see it.
const CONSUMER: &str = "cutout";

pub(super) fn open(spec: &PanelSpec) -> Result<Box<dyn Glass>, DisplayError> {
    if spec.kind == PanelKind::Ssd1306 {
        // What the crate says of a device that does not open says little.
        readable(&spec.bus)?;
        let i2c = I2cdev::new(&spec.bus).map_err(|fault| unusable(&spec.bus, &fault))?;
        return oled::open(i2c, spec);
    }
    readable(&spec.bus)?;
    let mut spi = SpidevDevice::open(&spec.bus).map_err(|fault| unusable(&spec.bus, &fault))?;
    let options =
        SpidevOptions::new().bits_per_word(8).max_speed_hz(spec.mhz * 1_000_000).mode(SpiModeFlags::SPI_MODE_0).build();
    spi.configure(&options).map_err(|fault| unusable(&spec.bus, &fault))?;
    readable(&spec.gpio)?;
    let line = |number: u32| -> Result<CdevPin, DisplayError> {
        let requested = Chip::new(&spec.gpio).and_then(|mut chip| {
            let line = chip.get_line(number)?;
            CdevPin::new(line.request(LineRequestFlags::OUTPUT, 0, CONSUMER)?)
        });
        requested.map_err(|fault| DisplayError::unfit(&spec.gpio, format!("line {number} cannot be used: {fault}")))
    };
    let dc =
        spec.dc.ok_or_else(|| DisplayError::unfit(&spec.bus, "needs a line that tells data from commands: dc=25"))?;
    let wires = lcd::Wires {
        spi,
        dc: line(dc)?,
        reset: spec.reset.map(line).transpose()?,
        backlight: spec.backlight.map(line).transpose()?,
    };
    lcd::open(wires, &mut Delay, spec)
}

fn readable(device: &std::path::Path) -> Result<(), DisplayError> {
    let opened = std::fs::File::options().read(true).write(true).open(device);
    opened.map(drop).map_err(|fault| DisplayError::device(device, "opened", fault))
}

fn unusable(device: &std::path::Path, fault: &dyn Error) -> DisplayError {
    DisplayError::unfit(device, format!("cannot be used: {fault}"))
}
