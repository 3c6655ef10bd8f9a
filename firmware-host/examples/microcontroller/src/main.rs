//! A client of Cutout's device service for a microcontroller: bare metal, no heap, 16 KiB of RAM.
//!
//! It talks over UART0 of an LM3S6965 (a Cortex-M3) and tells by semihosting what it asked and what came; see the README. What
//! another board needs is another `board.rs`.
#![no_std]
#![no_main]

mod answer;
mod board;
mod checks;
mod client;
mod link;
mod mask;
mod ring;
mod scene;
mod trouble;

use core::fmt::Write;
use core::panic::PanicInfo;

use cortex_m_rt::entry;

use board::{BAUD, Board, CLOCK, Console, exit, stack_used};
use client::Client;
use link::{Link, MAX_PAYLOAD, WINDOW};
use scene::Scene;

/// Bytes of the longest answer.
const LONGEST: usize = 4096;
/// The client's number. Where there is a source of random numbers or a serial number, it is taken from there.
const NUMBER: u64 = 0x6d69_6372_6f5f_6d33;

#[entry]
fn main() -> ! {
    static mut BODY: [u8; LONGEST] = [0; LONGEST];

    let mut console = Console::open();
    let Some(board) = Board::start() else { exit(false) };
    let _ = writeln!(
        console,
        "Cutout's client on a Cortex-M3 of {} MHz: {BAUD} baud, payloads of {MAX_PAYLOAD} bytes, window {WINDOW}",
        CLOCK / 1_000_000
    );
    let mut client = Client::new(Link::new(board), NUMBER);
    let mut scene = Scene::new(&mut client, BODY, console);
    let played = scene.play();

    let mut console = Console::open();
    let traffic = client.link.traffic;
    let _ = writeln!(
        console,
        "line: {} bytes sent, {} received in {} packets; {} damaged, {} lost, {} asked again, {} bytes overrun",
        traffic.sent,
        traffic.received,
        traffic.packets,
        traffic.damaged,
        traffic.lost,
        client.repeats,
        client.link.port.overruns()
    );
    let _ = writeln!(console, "stack: {} bytes", stack_used());
    let _ = match &played {
        Ok(()) => writeln!(console, "done"),
        Err(trouble) => writeln!(console, "FAILED: {trouble}"),
    };
    exit(played.is_ok())
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let _ = writeln!(Console::open(), "PANIC: {info}");
    exit(false)
}
