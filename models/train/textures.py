"""Textures of synthetic scenes: a field of (h, w) uint8, looked up in a palette of 256 colours."""
import colorsys

import cv2
import numpy as np

TAU = 2 * np.pi


def colour(rng):
    """A random colour, more often dull than bright."""
    return 255 * np.array(colorsys.hsv_to_rgb(rng.random(), rng.beta(1.1, 2), rng.uniform(0.2, 1)))


def palette(rng, near=None):
    """(256, 1, 3) uint8: two to four colours, related or not, in steps or flowing. With `near`, all are close to that colour."""
    count = int(rng.integers(2, 5))
    if near is not None:
        step = rng.normal(0, 1, 3) + rng.choice((-2, 2))
        colours = near + step * rng.uniform(5, 14) + rng.normal(0, rng.uniform(2, 12), (count, 3))
    elif rng.random() < 0.25:
        colours = np.array([colour(rng) for _ in range(count)])
    else:
        colours = colour(rng) + rng.normal(0, rng.uniform(3, 40), (count, 1)) + rng.normal(0, rng.uniform(1, 12), (count, 3))
    table = np.clip(colours, 0, 255).astype(np.uint8)[np.arange(256) * count // 256][:, None]
    return cv2.blur(table, (1, int(rng.choice((9, 61, 121)))), borderType=cv2.BORDER_REPLICATE)


def fractal(rng, height, width, grain):
    """(h, w) float32 noise in [0, 1] whose largest features have about `grain` pixels and whose finest two."""
    rough = np.float32(rng.uniform(0.3, 0.7))
    size = np.array((2 + height / grain, 2 + width / grain)).astype(int)
    field, share = rng.random(size, np.float32), np.float32(1)
    while 2 * size[0] < height and 2 * size[1] < width:
        size = size * 2
        share *= rough
        field = cv2.resize(field, size[::-1].tolist()) + share * rng.random(size, np.float32)
    return cv2.normalize(cv2.resize(field, (width, height)), None, 0, 1, cv2.NORM_MINMAX)


def ramp(rng, height, width):
    """(h, w) float32: how far a pixel lies along a random direction, in pixels."""
    a = rng.uniform(0, TAU)
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    return np.float32(np.cos(a)) * x + np.float32(np.sin(a)) * y


def waves(phase):
    """A triangle wave of 0 to 254 over a phase counted in periods."""
    turn = (phase * np.float32(256)).astype(np.int32).astype(np.uint8)
    return np.minimum(turn, ~turn) * 2


def spread(field):
    return cv2.normalize(field, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)


def texture_field(rng, kind, height, width, grain):
    """(h, w) uint8 of the named kind with features of about `grain` pixels."""
    if kind == "flat":
        return np.full((height, width), rng.integers(256), np.uint8)
    if kind == "gradient":
        return spread(ramp(rng, height, width))
    if kind == "noise":
        return spread(fractal(rng, height, width, 4 * grain))
    if kind == "stripes":
        return waves(ramp(rng, height, width) / np.float32(grain))
    if kind == "marble":
        warp = fractal(rng, height, width, 4 * grain) * np.float32(rng.uniform(1, 3))
        return waves(ramp(rng, height, width) / np.float32(4 * grain) + warp)
    if kind == "checker":
        one, other = (waves(ramp(rng, height, width) / np.float32(2 * grain)) > 127 for _ in range(2))
        return (one ^ other).astype(np.uint8) * 255
    if kind == "tiles":
        x = np.arange(width, dtype=np.float32) / np.float32(2 * grain)
        y = np.arange(height, dtype=np.float32)[:, None] / np.float32(grain)
        bricks = x + (y.astype(np.int32) & 1) * np.float32(rng.choice((0, 0.5)))
        return np.minimum(cv2.LUT(waves(bricks), JOINT), cv2.LUT(waves(y), JOINT))
    if kind == "brushed":
        small = rng.random((height, 2 + width // 24) if rng.random() < 0.5 else (2 + height // 24, width), np.float32)
        return spread(cv2.resize(small, (width, height)))
    if kind == "spots":
        field = np.zeros((height, width), np.uint8)
        count = min(120, 2 + int(height * width / (6 * grain * grain)))
        for x, y, r, v in zip(*rng.integers((0, 0, 1, 90), (width, height, max(2, int(grain)), 256), (count, 4)).T.tolist()):
            cv2.circle(field, (x, y), r, v, -1, cv2.LINE_AA)
        return field
    # cells: the plane shared out among random points
    seeds = np.full((height, width), 255, np.uint8)
    count = min(250, 2 + int(height * width / (4 * grain * grain)))
    seeds[rng.integers(height, size=count), rng.integers(width, size=count)] = 0
    far, label = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
    shade = rng.integers(0, 256, count + 1).astype(np.float32)[label]
    return spread(shade - far * np.float32(rng.uniform(0, 200) / grain))


JOINT = np.clip(np.arange(256) * 12 - 200, 0, 255).astype(np.uint8)
KINDS = ("flat", "gradient", "noise", "stripes", "marble", "checker", "tiles", "brushed", "spots", "cells", "photo")
ON_OBJECTS = np.array((6, 4, 5, 1.5, 1.5, 0.6, 0.6, 1.2, 1.2, 0.6, 5)) / 27.2
ON_GROUND = np.array((2, 2.5, 5, 1, 1.5, 0.7, 1, 1, 0.8, 1, 6)) / 22.5
