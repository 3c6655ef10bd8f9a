//! Lines that lose, damage, double and swap packets, on purpose and the same way each time.

use std::io;
use std::time::Duration;

use crate::transport::{Connection, Reader, Writer};

/// What happens to a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Arrives,
    IsLost,
    /// A bit of it is wrong.
    IsDamaged,
    ComesTwice,
    /// Noise comes before it.
    HasNoise,
}

/// Decides about packets, in the order in which they are sent.
pub(super) type Law = Box<dyn FnMut(usize) -> Fate + Send>;

/// Packets with these fates, and all others arrive.
pub(super) fn only(fates: &[(usize, Fate)]) -> Law {
    let fates = fates.to_vec();
    Box::new(move |index| fates.iter().find(|(at, _)| *at == index).map_or(Fate::Arrives, |(_, fate)| *fate))
}

/// Fates at random, most packets arriving; the same for the same seed.
pub(super) fn random(mut state: u64, percent: u64) -> Law {
    Box::new(move |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let dice = state >> 33;
        match dice % 100 {
            hit if hit >= percent => Fate::Arrives,
            _ => [Fate::IsLost, Fate::IsDamaged, Fate::ComesTwice, Fate::HasNoise][(dice / 100 % 4) as usize],
        }
    })
}

/// A connection whose packets fare so on their way out and in.
pub(super) fn spoil(connection: Connection, out: Law, into: Law) -> Connection {
    let Connection { peer, reader, writer } = connection;
    let reader = Spoiled { reader, law: Fates { law: into, index: 0 }, packet: Vec::new(), ready: Vec::new() };
    Connection {
        peer,
        reader: Box::new(reader),
        writer: Box::new(Spoiler { writer, law: Fates { law: out, index: 0 } }),
    }
}

struct Fates {
    law: Law,
    index: usize,
}

impl Fates {
    /// What arrives of a packet.
    fn meet(&mut self, packet: &[u8]) -> Vec<u8> {
        // Delimiters between packets are no packets.
        if packet.iter().all(|byte| *byte == 0) {
            return packet.to_vec();
        }
        let fate = (self.law)(self.index);
        self.index += 1;
        match fate {
            Fate::Arrives => packet.to_vec(),
            Fate::IsLost => Vec::new(),
            Fate::IsDamaged => {
                let mut packet = packet.to_vec();
                let middle = packet.len() * 3 / 4;
                packet[middle] ^= if packet[middle] == 0x10 { 0x20 } else { 0x10 };
                packet
            }
            Fate::ComesTwice => packet.repeat(2),
            Fate::HasNoise => [b"\x55\xff noise \x03", packet].concat(),
        }
    }
}

struct Spoiler {
    writer: Box<dyn Writer>,
    law: Fates,
}

impl Writer for Spoiler {
    fn write(&mut self, packet: &[u8], patience: Duration) -> io::Result<()> {
        let arrives = self.law.meet(packet);
        if arrives.is_empty() { Ok(()) } else { self.writer.write(&arrives, patience) }
    }

    fn set_baud(&mut self, baud: u32) -> io::Result<()> {
        self.writer.set_baud(baud)
    }

    fn close(&mut self) {
        self.writer.close();
    }
}

struct Spoiled {
    reader: Box<dyn Reader>,
    law: Fates,
    packet: Vec<u8>,
    ready: Vec<u8>,
}

impl Reader for Spoiled {
    fn read(&mut self, into: &mut [u8], patience: Duration) -> io::Result<usize> {
        if self.ready.is_empty() {
            let mut bytes = [0; 2048];
            let got = self.reader.read(&mut bytes, patience)?;
            for &byte in &bytes[..got] {
                self.packet.push(byte);
                if byte == 0 {
                    self.ready.extend(self.law.meet(&std::mem::take(&mut self.packet)));
                }
            }
        }
        let taken = self.ready.len().min(into.len());
        into[..taken].copy_from_slice(&self.ready[..taken]);
        self.ready.drain(..taken);
        Ok(taken)
    }
}
