"""Reads the `data/seg` layout, packs it once into a cache folder, and draws training batches from the pack.

The pack is two files: `images.u8`, all decoded RGB images behind one another, and `index.json.gz`, a record per image with its
offset, size and segments (as COCO run lengths; decoding one costs less than reading it). Pixels stay as they are up to
`CACHE_SIDE`, so that a random crop can show objects as large as they will be when the model is used.
"""
import gzip
import json
import os
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco

import camera
import prompts
import synthetic

CACHE_SIDE = 512
PERMISSIVE = {"facade", "trashbags", "tools", "feral_cats", "ccp", "dsb2018", "bsdata"}
# Sources that look the same upside down.
NO_UP = {"dubai_aerial", "dsb2018", "magnetic_tile", "crackforest", "bsdata", "carrot_weed"}
MIN_AREA = 12  # in pixels of the training resolution
CLOSE = 0.2  # share of views that are crops around one object, as zooming makes them
PASTE = 0.12  # share of views that objects of other images are pasted onto


def default_cache():
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cutout" / "train"


def pack(data, cache):
    """Decodes every image of every source under `data` into `cache`, once."""
    data, cache = Path(data), Path(cache)
    index_path = cache / "index.json.gz"
    if index_path.exists():
        return
    cache.mkdir(parents=True, exist_ok=True)
    index, offset = [], 0
    with open(cache / "images.u8", "wb") as out:
        for folder in sorted(p.parent for p in data.glob("*/annotations.jsonl.gz")):
            for line in gzip.open(folder / "annotations.jsonl.gz", "rt"):
                record = json.loads(line)
                image = cv2.imread(str(folder / record["file"]), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
                if image is None:
                    raise SystemExit(f"cannot read {folder / record['file']}")
                image, segments = shrink(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), record["segments"])
                out.write(np.ascontiguousarray(image).tobytes())
                h, w = image.shape[:2]
                index.append({
                    "source": record["source"], "file": record["file"], "split": record["split"], "rank": record["rank"],
                    "skip": bool(record.get("grabcut_overlap")), "offset": offset, "height": h, "width": w, "segments": segments})
                offset += h * w * 3
            print("packed", folder.name, flush=True)
    partial = index_path.with_suffix(".part")
    with gzip.open(partial, "wt", compresslevel=4) as f:
        json.dump(index, f)
    partial.rename(index_path)


def shrink(image, segments, side=CACHE_SIDE):
    """Bounds the long side of an image and its masks, and keeps of each segment what training and evaluation use."""
    h, w = image.shape[:2]
    scale = side / max(h, w)
    keep = [{k: s[k] for k in ("area", "bbox", "annotator") if k in s} | {"counts": s["rle"]["counts"]} for s in segments]
    if scale >= 1:
        return image, keep
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    small = []
    for s in keep:
        mask = cv2.resize(coco.decode({"size": [h, w], "counts": s["counts"].encode()}) * 255, size, interpolation=cv2.INTER_AREA)
        mask = np.asfortranarray((mask >= 128).astype(np.uint8))
        if mask.any():
            rle = coco.encode(mask)
            small.append(s | {"area": int(mask.sum()), "bbox": [int(v) for v in coco.toBbox(rle)], "counts": rle["counts"].decode()})
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), small


class Pack:
    """The packed data, with the records of one split and set of sources; those in `leave_out` are not among them."""

    def __init__(self, cache, split, licence="any", leave_out=()):
        cache = Path(cache)
        with gzip.open(cache / "index.json.gz", "rt") as f:
            index = json.load(f)
        self.pixels = np.memmap(cache / "images.u8", np.uint8, "r")
        if licence == "permissive":
            index = [r for r in index if r["source"] in PERMISSIVE]
        unknown = set(leave_out) - {r["source"] for r in index}
        if unknown:
            raise SystemExit(f"there is no source {', '.join(sorted(unknown))} to leave out")
        index = [r for r in index if r["source"] not in leave_out]
        self.sources = {}
        for source in sorted({r["source"] for r in index}):
            chosen = select(source, [r for r in index if r["source"] == source], split)
            if chosen:
                self.sources[source] = chosen

    def image(self, record):
        h, w = record["height"], record["width"]
        return self.pixels[record["offset"]:record["offset"] + h * w * 3].reshape(h, w, 3)

    @staticmethod
    def mask(record, segment):
        return coco.decode({"size": [record["height"], record["width"]], "counts": segment["counts"].encode()})


def select(source, records, split):
    """The records of a split. A source without a val split of its own lends the lowest-ranked few of its training images."""
    own_val = any(r["split"] == "val" for r in records)
    if split == "heldout" or (split == "val" and own_val):
        return [r for r in records if r["split"] == split]
    train = sorted((r for r in records if r["split"] == "train" and not r["skip"]), key=lambda r: r["rank"])
    if own_val:
        return train if split == "train" else []
    cut = 0 if source == "human_seg" else min(10, max(2, round(0.06 * len(train))))
    return train[cut:] if split == "train" else train[:cut]


class Sampler:
    """Draws training batches; batch `step` depends on the seed, its number and its shape only, so that a resumed run goes on
    with exactly the data it would have seen."""

    def __init__(self, cache, seed, licence="any", objects=6, synthetic=0.0, leave_out=()):
        self.pack = Pack(cache, "train", licence, leave_out)
        self.seed, self.objects, self.synthetic = seed, objects, synthetic
        self.names = list(self.pack.sources)
        weights = np.array([len(self.pack.sources[n]) for n in self.names], float) ** 0.5
        self.weights = weights / weights.sum()

    def batch(self, step, height, width, images):
        """A dict of arrays: `images` (B, H, W, 3) u8, `sizes` (B, 2) of the part that is not padding, and per object `masks`
        (N, H, W) u8, `index` (N,) of its image, `coords` (N, 2, 2) and `labels` (N, 2) of its first prompt, and where the loss
        looks: `at` (N, P, 2), `inside` and `area` (N, P)."""
        rng = np.random.default_rng([self.seed, step])
        pixels, sizes, masks, index = [], [], [], []
        while len(pixels) < images:
            if rng.random() < self.synthetic:
                image, found, up = *synthetic.scene(rng, height, width, self.texture), True
                # Groups of small parts are many; the larger things get their share.
                share = np.array([m.sum() for m in found]) ** 0.3
                found = [found[i] for i in rng.choice(len(found), min(len(found), self.objects), False, share / share.sum())]
            else:
                source, record = self.record(rng)
                image, found = self.view(rng, record, height, width)
                up = source not in NO_UP
            if not found:
                continue
            if len(found) < 3:
                found = found * 2
            canvas, size, found = frame(rng, image, found, up, height, width)
            index += [len(pixels)] * len(found)
            masks += found
            pixels.append(canvas)
            sizes.append(size)
        masks = np.stack(masks)
        first = [prompts.first(rng, m, max(height, width)) for m in masks]
        at, inside, area = (np.stack(a) for a in zip(*(prompts.places(rng, m, sizes[i]) for m, i in zip(masks, index))))
        return {
            "images": np.stack(pixels), "sizes": np.array(sizes), "masks": masks, "index": np.array(index),
            "coords": np.stack([c for c, _ in first]).astype(np.float32), "labels": np.stack([l for _, l in first]),
            "at": at / np.float32([width, height]), "inside": inside.astype(np.float32), "area": area}

    def record(self, rng):
        source = self.names[rng.choice(len(self.names), p=self.weights)]
        records = self.pack.sources[source]
        return source, records[rng.integers(len(records))]

    def texture(self, rng):
        """Some photo, for synthetic scenes to be painted with."""
        return self.pack.image(self.record(rng)[1])

    def cutouts(self, rng):
        """One to three objects of other images, (rgb, mask) each, tightly cut."""
        out = []
        for _ in range(rng.integers(1, 4)):
            record = self.record(rng)[1]
            if record["segments"]:
                segment = record["segments"][rng.integers(len(record["segments"]))]
                x, y, w, h = segment["bbox"]
                if segment["area"] >= 4 * MIN_AREA:
                    out.append((self.pack.image(record)[y:y + h, x:x + w], Pack.mask(record, segment)[y:y + h, x:x + w]))
        return out

    def view(self, rng, record, height, width):
        """One random view of an image, at most (height, width): (rgb, masks of the objects chosen); (None, []) where none shows."""
        h, w = record["height"], record["width"]
        segments = record["segments"]
        people = sorted({s["annotator"] for s in segments if "annotator" in s})
        if people:
            who = people[rng.integers(len(people))]
            segments = [s for s in segments if s.get("annotator") == who]
        if not segments:
            return None, []
        anchor = segments[rng.integers(len(segments))]["bbox"]
        fit, cover, kind = min(height / h, width / w), max(height / h, width / w), rng.random()
        if kind < CLOSE:
            scale = max(fit, min(12.0, max(height, width) / (rng.uniform(1.3, 3.0) * max(anchor[2:]))))
        elif kind < CLOSE + 0.25:
            scale = fit
        else:  # padding is paid for, so most views fill the frame
            scale = cover * float(np.exp(rng.uniform(np.log(0.8), np.log(2.2))))
        stretch = float(np.exp(rng.uniform(-0.15, 0.15))) if rng.random() < 0.5 else 1.0
        sx, sy = scale * stretch ** 0.5, scale / stretch ** 0.5
        cw, ch = max(1, min(w, int(width / sx))), max(1, min(h, int(height / sy)))
        x0 = window(rng, anchor[0], anchor[2], cw, w)
        y0 = window(rng, anchor[1], anchor[3], ch, h)
        size = (min(height, max(1, round(ch * sy))), min(width, max(1, round(cw * sx))))

        found = []
        for s in self.candidates(rng, segments, x0, y0, cw, ch, sx * sy):
            mask = Pack.mask(record, s)[y0:y0 + ch, x0:x0 + cw]
            mask = cv2.resize(mask * 255, size[::-1], interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR) >= 128
            if mask.sum() >= MIN_AREA:
                found.append(mask)
            if len(found) == self.objects:
                break
        if not found:
            return None, []
        image = np.ascontiguousarray(self.pack.image(record)[y0:y0 + ch, x0:x0 + cw])
        image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        if rng.random() < PASTE:
            image, found = synthetic.paste(rng, image, [m.astype(np.uint8) for m in found], self.cutouts(rng))
        return image, found[-self.objects:]

    def candidates(self, rng, segments, x0, y0, cw, ch, gain):
        """Segments that show enough of themselves in the window, in random order with a mild preference for the larger."""
        seen = []
        for s in segments:
            x, y, w, h = s["bbox"]
            part = max(0, min(x + w, x0 + cw) - max(x, x0)) * max(0, min(y + h, y0 + ch) - max(y, y0)) / max(1, w * h)
            area = s["area"] * part * gain
            if part > 0.15 and area >= MIN_AREA:
                seen.append((s, area))
        if not seen:
            return []
        weight = np.array([a for _, a in seen]) ** 0.2
        order = rng.choice(len(seen), len(seen), replace=False, p=weight / weight.sum())
        return [seen[i][0] for i in order[:2 * self.objects]]


def window(rng, start, length, size, limit):
    """Where a window of `size` begins, so that it shows an object at (start, length) and stays within `limit`."""
    centre = start + length * rng.uniform(0.1, 0.9) - size * rng.uniform(0.25, 0.75)
    return int(min(max(0, centre), limit - size))


def frame(rng, image, found, up, height, width):
    """An image with its masks, seen by some camera, flipped at random and padded at the right and bottom: (canvas, size inside
    it, masks). `up`: it has a right way up."""
    image = camera.degrade(rng, image)
    for axis in ([1] if rng.random() < 0.5 else []) + ([0] if not up and rng.random() < 0.5 else []):
        image = np.flip(image, axis)
        found = [np.flip(m, axis) for m in found]
    h, w = image.shape[:2]
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[:h, :w] = image
    padded = np.zeros((len(found), height, width), np.uint8)
    padded[:, :h, :w] = found
    return canvas, (h, w), list(padded)
