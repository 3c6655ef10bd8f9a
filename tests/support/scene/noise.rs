//! Random numbers and smooth random fields, the same on every machine: integers, and floats under IEEE's exact
//! operations only. (The library functions behind `sin` or `powf` differ from one machine to the next.)

use super::vec3::{Vec3, vec3};

/// A scrambled number (the finaliser of PCG-RXS-M-XS 32: O'Neill, 2014).
pub(super) fn hash(value: u32) -> u32 {
    let state = value.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let word = ((state >> ((state >> 28) + 4)) ^ state).wrapping_mul(277_803_737);
    (word >> 22) ^ word
}

/// A hash as a number in [0, 1).
pub(super) fn unit(value: u32) -> f32 {
    (hash(value) >> 8) as f32 / (1 << 24) as f32
}

/// A sequence of random numbers.
pub(super) struct Random(u32);

impl Random {
    pub(super) fn new(seed: u32) -> Self {
        Random(hash(seed))
    }

    /// The next number in [0, 1).
    pub(super) fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9);
        unit(self.0)
    }
}

pub(super) fn smooth(t: f32) -> f32 {
    t * t * (3.0 - 2.0 * t)
}

/// 0 below `from`, 1 above `to`, smooth between.
pub(super) fn step(from: f32, to: f32, value: f32) -> f32 {
    smooth(((value - from) / (to - from)).clamp(0.0, 1.0))
}

/// A smooth field in [0, 1) that varies over lengths of about one.
pub(super) fn field(p: Vec3) -> f32 {
    let floor = p.map(f32::floor);
    let f = (p - floor).map(smooth);
    let (x, y, z) = (floor.x as i32, floor.y as i32, floor.z as i32);
    let corner = |dx: i32, dy: i32, dz: i32| {
        let mixed = (x + dx) as u32 ^ hash((y + dy) as u32 ^ hash((z + dz) as u32));
        unit(mixed)
    };
    let lerp = |a: f32, b: f32, t: f32| a + (b - a) * t;
    let edge = |dy, dz| lerp(corner(0, dy, dz), corner(1, dy, dz), f.x);
    lerp(lerp(edge(0, 0), edge(1, 0), f.y), lerp(edge(0, 1), edge(1, 1), f.y), f.z)
}

/// `octaves` fields, each of half the strength and size of the one before; in [0, 1).
pub(super) fn layered(p: Vec3, octaves: u32) -> f32 {
    let (mut sum, mut total, mut strength, mut p) = (0.0, 0.0, 1.0, p);
    for _ in 0..octaves {
        sum += strength * field(p);
        total += strength;
        strength *= 0.5;
        p = p * 2.03 + vec3(17.3, 5.1, 9.7);
    }
    sum / total
}
