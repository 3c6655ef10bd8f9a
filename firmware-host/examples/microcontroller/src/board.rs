//! The LM3S6965 on its evaluation board, as far as the program uses it: clock, UART0, milliseconds, and how much of the
//! stack was used. All that is `unsafe` in the program stands here. Another board needs another such file.
//!
//! Registers are those of the LM3S6965's data sheet; its UART is ARM's PL011.

use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::Peripherals;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::peripheral::{SCB, SYST};
use cortex_m_rt::{ExceptionFrame, STACK_PAINT_VALUE, exception, heap_start};
use cortex_m_semihosting::debug::{self, EXIT_FAILURE, EXIT_SUCCESS};
use cortex_m_semihosting::hio::{self, HostStream};

use crate::link::Port;
use crate::ring::Ring;

/// Hertz of the processor.
pub(crate) const CLOCK: u32 = 50_000_000;
/// Speed of the serial line.
pub(crate) const BAUD: u32 = 921_600;
/// Bytes that may have come and not be looked at.
pub(crate) const RECEIVED: usize = 2048;

/// A register of 32 bits.
#[derive(Clone, Copy)]
struct Register(usize);

impl Register {
    fn read(self) -> u32 {
        // SAFETY: the constants below are all registers that there are: aligned, always mapped, and read and written as words.
        unsafe { (self.0 as *const u32).read_volatile() }
    }

    fn write(self, value: u32) {
        // SAFETY: as in `read`. None of them has effects on memory.
        unsafe { (self.0 as *mut u32).write_volatile(value) }
    }
}

const RAW_INTERRUPTS: Register = Register(0x400f_e050);
const CLOCKING: Register = Register(0x400f_e060);
const GATES_1: Register = Register(0x400f_e104);
const GATES_2: Register = Register(0x400f_e108);
const PORT_A_FUNCTION: Register = Register(0x4000_4420);
const PORT_A_DIGITAL: Register = Register(0x4000_451c);
const UART_DATA: Register = Register(0x4000_c000);
const UART_FLAGS: Register = Register(0x4000_c018);
const UART_DIVISOR: Register = Register(0x4000_c024);
const UART_FRACTION: Register = Register(0x4000_c028);
const UART_LINE: Register = Register(0x4000_c02c);
const UART_CONTROL: Register = Register(0x4000_c030);
const UART_MASK: Register = Register(0x4000_c038);
const UART_CLEAR: Register = Register(0x4000_c044);
const INTERRUPTS_ON: Register = Register(0xe000_e100);

/// Bits of [`CLOCKING`].
const DIVIDER_BY_4: u32 = 3 << 23;
const DIVIDER: u32 = 0xf << 23;
const DIVIDE: u32 = 1 << 22;
const PLL_OFF: u32 = 1 << 13;
const BYPASS_PLL: u32 = 1 << 11;
const CRYSTAL: u32 = 0xf << 6;
const CRYSTAL_8_MHZ: u32 = 0xe << 6;
const OSCILLATOR: u32 = 3 << 4;
const CRYSTAL_OFF: u32 = 1;
/// Bit of [`RAW_INTERRUPTS`].
const PLL_LOCKED: u32 = 1 << 6;
/// Bits of [`UART_FLAGS`].
const SEND_FULL: u32 = 1 << 5;
const RECEIVE_EMPTY: u32 = 1 << 4;
/// Bits of [`UART_MASK`] and [`UART_CLEAR`]: the FIFO is half full; it is not, and nothing more came for a while.
const RECEIVE: u32 = 1 << 4;
const RECEIVE_TIMEOUT: u32 = 1 << 6;
/// Number of the UART's interrupt.
const UART0: i16 = 5;

/// Milliseconds between ticks. Between two of them the timer itself tells the time, so that a tick need not come often.
const TICK_MS: u32 = 20;
const CLOCKS_PER_MS: u32 = CLOCK / 1000;

static TICKS: AtomicU32 = AtomicU32::new(0);
static RING: Ring<RECEIVED> = Ring::new();

/// Serial port and clock.
pub(crate) struct Board(());

impl Board {
    /// Starts all of it. Gives `None` when called again.
    pub(crate) fn start() -> Option<Self> {
        let mut core = Peripherals::take()?;
        start_clock();
        core.SYST.set_clock_source(SystClkSource::Core);
        core.SYST.set_reload(TICK_MS * CLOCKS_PER_MS - 1);
        core.SYST.clear_current();
        core.SYST.enable_counter();
        core.SYST.enable_interrupt();
        // It begins with its next clock; until then it says that a tick is over.
        while SYST::get_current() == 0 {}
        start_uart();
        Some(Board(()))
    }

    /// Bytes that came while there was no room for them.
    pub(crate) fn overruns(&self) -> u32 {
        RING.lost()
    }
}

/// From the crystal of 8 MHz, by the PLL of 200 MHz, to 50 MHz, in the order that the data sheet demands.
fn start_clock() {
    let mut clocking = CLOCKING.read() & !DIVIDE | BYPASS_PLL;
    CLOCKING.write(clocking);
    clocking &= !CRYSTAL_OFF;
    CLOCKING.write(clocking);
    // The crystal takes some milliseconds to swing.
    cortex_m::asm::delay(400_000);
    clocking = clocking & !(CRYSTAL | OSCILLATOR | PLL_OFF) | CRYSTAL_8_MHZ;
    CLOCKING.write(clocking);
    clocking = clocking & !DIVIDER | DIVIDER_BY_4 | DIVIDE;
    CLOCKING.write(clocking);
    while RAW_INTERRUPTS.read() & PLL_LOCKED == 0 {}
    CLOCKING.write(clocking & !BYPASS_PLL);
}

fn start_uart() {
    GATES_1.write(GATES_1.read() | 1);
    GATES_2.write(GATES_2.read() | 1);
    // A module may be touched three clocks after its gate is open.
    cortex_m::asm::delay(8);
    PORT_A_FUNCTION.write(PORT_A_FUNCTION.read() | 3);
    PORT_A_DIGITAL.write(PORT_A_DIGITAL.read() | 3);
    // Sixteen clocks a bit; the divisor has six bits of fraction.
    let divisor = (CLOCK * 4 + BAUD / 2) / BAUD;
    UART_CONTROL.write(0);
    UART_DIVISOR.write(divisor >> 6);
    UART_FRACTION.write(divisor & 0x3f);
    // Eight bits, no parity, one stop bit; with FIFOs.
    UART_LINE.write(0x70);
    UART_MASK.write(RECEIVE | RECEIVE_TIMEOUT);
    UART_CONTROL.write(0x301);
    INTERRUPTS_ON.write(1 << UART0);
}

impl Port for Board {
    fn now_ms(&self) -> u32 {
        loop {
            let ticks = TICKS.load(Ordering::Relaxed);
            let left = SYST::get_current();
            // The timer may have begun anew, and the tick not be counted yet.
            if ticks == TICKS.load(Ordering::Relaxed) && !SCB::is_pendst_pending() {
                let since = (TICK_MS * CLOCKS_PER_MS - 1).saturating_sub(left) / CLOCKS_PER_MS;
                return ticks.wrapping_mul(TICK_MS).wrapping_add(since);
            }
        }
    }

    fn read(&mut self, into: &mut [u8]) -> usize {
        // Interrupts wake the processor while they are masked too, so none is missed between looking and sleeping. A tick
        // wakes it at the latest.
        cortex_m::interrupt::free(|_| {
            if RING.is_empty() {
                cortex_m::asm::wfi();
            }
        });
        RING.pop(into)
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            while UART_FLAGS.read() & SEND_FULL != 0 {}
            UART_DATA.write(byte.into());
        }
    }
}

#[exception]
fn SysTick() {
    TICKS.fetch_add(1, Ordering::Relaxed);
}

/// All interrupts of peripherals; only the UART's is on.
// SAFETY: the signature is what the runtime demands. Nothing here depends on who calls it.
#[exception]
unsafe fn DefaultHandler(number: i16) {
    if number == UART0 {
        while UART_FLAGS.read() & RECEIVE_EMPTY == 0 {
            RING.push(UART_DATA.read() as u8);
        }
        UART_CLEAR.write(RECEIVE | RECEIVE_TIMEOUT);
    }
}

/// A stack that has run out of memory ends here too.
// SAFETY: the signature is what the runtime demands.
#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    let mut console = Console::open();
    let _ = fmt::Write::write_fmt(&mut console, format_args!("FAULT at {:#010x}\n", frame.pc()));
    exit(false)
}

/// Bytes of the stack that were in use at some time: what has lost the paint that the runtime gives it.
pub(crate) fn stack_used() -> usize {
    unsafe extern "C" {
        static _stack_start: u32;
    }
    let top = &raw const _stack_start;
    let mut at = heap_start().cast_const();
    // SAFETY: from the end of the statics to the stack's start all is RAM, whole words; it is only read, and the words that the
    // running functions write, above, end the loop.
    while at < top && unsafe { at.read_volatile() } == STACK_PAINT_VALUE {
        at = at.wrapping_add(1);
    }
    top.addr() - at.addr()
}

/// Text for whoever debugs the board: standard output of the emulator or of the debugger. Where there is none, it is dropped.
pub(crate) struct Console(Option<HostStream>);

impl Console {
    /// Opens it.
    pub(crate) fn open() -> Self {
        Console(hio::hstdout().ok())
    }
}

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.as_mut().map_or(Ok(()), |stream| stream.write_str(text))
    }
}

/// Ends the emulator, or stops in the debugger.
pub(crate) fn exit(well: bool) -> ! {
    debug::exit(if well { EXIT_SUCCESS } else { EXIT_FAILURE });
    loop {
        cortex_m::asm::wfi();
    }
}
