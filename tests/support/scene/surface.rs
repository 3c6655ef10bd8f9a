//! What the things look like: colour, sheen and fine relief.

use super::noise::{field, layered, step, unit};
use super::vec3::{Vec3, vec3};

/// A surface at one place.
#[derive(Clone, Copy)]
pub(super) struct Surface {
    /// Diffuse reflectance, linear RGB.
    pub(super) albedo: Vec3,
    /// Reflectance of the clear coat seen straight on (0.04 for most plastics and glazes); 0 for none.
    pub(super) coat: f32,
    /// How far reflections are scattered, as the radius of a disc at distance one.
    pub(super) rough: f32,
    /// Slope of the fine relief, to be added to the normal.
    pub(super) relief: Vec3,
}

impl Surface {
    pub(super) fn matt(albedo: Vec3) -> Self {
        Surface { albedo, coat: 0.0, rough: 0.0, relief: Vec3::ZERO }
    }

    pub(super) fn coated(albedo: Vec3, coat: f32, rough: f32) -> Self {
        Surface { albedo, coat, rough, relief: Vec3::ZERO }
    }
}

/// How steeply the layered noise rises at `p`, along each axis.
fn slope(p: Vec3, octaves: u32) -> Vec3 {
    const STEP: f32 = 0.05;
    let here = layered(p, octaves);
    let along = |d: Vec3| (layered(p + d, octaves) - here) / STEP;
    vec3(along(vec3(STEP, 0.0, 0.0)), along(vec3(0.0, STEP, 0.0)), along(vec3(0.0, 0.0, STEP)))
}

/// Planks of oiled oak along x, on the plane y = 0.
pub(super) fn table(p: Vec3) -> Surface {
    const WIDTH: f32 = 1.35;
    let plank = (p.z / WIDTH + 40.3).floor();
    let across = p.z / WIDTH + 40.3 - plank;
    let tone = unit(plank as u32);
    let along = p.x + 31.0 * unit(plank as u32 + 77);
    // Rings of a trunk that leans against the plank: ovals and long waves.
    let bend = layered(vec3(along * 0.22, plank * 9.1, p.z * 0.9), 3);
    let rings = (across - 0.5 + 0.35 * (tone - 0.5)) * 5.0 + bend * 9.0;
    let ring = (rings - rings.floor() - 0.5).abs() * 2.0;
    let grain = layered(vec3(along * 1.6, plank * 3.7, p.z * 38.0), 3);
    let pores = step(0.66, 0.8, layered(vec3(along * 3.0, plank, p.z * 90.0), 2));
    let light = vec3(0.40, 0.245, 0.125).mix(vec3(0.52, 0.35, 0.20), tone);
    let dark = vec3(0.235, 0.125, 0.058).mix(vec3(0.30, 0.17, 0.085), tone);
    let mut albedo = light.mix(dark, 0.55 * step(0.25, 0.95, ring) + 0.45 * (grain - 0.35).max(0.0));
    albedo = albedo * (1.0 - 0.35 * pores) * (0.85 + 0.3 * bend);
    // Where two planks meet.
    let gap = across.min(1.0 - across) * WIDTH;
    albedo = albedo * (0.25 + 0.75 * step(0.004, 0.022, gap));
    // Stains and wear.
    let wear = layered(vec3(p.x * 0.8, 3.0, p.z * 0.8), 3);
    albedo = albedo * (0.86 + 0.28 * wear);
    let coat = 0.035 * step(0.004, 0.03, gap);
    Surface { albedo, coat, rough: 0.10 + 0.12 * wear + 0.1 * grain, relief: Vec3::ZERO }
}

/// A brick wall in the plane z = constant, painted long ago.
pub(super) fn wall(p: Vec3) -> Surface {
    const BRICK: (f32, f32) = (2.3, 0.78);
    let row = (p.y / BRICK.1).floor();
    let shift = if row as i32 % 2 == 0 { 0.0 } else { 0.5 };
    let column = (p.x / BRICK.0 + shift).floor();
    let (u, v) = (p.x / BRICK.0 + shift - column, p.y / BRICK.1 - row);
    let ragged = 0.02 * (layered(p * 6.0, 2) - 0.5);
    let edge = (u.min(1.0 - u) * BRICK.0).min(v.min(1.0 - v) * BRICK.1) + ragged;
    let tone = unit((row as i32 * 57 + column as i32 + 9000) as u32);
    let brick = vec3(0.33, 0.13, 0.085).mix(vec3(0.50, 0.28, 0.20), tone) * (0.70 + 0.55 * layered(p * 3.0, 4));
    let mortar = vec3(0.38, 0.36, 0.33) * (0.8 + 0.3 * layered(p * 9.0, 2));
    Surface::matt(mortar.mix(brick, step(0.035, 0.065, edge)))
}

/// Glazed stoneware with a blue band, coffee within. Heights in the mug's own frame.
pub(super) fn mug(p: Vec3) -> Surface {
    let radius = (p.x * p.x + p.z * p.z).sqrt();
    if radius < 0.385 && p.y < 0.79 && p.y > 0.7 {
        return Surface::coated(vec3(0.035, 0.016, 0.007), 0.03, 0.004);
    }
    let speckle = step(0.70, 0.75, layered(p * 20.0, 2));
    let cream = vec3(0.74, 0.70, 0.62) * (1.0 - 0.45 * speckle);
    let outside = radius > 0.415;
    let wavy = 0.012 * (field(vec3(p.x * 5.0, 0.0, p.z * 5.0)) - 0.5);
    let band = if outside { step(0.155, 0.17, p.y + wavy) - step(0.50, 0.515, p.y + wavy) } else { 0.0 };
    let blue = vec3(0.030, 0.085, 0.205) * (0.8 + 0.4 * layered(p * 8.0, 2));
    Surface::coated(cream.mix(blue, band), 0.045, 0.008)
}

/// A bottle of dark green glass with a paper label and a foil cap.
pub(super) fn bottle(p: Vec3) -> Surface {
    let radius = (p.x * p.x + p.z * p.z).sqrt();
    if p.y > 2.16 {
        let fold = field(vec3(p.x * 30.0, p.y * 4.0, p.z * 30.0));
        return Surface::coated(vec3(0.36, 0.045, 0.05) * (0.7 + 0.5 * fold), 0.22, 0.10);
    }
    // The label covers the front; `turn` runs across it.
    let turn = p.x / radius.max(0.01);
    if p.z > 0.0 && turn.abs() < 0.86 && (0.35..1.25).contains(&p.y) {
        let v = (p.y - 0.35) / 0.9;
        let border = (v - 0.5).abs() > 0.43 && (v - 0.5).abs() < 0.46;
        let title = word((turn + 0.52) / 1.04, (v - 0.53) / 0.15);
        let lines = (0.16..0.44).contains(&v) && turn.abs() < 0.62 && text(turn * 17.0, (v - 0.16) / 0.07);
        let (across, along) = (turn * 0.42, v * 0.9 - 0.775);
        let emblem = across * across + along * along < 0.055 * 0.055;
        let paper = vec3(0.76, 0.72, 0.60) * (0.92 + 0.12 * layered(p * 20.0, 2));
        let ink = if emblem || border { vec3(0.45, 0.26, 0.06) } else { vec3(0.07, 0.05, 0.05) };
        let printed = border || title || lines || emblem;
        return Surface::coated(if printed { ink } else { paper }, 0.02, 0.35);
    }
    Surface::coated(vec3(0.012, 0.030, 0.014), 0.05, 0.003)
}

/// Corrugated cardboard with tape along the top and a printed label on the front. `half` are its half sides.
pub(super) fn carton(p: Vec3, half: Vec3) -> Surface {
    let fibre = layered(vec3(p.x * 14.0, p.y * 14.0, p.z * 14.0), 3);
    let flutes = field(vec3(p.x * 22.0, p.y * 0.8, p.z * 22.0));
    let kraft = vec3(0.46, 0.315, 0.185) * (0.82 + 0.24 * fibre + 0.1 * flutes);
    let top = p.y > half.y - 0.01;
    let taped = p.z.abs() < 0.17 && (top || (p.x.abs() > half.x - 0.01 && p.y > half.y * 0.35));
    if taped {
        return Surface::coated(kraft * vec3(0.80, 0.66, 0.46), 0.05, 0.06);
    }
    if top && p.z.abs() < 0.185 {
        return Surface::matt(kraft * 0.5);
    }
    if p.z > half.z - 0.01 {
        let (u, v) = ((p.x - 0.02) / 0.74, (p.y + 0.52) / 0.50);
        if (0.0..1.0).contains(&u) && (0.0..1.0).contains(&v) {
            let bars = (0.12..0.40).contains(&v) && (0.08..0.62).contains(&u) && unit((u * 62.0) as u32 + 5) > 0.5;
            let title = word((u - 0.08) / 0.62, (v - 0.73) / 0.17);
            let lines = (0.46..0.66).contains(&v) && (0.06..0.9).contains(&u) && text(u * 22.0, (v - 0.46) / 0.1);
            let stamp = (0.10..0.42).contains(&v) && (0.72..0.92).contains(&u);
            let ink = if stamp { vec3(0.55, 0.09, 0.06) } else { vec3(0.05, 0.05, 0.06) };
            let white = vec3(0.74, 0.74, 0.72) * (0.95 + 0.08 * fibre);
            return Surface::coated(if bars || title || lines || stamp { ink } else { white }, 0.025, 0.25);
        }
    }
    Surface::matt(kraft)
}

/// An orange: pores, and the green end of the stalk.
pub(super) fn orange(p: Vec3) -> Surface {
    let top = (p.x * p.x + p.z * p.z).sqrt();
    if p.y > 0.0 && top < 0.045 {
        return Surface::matt(vec3(0.10, 0.12, 0.035));
    }
    let blush = layered(p * 4.0, 3);
    let skin = vec3(0.78, 0.245, 0.018).mix(vec3(0.86, 0.36, 0.03), blush);
    let pale = if p.y > 0.0 { 0.35 * step(0.16, 0.05, top) } else { 0.0 };
    let albedo = skin.mix(vec3(0.52, 0.36, 0.05), pale);
    Surface { albedo, coat: 0.035, rough: 0.09, relief: slope(p * 30.0, 2) * -0.10 }
}

/// A tennis ball of radius `radius`: felt and seam.
pub(super) fn tennis_ball(p: Vec3, radius: f32) -> Surface {
    let q = p / radius;
    // The zeros of this saddle on the sphere wind about it as the seam does.
    let saddle = (q.z - 2.2 * q.x * q.y).abs();
    let fuzz = layered(q * 34.0, 2);
    let felt = vec3(0.58, 0.64, 0.085) * (0.62 + 0.62 * fuzz);
    let seam = 1.0 - step(0.075, 0.115, saddle);
    let albedo = felt.mix(vec3(0.66, 0.66, 0.60), seam);
    Surface { albedo, coat: 0.0, rough: 0.0, relief: slope(q * 22.0, 2) * (0.10 * (1.0 - seam)) }
}

/// A roll of masking tape lying on its side.
pub(super) fn tape(p: Vec3) -> Surface {
    let radius = (p.x * p.x + p.z * p.z).sqrt();
    if radius < 0.405 {
        return Surface::matt(vec3(0.44, 0.30, 0.18) * (0.85 + 0.3 * layered(p * 14.0, 2)));
    }
    let layers = field(vec3(radius * 85.0, 3.0, 3.0));
    let side = p.y.abs() > 0.125;
    let tone = if side { 0.82 + 0.25 * layers } else { 0.96 + 0.08 * field(p * 7.0) };
    Surface::coated(vec3(0.055, 0.255, 0.52) * tone, 0.03, 0.30)
}

/// A notebook bound in red cloth with an elastic band. `half` are its half sides.
pub(super) fn notebook(p: Vec3, half: Vec3) -> Surface {
    if p.y.abs() < half.y - 0.024 && p.x > -half.x + 0.03 {
        let sheets = field(vec3(0.0, p.y * 160.0, 0.0));
        return Surface::matt(vec3(0.70, 0.67, 0.58) * (0.72 + 0.3 * sheets));
    }
    if (p.x - half.x * 0.72).abs() < 0.035 {
        return Surface::matt(vec3(0.03, 0.03, 0.035) * (0.8 + 0.5 * field(p * vec3(6.0, 6.0, 70.0))));
    }
    let cloth = 0.5 * field(p * vec3(70.0, 70.0, 9.0)) + 0.5 * field(p * vec3(9.0, 70.0, 70.0));
    Surface::coated(vec3(0.32, 0.028, 0.038) * (0.7 + 0.6 * cloth), 0.02, 0.4)
}

/// A pencil along x, sharpened where x is large. `length` is that of its body.
pub(super) fn pencil(p: Vec3, length: f32) -> Surface {
    if p.x < 0.09 {
        return Surface::matt(vec3(0.62, 0.30, 0.28));
    }
    if p.x < 0.20 {
        let ribs = field(vec3(p.x * 110.0, 0.0, 0.0));
        return Surface::coated(vec3(0.42, 0.42, 0.42) * (0.5 + 0.5 * ribs), 0.35, 0.08);
    }
    if p.x < length {
        return Surface::coated(vec3(0.80, 0.46, 0.03), 0.05, 0.05);
    }
    let wood = vec3(0.62, 0.43, 0.25) * (0.9 + 0.2 * field(p * vec3(12.0, 80.0, 80.0)));
    Surface::matt(if p.x > length + 0.10 { vec3(0.04, 0.04, 0.045) } else { wood })
}

/// Whether the word "CUTOUT" covers (x, y), both from 0 to 1 over the word.
fn word(x: f32, y: f32) -> bool {
    // Rows from the top, five columns of a letter from the left.
    const C: [u8; 7] = [0b01110, 0b10001, 0b10000, 0b10000, 0b10000, 0b10001, 0b01110];
    const U: [u8; 7] = [0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110];
    const T: [u8; 7] = [0b11111, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100];
    const O: [u8; 7] = [0b01110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110];
    if !(0.0..1.0).contains(&x) || !(0.0..1.0).contains(&y) {
        return false;
    }
    let (column, row) = ((x * 35.0) as usize, 6 - (y * 7.0) as usize);
    let letter = [C, U, T, O, U, T][column / 6];
    letter[row] >> (4 - (column % 6).min(4)) & 1 == 1 && column % 6 < 5
}

/// Whether small print covers (x, y): lines one unit high, words of letters too small to read.
fn text(x: f32, y: f32) -> bool {
    let line = y.floor();
    let v = y - line;
    (0.25..0.72).contains(&v) && unit((x + 200.0).floor() as u32 + 997 * (line as i32 + 50) as u32) > 0.3
}
