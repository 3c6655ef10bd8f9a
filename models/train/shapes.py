"""Shapes of synthetic scenes: lists of pieces.

A piece is (contours, width). With width 0 the contours, (n, 2) floats each, are filled by the even-odd rule, so that a contour within
another is a hole; else they are open lines of that width in pixels of a picture of `SIDE`. Coordinates are in units of the shape's
radius, about its centre.
"""
import cv2
import numpy as np

SIDE = 384  # widths of lines and the like are given for this size of picture
TAU = 2 * np.pi


def circle(n=48):
    a = np.arange(n) * (TAU / n)
    return np.stack((np.cos(a), np.sin(a)), 1)


def blob(rng):
    n = int(rng.integers(2, 9))
    a = np.arange(72)[:, None] * (TAU / 72)
    wave = rng.normal(0, 1, n) / np.arange(1, n + 1) ** rng.uniform(0.7, 1.6)
    radius = 1 + rng.uniform(0.15, 0.5) * (wave * np.cos(a * np.arange(1, n + 1) + rng.uniform(0, TAU, n))).sum(1, keepdims=True)
    return [([circle(72) * np.maximum(radius, 0.15)], 0)]


def ellipse(rng):
    power = rng.choice((1, 1, 0.6, 1.3))
    c = circle()
    return [([np.sign(c) * np.abs(c) ** power * (1, rng.uniform(0.35, 1))], 0)]


def polygon(rng):
    kind = rng.random()
    n = int(rng.integers(3, 9))
    if kind < 0.4:  # convex
        a = np.sort(rng.uniform(0, TAU, n))
        radius = np.ones(n)
    elif kind < 0.7:  # star
        a = np.arange(2 * n) * (TAU / (2 * n))
        radius = np.tile((1, rng.uniform(0.3, 0.8)), n)
    else:  # concave
        a = (np.arange(n + 2) + rng.uniform(0, 0.7, n + 2)) * (TAU / (n + 2))
        radius = rng.uniform(0.25, 1, n + 2)
    return [([np.stack((np.cos(a), np.sin(a)), 1) * radius[:, None]], 0)]


def rectangle(w, h, r, x=0, y=0):
    """Half width, half height, radius of the corners, centre."""
    c = circle(24)
    c = np.insert(c, (7, 13, 19), c[(6, 12, 18),], 0)  # the points between two quarters belong to both
    sign = np.repeat(((1, 1), (-1, 1), (-1, -1), (1, -1)), (7, 7, 7, 6), 0)
    return c * r + sign * (w - r, h - r) + (x, y)


def box(rng):
    h = rng.uniform(0.15, 1)
    return [([rectangle(1, h, h * rng.choice((0, 0.15, 0.4, 1)))], 0)]


def frame(rng):
    """A ring, a frame, or a plate with holes."""
    kind = rng.random()
    if kind < 0.35:
        inner = rng.uniform(0.4, 0.88)
        return [([circle(), circle() * inner + rng.normal(0, 0.1, 2) * (1 - inner)], 0)]
    h, bar = rng.uniform(0.4, 1), rng.uniform(0.06, 0.25)
    if kind < 0.65:
        return [([rectangle(1, h, bar), rectangle(1 - bar, h - bar, 0)], 0)]
    outer = rng.choice((blob, ellipse, box, polygon))(rng)[0][0]
    holes = [circle(20) * rng.uniform(0.07, 0.2) + rng.uniform(-0.4, 0.4, 2) * (1, 0.5) for _ in range(rng.integers(1, 5))]
    return [(outer + holes, 0)]


def gear(rng):
    n = int(rng.integers(7, 18))
    a = np.arange(4 * n) * (TAU / (4 * n))
    rim = np.stack((np.cos(a), np.sin(a)), 1) * np.tile((1, 1, 0.82, 0.82), n)[:, None]
    return [([rim, circle(24) * rng.uniform(0.15, 0.6)], 0)]


def line_width(rng):
    return np.exp(rng.uniform(np.log(1.5), np.log(8)))


def walk(rng, n, wander):
    """A line of n points and length 2 whose direction drifts."""
    a = rng.uniform(0, TAU) + np.cumsum(rng.normal(0, wander, n))
    line = np.cumsum(np.stack((np.cos(a), np.sin(a)), 1), 0) * (2 / n)
    return line - line.mean(0)


def wire(rng):
    """A polyline, a bent wire, a crack, or a coil."""
    kind = rng.random()
    if kind < 0.2:
        line = rng.uniform(-1, 1, (rng.integers(2, 5), 2))
    elif kind < 0.55:
        line = walk(rng, 40, rng.uniform(0.03, 0.3))
    elif kind < 0.85:
        line = walk(rng, 40, rng.uniform(0.5, 0.9))
    else:
        t = np.linspace(0, 1, 120)[:, None]
        turns = rng.uniform(3, 9) * TAU * t
        line = np.hstack((2 * t - 1 + 0.15 * np.cos(turns), rng.uniform(0.1, 0.4) * np.sin(turns)))
    return [([line], line_width(rng))]


def crack(rng):
    """A jagged line with side lines."""
    main = walk(rng, 40, rng.uniform(0.4, 0.8))
    width = rng.uniform(1.5, 4)
    sides = [main[i] + walk(rng, 12, 0.7) * 0.3 for i in rng.integers(3, 37, rng.integers(0, 4))]
    return [([main], width)] + [([s - s[0] + main[i]], max(1.5, width * 0.7)) for s, i in zip(sides, rng.integers(3, 37, 4))]


def lattice(rng):
    """A fence or a grid."""
    columns, rows = rng.integers(2, 9), rng.integers(0, 7)
    h = rng.uniform(0.3, 1)
    lines = [np.array(((x, -h), (x, h))) for x in np.linspace(-1, 1, columns)]
    lines += [np.array(((-1, y), (1, y))) for y in np.linspace(-h, h, rows)]
    return [(lines, min(line_width(rng), 5))]


def tree(rng):
    """A stem that forks."""
    pieces, tips = [], [(np.array((0, 1.0)), -TAU / 4, rng.uniform(0.5, 0.9), rng.uniform(3, 9))]
    bend = rng.uniform(0.2, 0.5)
    for _ in range(rng.integers(3, 5)):
        grown = []
        for start, angle, length, width in tips:
            end = start + length * np.array((np.cos(angle), np.sin(angle)))
            pieces.append(([np.stack((start, end))], max(1.5, width)))
            for turn in rng.uniform((-2.5 * bend, 0), (0, 2.5 * bend)):
                grown.append((end, angle + turn, length * rng.uniform(0.55, 0.85), width * 0.65))
        tips = grown
    if rng.random() < 0.4:
        pieces += [([end + circle(12) * (0.1, 0.06)], 0) for end, *_ in tips]
    return pieces


def plant(rng):
    """Leaves about a centre."""
    n = int(rng.integers(3, 9))
    t = np.linspace(0, np.pi, 12)
    side = rng.uniform(0.1, 0.3) * np.sin(t) ** rng.uniform(0.6, 1.4)
    leaf = np.stack((np.concatenate((1 - np.cos(t), 1 + np.cos(t))) / 2, np.concatenate((side, -side))), 1)
    turns = (np.arange(n) + rng.uniform(-0.3, 0.3, n)) * (TAU / n)
    return [([leaf @ rotation(a) * rng.uniform(0.6, 1)], 0) for a in turns]


def handle(rng):
    """A rod from (-1, 0) to about (0.6, 0), thicker or thinner at its end."""
    a, b = rng.uniform(0.04, 0.16, 2)
    t = np.linspace(0, 1, 12)
    side = a + (b - a) * t + rng.uniform(0, 0.04) * np.sin(t * rng.uniform(3, 12))
    rod = np.stack((np.concatenate((t, t[::-1])) * 1.6 - 1, np.concatenate((side, -side))), 1)
    return ([rod], 0)


def head(rng):
    """What sits on the end of a handle, about (0.65, 0)."""
    kind = rng.integers(6)
    if kind == 0:  # hammer
        return ([rectangle(rng.uniform(0.08, 0.2), rng.uniform(0.3, 0.6), 0.04, 0.65)], 0)
    if kind == 1:  # spoon, brush
        return ([circle() * (rng.uniform(0.2, 0.4), rng.uniform(0.12, 0.3)) + (0.75, 0)], 0)
    if kind == 2:  # open spanner
        a = np.linspace(0.5, TAU - 0.5, 24)[:, None]
        jaw = np.hstack((np.cos(a), np.sin(a))) * 0.25
        return ([np.vstack((jaw, jaw[::-1] * (0.5, 0.45))) + (0.75, 0)], 0)
    if kind == 3:  # ring spanner, magnifier
        return ([circle() * 0.28 + (0.75, 0), circle() * rng.uniform(0.12, 0.24) + (0.75, 0)], 0)
    if kind == 4:  # blade, screwdriver
        return ([np.array(((0.4, 0.06), (1.3, rng.uniform(0.01, 0.2)), (1.4, -0.02), (0.4, -0.06)))], 0)
    return ([c * 0.35 + (0.7, 0) for c in rng.choice((blob, polygon, box, gear))(rng)[0][0]], 0)


def tool(rng):
    kind = rng.random()
    if kind < 0.75:
        return [handle(rng), head(rng)]
    if kind < 0.88:  # pliers, scissors
        rod = handle(rng)[0][0]
        end = rng.uniform(0.12, 0.25)
        grip = [circle(24) * end + (-1, 0), circle(24) * (0.65 * end) + (-1, 0)]
        return [([c @ rotation(s * rng.uniform(0.12, 0.35))], 0) for s in (-1, 1) for c in (rod,)] + [
            ([c @ rotation(s * 0.25) for c in grip], 0) for s in (-1, 1) if rng.random() < 0.7]
    # mug, pan: a body with an ear
    return [([rectangle(0.6, rng.uniform(0.4, 0.7), 0.08)], 0), ([circle() * 0.35 + (0.7, 0), circle() * 0.23 + (0.7, 0)], 0)]


def rotation(angle):
    c, s = np.cos(angle), np.sin(angle)
    return np.array(((c, s), (-s, c)))


SOLID = (blob, ellipse, polygon, box)
SHAPES = ((blob, 5), (ellipse, 3), (polygon, 3), (box, 4), (frame, 2.5), (gear, 0.7), (wire, 2), (crack, 1), (lattice, 1),
          (tree, 1), (plant, 1), (tool, 3.5))
ODDS = np.array([o for _, o in SHAPES]) / sum(o for _, o in SHAPES)


def posed(rng, pieces, size, centre, squash=0.45, turn=np.pi):
    """Pieces in pixels: turned, squeezed along some axis, and now and then seen in perspective."""
    pose = rotation(rng.uniform(-turn, turn)) * np.exp(rng.uniform(-squash, 0, 2)) * size
    tilt = rng.uniform(-0.3, 0.3, 2) if rng.random() < 0.3 else np.zeros(2)
    return moved(pieces, pose, tilt, centre)


def moved(pieces, pose, tilt, centre):
    return [([c / (1 + (c * tilt).sum(1, keepdims=True).clip(-0.7)) @ pose + centre for c in contours], width)
            for contours, width in pieces]


def stencil(pieces, height, width):
    """(alpha (h, w) uint8 of the part inside the picture, x, y of its corner), or None where nothing is inside. Pieces are in
    pixels; the pixel (0, 0) spans 0 to 1."""
    unit = max(height, width) / SIDE
    reach = max(w for _, w in pieces) * unit / 2 + 1
    points = np.concatenate([c for contours, _ in pieces for c in contours])
    x0, y0 = np.maximum(np.floor(points.min(0) - reach), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(points.max(0) + reach), (width, height)).astype(int)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return None
    double = np.zeros((2 * (y1 - y0), 2 * (x1 - x0)), np.uint8)
    for contours, line in pieces:
        fixed = [np.rint(((c - (x0, y0)) * 2 - 0.5) * 16).astype(np.int32) for c in contours]
        if line:
            cv2.polylines(double, fixed, False, 255, max(3, round(2 * line * unit)), shift=4)
        else:
            cv2.fillPoly(double, fixed, 255, shift=4)
    return cv2.resize(double, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA), x0, y0
