//! [`NoisyLine`]: a line between a client and the service that flips bits, loses, repeats and reorders packets.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// How bad a line is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Noise {
    /// Share of bits that arrive flipped.
    pub bit_errors: f64,
    /// Share of packets that are lost.
    pub lost: f64,
    /// Share of packets that arrive twice.
    pub doubled: f64,
    /// Share of packets that arrive after the next one.
    pub late: f64,
    /// Share of packets before which some bytes of garbage arrive.
    pub garbage: f64,
}

/// What a line has done to those who use it.
#[derive(Debug, Default)]
pub struct Damage {
    /// Packets that were sent over it, both ways.
    pub packets: AtomicU64,
    /// Bits flipped.
    pub flipped: AtomicU64,
    /// Packets lost.
    pub lost: AtomicU64,
    /// Packets doubled.
    pub doubled: AtomicU64,
    /// Packets that were overtaken.
    pub late: AtomicU64,
}

/// Numbers that look random and are the same in each run (Vigna's xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn happens(&mut self, share: f64) -> bool {
        share > 0.0 && self.share() < share
    }
}

/// A TCP port in front of another one.
pub struct NoisyLine {
    address: SocketAddr,
    damage: Arc<Damage>,
    stop: Arc<AtomicBool>,
}

impl NoisyLine {
    /// A port whose connections lead to `service`, over a line as bad as `noise` says.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn to(service: SocketAddr, noise: Noise, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound port has an address");
        let (damage, stop) = (Arc::new(Damage::default()), Arc::new(AtomicBool::new(false)));
        let (told, stopped) = (damage.clone(), stop.clone());
        thread::spawn(move || {
            for (number, client) in listener.incoming().enumerate() {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                let Ok(client) = client else { continue };
                let Ok(service) = TcpStream::connect(service) else { continue };
                let seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ ((number as u64 + 1) << 1);
                let _ = (client.set_nodelay(true), service.set_nodelay(true));
                for (from, to, seed) in [(&client, &service, seed | 1), (&service, &client, !seed | 1)] {
                    let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { continue };
                    let told = told.clone();
                    thread::spawn(move || {
                        // Whoever hangs up ends both ways.
                        let _ = carry(&from, &to, noise, Random(seed), &told);
                        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
                    });
                }
            }
        });
        NoisyLine { address, damage, stop }
    }

    /// Where clients come.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has done so far.
    pub fn damage(&self) -> &Damage {
        &self.damage
    }
}

impl Drop for NoisyLine {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes who accepts.
        let _ = TcpStream::connect(self.address);
    }
}

/// Carries packets, told by their delimiters, until one end hangs up.
fn carry(
    mut from: &TcpStream,
    mut to: &TcpStream,
    noise: Noise,
    mut random: Random,
    damage: &Damage,
) -> io::Result<()> {
    let mut buffer = [0; 4096];
    let mut packet = Vec::new();
    let mut held: Option<Vec<u8>> = None;
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        for &byte in &buffer[..count] {
            packet.push(byte);
            if byte != 0 {
                continue;
            }
            let mut packet = std::mem::take(&mut packet);
            if packet.len() == 1 {
                continue;
            }
            damage.packets.fetch_add(1, Ordering::Relaxed);
            if random.happens(noise.lost) {
                damage.lost.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            if random.happens(noise.garbage) {
                let garbage: Vec<u8> = (0..random.next() % 40).map(|_| random.next() as u8).collect();
                to.write_all(&garbage)?;
            }
            flip(&mut packet, noise.bit_errors, &mut random, damage);
            if random.happens(noise.late) && held.is_none() {
                damage.late.fetch_add(1, Ordering::Relaxed);
                held = Some(packet);
                continue;
            }
            to.write_all(&packet)?;
            if random.happens(noise.doubled) {
                damage.doubled.fetch_add(1, Ordering::Relaxed);
                to.write_all(&packet)?;
            }
            if let Some(held) = held.take() {
                to.write_all(&held)?;
            }
        }
    }
}

/// Flips bits, the distances between which are geometric.
fn flip(packet: &mut [u8], share: f64, random: &mut Random, damage: &Damage) {
    if share <= 0.0 {
        return;
    }
    let mut distance = || ((1.0 - random.share()).ln() / (1.0 - share).ln()).min(1e12) as usize;
    let mut at = distance();
    while at < packet.len() * 8 {
        packet[at / 8] ^= 1 << (at % 8);
        damage.flipped.fetch_add(1, Ordering::Relaxed);
        at += 1 + distance();
    }
}
