"""Layered synthetic scenes with exact masks, and copy-paste of real segments.

`scene` paints a background and then objects over one another: blobs, polygons, frames, tools, wires, trees, groups of small parts,
objects with parts of their own. Shapes are drawn at twice the resolution, so that their edges are smooth, and a mask is what an
object covers by at least half a pixel and no later one hides. An object with parts gives a mask of the whole and one of each part.
`paste` lays segments cut from other pictures over a picture, under the same rules. Nothing but `rng` decides what comes out.

    python synthetic.py OUT.png [PHOTO...]    # a sheet of 16 scenes with their masks outlined; photos lend textures
"""
import colorsys
import sys
from typing import NamedTuple

import cv2
import numpy as np

from shapes import (ODDS, SHAPES, SIDE, SOLID, TAU, box, crack, ellipse, frame, gear, lattice, moved, plant, polygon, posed, rectangle,
                    rotation, stencil, tool, tree, wire)
from textures import KINDS, ON_GROUND, ON_OBJECTS, palette, texture_field

MIN_AREA = 12  # visible pixels
MIN_VISIBLE = 0.25  # visible share of what an object covers inside the picture


def scene(rng, height, width, photos=None):
    """(rgb (h, w, 3) uint8, masks: a list, never empty, of (h, w) uint8 of 0 and 1), the masks in the order of painting, a whole
    before its parts. `photos`, a callable from rng to (any, any, 3) uint8 RGB, lends backgrounds and textures."""
    canvas = Canvas(rng, height, width, photos)
    masks = []
    while not masks:
        count = 2 + int(9 * rng.random() ** 1.3)
        sizes = np.exp(rng.uniform(np.log(0.07), np.log(0.55), count))
        # Large things tend to lie behind small ones, or little would stay visible.
        for size in sizes[np.argsort(-sizes * np.exp(rng.normal(0, 0.5, count)))]:
            canvas.add_object(size * min(height, width))
        masks = canvas.masks()
    return canvas.finish(), masks


def paste(rng, rgb, masks, cutouts):
    """Lays every cutout, (rgb (h, w, 3) uint8, mask (h, w) of 0 and 1), over a picture at a random place, scaled, flipped and
    recoloured. Returns (rgb, masks) as new arrays: the given masks without what is now hidden, then those of the cutouts; those
    of which too little stays visible are left out."""
    rgb = rgb.copy()
    height, width = rgb.shape[:2]
    layers = [(np.array(m, np.uint8), int(np.count_nonzero(m))) for m in masks]
    for crop, mask in cutouts:
        size = np.exp(rng.uniform(np.log(0.12), np.log(0.7))) * min(height, width)
        scale = min(size / max(mask.shape), 2)
        stretch = np.exp(rng.uniform(-0.12, 0.12))
        w, h = (max(3, round(n * f)) for n, f in ((mask.shape[1], scale * stretch), (mask.shape[0], scale / stretch)))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        crop = recolour(rng, cv2.resize(np.ascontiguousarray(crop), (w, h), interpolation=how), 0.6)
        alpha = cv2.resize(np.array(mask, np.uint8) * 255, (w, h), interpolation=how)
        flips = tuple(axis for axis, odds in ((1, 0.5), (0, 0.15)) if rng.random() < odds)
        crop, alpha = np.flip(crop, flips), np.flip(alpha, flips)
        # About half of its box at least stays inside the picture along either axis.
        x, y = (int(rng.integers(-(n // 2), room - n // 2 + 1)) for n, room in ((w, width), (h, height)))
        there = np.s_[max(y, 0):y + h, max(x, 0):x + w]
        here = np.s_[max(-y, 0):height - y, max(-x, 0):width - x]
        alpha = np.ascontiguousarray(alpha[here])
        covered = (alpha >= 128).astype(np.uint8)
        blend(rgb[there], np.ascontiguousarray(crop[here]), cv2.GaussianBlur(alpha, (0, 0), rng.uniform(0.4, 1)))
        for m, _ in layers:
            m[there] &= 1 - covered
        own = np.zeros((height, width), np.uint8)
        own[there] = covered
        layers.append((own, int(covered.sum())))
    return rgb, [m for m, area in layers if shows(int(np.count_nonzero(m)), area)]


def shows(visible, area):
    return visible >= max(MIN_AREA, MIN_VISIBLE * area)


def blend(rgb, over, alpha):
    """Lays `over` (h, w, 3) uint8 on the view `rgb` with `alpha` (h, w) uint8."""
    weight = alpha.astype(np.float32) * np.float32(1 / 255)
    rgb[:] = cv2.blendLinear(over, rgb, weight, 1 - weight)


def recolour(rng, rgb, reach):
    """Another gain per channel and another brightness, `reach` from 0 to 1."""
    gain = np.exp(reach * (rng.uniform(-0.4, 0.4) + rng.normal(0, 0.15, 3)))
    table = np.arange(256)[:, None] * gain + reach * rng.uniform(-40, 40)
    return cv2.LUT(np.ascontiguousarray(rgb), np.clip(table, 0, 255).astype(np.uint8).reshape(1, 256, 3))


class Look(NamedTuple):
    """How the surface of an object, or of all parts of a group, appears."""
    kind: str
    table: np.ndarray  # (256, 1, 3) uint8
    grain: float  # in pixels
    rough: float  # fine noise, sigma in 1/128 of the brightness; 0 for none
    relief: float  # how round it looks, 0 to 1
    gloss: float  # how bright its highlight is, 0 to 1
    outline: float  # what the rim is multiplied with
    soft: float  # blur of its edge, sigma in pixels; 0 for none


class Canvas:
    """A picture in the making. `owner` (h, w) uint16 holds the number of the uppermost stencil at each pixel, 0 for the ground; a
    mask is a range of numbers, since the parts of a whole are painted right after it."""

    def __init__(self, rng, height, width, photos):
        self.rng, self.height, self.width, self.photos = rng, height, width, photos
        cv2.setRNGSeed(int(rng.integers(1 << 31)))
        self.unit = max(height, width) / SIDE
        self.owner = np.zeros((height, width), np.uint16)
        self.count = 0
        self.spans = []  # of the masks: (first number, last number, pixels covered when painted)
        angle = rng.uniform(0, TAU)
        self.light = np.array((np.cos(angle), np.sin(angle)))
        self.shadow = rng.uniform(0.2, 0.6) if rng.random() < 0.5 else 0
        self.rgb = self.surface(self.look(ON_GROUND), height, width)
        if rng.random() < 0.25:  # another ground from some line on, say a wall above a floor
            line = height * (rng.uniform(0.15, 0.85) + np.array((-1, 1)) * rng.normal(0, 0.1))
            corners = np.array(((0, line[0]), (width, line[1]), (width, height), (0, height)))
            alpha, x, y = stencil([([corners], 0)], height, width)
            part = self.rgb[y:y + alpha.shape[0], x:x + alpha.shape[1]]
            blend(part, self.surface(self.look(ON_GROUND), *alpha.shape), alpha)
        if rng.random() < 0.25:
            self.rgb = cv2.GaussianBlur(self.rgb, (0, 0), rng.uniform(1, 4) * self.unit)

    def look(self, odds, near=None):
        rng = self.rng
        kind = KINDS[rng.choice(len(KINDS), p=odds)]
        if kind == "photo" and self.photos is None:
            kind = "noise"
        return Look(
            kind, palette(rng, near), np.exp(rng.uniform(np.log(4), np.log(40))) * self.unit,
            rng.uniform(1.5, 11) if rng.random() < 0.35 else 0, rng.random() if rng.random() < 0.55 else 0,
            rng.random() if rng.random() < 0.3 else 0,
            rng.uniform(0.3, 0.8) if rng.random() < 0.15 else 1, rng.uniform(0.5, 1.1) * self.unit if rng.random() < 0.4 else 0)

    def surface(self, look, height, width):
        """(h, w, 3) uint8 of a look's texture, in daylight."""
        rng = self.rng
        if look.kind != "photo":
            rgb = cv2.applyColorMap(texture_field(rng, look.kind, height, width, look.grain), look.table)
            if look.rough:
                dust = np.empty((height, width), np.uint8)
                cv2.randn(dust, 128, look.rough)
                rgb = cv2.multiply(rgb, cv2.merge([dust] * 3), scale=1 / 128)
            return rgb
        photo = self.photos(rng)
        h, w = photo.shape[:2]
        scale = min(h / height, w / width) * rng.uniform(0.4, 1)
        ch, cw = max(1, int(height * scale)), max(1, int(width * scale))
        y, x = rng.integers(h - ch + 1), rng.integers(w - cw + 1)
        crop = np.flip(photo[y:y + ch, x:x + cw], 1) if rng.random() < 0.5 else photo[y:y + ch, x:x + cw]
        how = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
        return recolour(rng, cv2.resize(np.ascontiguousarray(crop), (width, height), interpolation=how), rng.random())

    def shade(self, rgb, alpha, look):
        """A texture under the scene's light: dark on the far side, a highlight on the near one, a darker rim."""
        h, w = alpha.shape
        if look.outline < 1:
            inner = cv2.erode(alpha, np.ones((3, 3), np.uint8), borderValue=255)
            rim = np.uint8(128 * look.outline) + cv2.convertScaleAbs(inner, alpha=128 * (1 - look.outline) / 255)
            rgb = cv2.multiply(rgb, cv2.merge([rim] * 3), scale=1 / 128)
        if not look.relief and not look.gloss:
            return rgb
        # The blurred stencil serves as the height of a cushion.
        shrink = 40 / max(h, w, 40)
        size = (max(2, round(w * shrink)), max(2, round(h * shrink)))
        small = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        small = cv2.GaussianBlur(small, (0, 0), max(size) / 7, borderType=cv2.BORDER_CONSTANT)
        lit = cv2.Sobel(small, -1, 1, 0) * np.float32(self.light[0]) + cv2.Sobel(small, -1, 0, 1) * np.float32(self.light[1])
        lit *= np.float32(1 / max(1e-3, np.abs(lit).max()))
        if look.relief:
            day = cv2.resize(np.clip(128 + 100 * look.relief * lit, 0, 255).astype(np.uint8), (w, h))
            rgb = cv2.multiply(rgb, cv2.merge([day] * 3), scale=1 / 128)
        if look.gloss:
            spot = cv2.resize((220 * look.gloss * np.clip(2.5 * lit - 1.5, 0, 1) ** 2).astype(np.uint8), (w, h))
            rgb = cv2.add(rgb, cv2.merge([spot] * 3))
        return rgb

    def behind(self, x, y, h, w):
        """The mean colour of what is there already."""
        return np.array(cv2.mean(self.rgb[y:y + h, x:x + w])[:3])

    def paint(self, pieces, look=None, within=None, far=0.0):
        """Paints pieces and returns (number, pixels covered, alpha, x, y), or None where nothing is seen. Without a look, a new
        one. `within` is a number: only its pixels are painted on. `far` is the height above the ground, as a length in pixels
        by which the shadow is cast."""
        found = stencil(pieces, self.height, self.width)
        if found is None:
            return None
        alpha, x, y = found
        h, w = alpha.shape
        if within is not None:
            alpha = cv2.bitwise_and(alpha, cv2.inRange(self.owner[y:y + h, x:x + w], within, within))
        covered = alpha >= 128
        area = int(np.count_nonzero(covered))
        if area < MIN_AREA:
            return None
        if look is None:
            look = self.look(ON_OBJECTS, self.behind(x, y, h, w) if self.rng.random() < 0.25 else None)
        if far:
            self.cast(alpha, x, y, far)
        over = self.shade(self.surface(look, h, w), alpha, look)
        # A blurred edge must stay where the mask says, which it does for all but thin things.
        edge = cv2.GaussianBlur(alpha, (0, 0), look.soft) if look.soft and area > 0.15 * h * w else alpha
        blend(self.rgb[y:y + h, x:x + w], over, edge)
        self.count += 1
        self.owner[y:y + h, x:x + w][covered] = self.count
        return self.count, area, alpha, x, y

    def cast(self, alpha, x, y, far):
        """Darkens what lies away from the light of a stencil."""
        h, w = alpha.shape
        reach = int(2 * far) + 1
        dx, dy = (int(round(-far * v)) for v in self.light)
        x0, y0 = max(0, x + dx - reach), max(0, y + dy - reach)
        x1, y1 = min(self.width, x + dx + w + reach), min(self.height, y + dy + h + reach)
        if x1 <= x0 or y1 <= y0:
            return
        shade = np.zeros((h + 2 * reach, w + 2 * reach), np.uint8)
        shade[reach:-reach, reach:-reach] = alpha
        ox, oy = x + dx - reach, y + dy - reach
        shade = cv2.blur(shade[y0 - oy:y1 - oy, x0 - ox:x1 - ox], (reach, reach))
        shade = 128 - cv2.convertScaleAbs(shade, alpha=128 * self.shadow / 255)
        view = self.rgb[y0:y1, x0:x1]
        view[:] = cv2.multiply(view, cv2.merge([shade] * 3), scale=1 / 128)

    def add_object(self, size):
        """A thing of about `size` pixels' radius, alone, with parts, or as a group of many."""
        rng = self.rng
        centre = rng.uniform(0.02, 0.98, 2) * (self.width, self.height)
        kind = rng.random()
        if kind < 0.1:
            return self.add_group(centre, max(1.3 * size, 24 * self.unit))
        if kind < 0.2:
            return self.add_board(centre, max(1.2 * size, 30 * self.unit))
        shape = SHAPES[rng.choice(len(SHAPES), p=ODDS)][0]
        if shape in (wire, crack, lattice, tree):
            size = max(1.3 * size, 14 * self.unit)
        pieces = posed(rng, shape(rng), size, centre)
        far = rng.uniform(1, 8) * self.unit if self.shadow else 0
        if shape is tool and rng.random() < 0.5:
            return self.add_pieces(pieces, far)
        whole = self.paint(pieces, far=far)
        if whole is None:
            return
        self.spans.append((whole[0], whole[0], whole[1]))
        if shape in SOLID + (frame, gear) and whole[1] > 500 and rng.random() < 0.35:
            self.add_parts(whole)

    def add_pieces(self, pieces, far):
        """A tool of several materials: the whole, and each piece."""
        done = [p for p in (self.paint([piece], far=far) for piece in pieces) if p]
        if done:
            self.spans.append((done[0][0], self.count, sum(p[1] for p in done)))
            if len(done) > 1:
                self.spans += [(p[0], p[0], p[1]) for p in done]

    def add_parts(self, whole):
        """A few things on a thing: labels, windows, knobs."""
        rng = self.rng
        number, area, alpha, x, y = whole
        spots = np.flatnonzero(alpha >= 128)
        at = len(self.spans) - 1
        for _ in range(rng.integers(1, 4)):
            v, u = divmod(int(spots[rng.integers(len(spots))]), alpha.shape[1])
            shape = SHAPES[rng.choice(len(SHAPES), p=ODDS)][0]
            pieces = posed(rng, shape(rng), area ** 0.5 * rng.uniform(0.12, 0.4), (x + u, y + v))
            part = self.paint(pieces, within=number, far=self.unit if self.shadow else 0)
            if part:
                self.spans.append((part[0], part[0], part[1]))
        self.spans[at] = (number, self.count, area)

    def places(self, columns, rows, jitter):
        """(n, 2) centres in the square of -1 to 1, row by row, some missing now and then."""
        rng = self.rng
        x, y = np.meshgrid((np.arange(columns) + 0.5) * (2 / columns) - 1, (np.arange(rows) + 0.5) * (2 / rows) - 1)
        places = np.stack((x.ravel(), y.ravel()), 1) + rng.uniform(-jitter, jitter, (columns * rows, 2)) / (columns, rows)
        return places[rng.random(len(places)) < rng.choice((1, 1, 0.8))]

    def add_group(self, centre, size):
        """Many of a kind: tiles, nuclei, bolts, in rows or strewn; a mask for each."""
        rng = self.rng
        columns, rows = rng.integers(2, 7), rng.integers(1, 6)
        strewn = rng.random() < 0.5
        shape = rng.choice(SOLID + (SOLID[0], gear, tool, plant))
        base = shape(rng)
        fill = rng.uniform(0.55, 0.95)
        pose = np.diag((size, size * rows / columns)) @ rotation(rng.uniform(-np.pi, np.pi))
        look = self.look(ON_OBJECTS, self.behind(0, 0, self.height, self.width) if rng.random() < 0.25 else None)
        far = rng.uniform(1, 3) * self.unit if self.shadow else 0
        for place in self.places(columns, rows, 0.8 if strewn else 0):
            turn = rng.uniform(-np.pi, np.pi) if strewn else 0
            pieces = shape(rng) if strewn and rng.random() < 0.5 else base
            span = fill / np.array((columns, rows)) * (rng.uniform(0.7, 1) if strewn else 1)
            part = self.paint(moved(pieces, rotation(turn) * span @ pose, np.zeros(2), place @ pose + centre), look, far=far)
            if part:
                self.spans.append((part[0], part[0], part[1]))

    def add_board(self, centre, size):
        """A plate with rows of equal parts, as a facade with windows or a panel with keys: the whole, and each part."""
        rng = self.rng
        columns, rows = rng.integers(1, 6), rng.integers(1, 6)
        pose = np.diag((size, size * rng.uniform(0.5, 1))) @ rotation(rng.normal(0, 0.3))
        tilt = rng.uniform(-0.3, 0.3, 2) if rng.random() < 0.5 else np.zeros(2)
        plate = [([rectangle(1, 1, rng.choice((0, 0.1)))], 0)]
        whole = self.paint(moved(plate, pose, tilt, centre), far=4 * self.unit if self.shadow else 0)
        if whole is None:
            return
        number, area = whole[:2]
        at = len(self.spans)
        self.spans.append(None)
        base = rng.choice((ellipse, box, box, polygon, frame))(rng)
        fill = rng.uniform(0.4, 0.85)
        look = self.look(ON_OBJECTS)
        for place in self.places(columns, rows, 0):
            pieces = moved(base, np.diag((fill / columns, fill / rows)), np.zeros(2), place)
            part = self.paint(moved(pieces, pose, tilt, centre), look, within=number)
            if part:
                self.spans.append((part[0], part[0], part[1]))
        self.spans[at] = (number, self.count, area)

    def masks(self):
        """The masks of which enough is visible, each (h, w) uint8 of 0 and 1."""
        pixels = cv2.calcHist([self.owner], [0], None, [self.count + 1], [0, self.count + 1])
        seen = np.concatenate(((0,), np.cumsum(pixels.ravel().astype(int))))
        kept = [s for s in self.spans if shows(seen[s[1] + 1] - seen[s[0]], s[2])]
        return [((self.owner - np.uint16(first)) <= last - first).view(np.uint8) for first, last, _ in kept]

    def finish(self):
        """The picture, at times under uneven light or slightly soft."""
        rng, rgb = self.rng, self.rgb
        if rng.random() < 0.3:
            light = cv2.resize(rng.uniform(60, 150, (2, 2)).astype(np.float32), (self.width, self.height)).astype(np.uint8)
            rgb = cv2.multiply(rgb, cv2.merge([light] * 3), scale=1 / 128)
        if rng.random() < 0.4:
            rgb = cv2.GaussianBlur(rgb, (0, 0), rng.uniform(0.4, 0.9) * self.unit)
        return rgb


def main():
    cv2.setNumThreads(1)
    album = [cv2.imread(p)[..., ::-1] for p in sys.argv[2:]]
    photos = (lambda rng: album[rng.integers(len(album))]) if album else None
    tiles = []
    for seed in range(16):
        rng = np.random.default_rng(seed)
        rgb, masks = scene(rng, SIDE, SIDE, photos)
        large = cv2.resize(rgb, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
        for mask in masks:
            mask = cv2.resize(mask, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
            contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(large, contours, -1, [255 * v for v in colorsys.hsv_to_rgb(rng.random(), 1, 1)], 1)
        tiles.append(large[..., ::-1])
    cv2.imwrite(sys.argv[1], np.vstack([np.hstack(tiles[i:i + 4]) for i in range(0, 16, 4)]))


if __name__ == "__main__":
    main()
