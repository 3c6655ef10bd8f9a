"""Writes expected.json: what Pillow, pycocotools and PyTorch answer, for official_code.rs to compare with.

Needs pillow, pycocotools, numpy, torch. Run: python make_expected.py
Inputs are made from `mix`, which the test has as well, so that only answers are stored.
"""

import json
import zlib
from pathlib import Path

import numpy as np
import PIL
import torch
from PIL import Image
from pycocotools import mask as coco
from torch.nn import functional as F


def mix(seed, count):
    """`count` 32-bit numbers: an integer hash of seed + index."""
    x = (np.arange(count, dtype=np.uint32) + np.uint32(seed)) * np.uint32(0x9E3779B1)
    for shift, factor in ((15, 0x85EBCA77), (13, 0xC2B2AE3D)):
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    return x ^ (x >> np.uint32(16))


def pixels(seed, height, width):
    """Noise with many extreme values, RGB."""
    x = mix(seed, height * width * 3)
    values = np.where(x & 7 == 0, 255, np.where(x & 7 == 1, 0, x >> 24))
    return values.astype(np.uint8).reshape(height, width, 3)


def logits(seed, height, width):
    """Multiples of 1/64 from -32 to 32."""
    x = (mix(seed, height * width) >> np.uint32(20)).astype(np.float32)
    return ((x - 2048) / 64).reshape(height, width)


def resize_cases():
    sizes = [
        (7, 5, 3, 4), (5, 7, 13, 11), (16, 16, 8, 8), (1, 1, 4, 3), (9, 4, 9, 2), (9, 4, 4, 4), (9, 4, 9, 4), (33, 21, 10, 6),
        (64, 3, 5, 3), (3, 64, 7, 5), (2, 2, 17, 1), (50, 50, 1, 1), (641, 479, 1024, 765), (1800, 1200, 1024, 683),
        (1200, 1801, 682, 1024), (3000, 200, 1024, 68), (100, 37, 1024, 379), (1025, 1023, 1024, 1022), (4000, 30, 3, 2),
    ]  # fmt: skip
    for seed, (width, height, out_width, out_height) in enumerate(sizes):
        image = Image.fromarray(pixels(seed, height, width))
        # In two steps, as Pillow 13 would do the vertical pass first where that is cheaper; up to 12 it never did.
        across = image.resize((out_width, height), Image.Resampling.BILINEAR)
        out = np.asarray(across.resize((out_width, out_height), Image.Resampling.BILINEAR)).tobytes()
        case = {"seed": seed, "from": [width, height], "to": [out_width, out_height], "crc32": zlib.crc32(out)}
        yield case | ({"hex": out.hex()} if len(out) <= 600 else {})


def shape_cases():
    """`ResizeLongestSide.get_preprocess_shape` and `apply_coords` of segment_anything/utils/transforms.py."""
    numbers = mix(9, 80) % 4000 + 1
    sizes = [(1800, 1200), (640, 480), (2048, 1001), (7, 7), (65535, 2000)] + list(zip(numbers[::2], numbers[1::2]))
    for width, height in ((int(w), int(h)) for w, h in sizes):
        scale = 1024 * 1.0 / max(height, width)
        new_width, new_height = int(width * scale + 0.5), int(height * scale + 0.5)
        if min(new_width, new_height) == 0:
            continue
        at = [width * 0.75, height / 3]
        at = np.float32(at).astype(np.float64)
        to = np.float32([at[0] * (new_width / width), at[1] * (new_height / height)])
        yield {"image": [width, height], "resized": [new_width, new_height], "at": at.tolist(), "model": to.tolist()}


def mask_cases():
    for seed, (width, height, percent) in enumerate([(5, 4, 50), (33, 21, 10), (21, 33, 90), (1, 40, 50), (40, 1, 50)]):
        yield {"kind": "noise", "seed": seed, "percent": percent}, (mix(seed, width * height) % 100 < percent).reshape(height, width)
    for width, height in [(1000, 700), (31, 32), (257, 1)]:
        y, x = np.mgrid[0:height, 0:width].astype(np.int64)
        inside = ((2 * x + 1 - width) * height) ** 2 + ((2 * y + 1 - height) * width) ** 2 < (width * height) ** 2 * 9 // 10
        yield {"kind": "ellipse"}, inside
    yield {"kind": "full"}, np.ones((300, 400), bool)
    yield {"kind": "empty"}, np.zeros((300, 400), bool)


def rle_cases():
    for case, inside in mask_cases():
        rle = coco.encode(np.asfortranarray(inside.astype(np.uint8)))
        area, bbox = int(coco.area(rle)), [int(v) for v in coco.toBbox(rle)]
        yield case | {"size": rle["size"], "counts": rle["counts"].decode(), "area": area, "bbox": bbox}


def upscale_cases():
    """`Sam.postprocess_masks`, and `calculate_stability_score` of utils/amg.py on its result."""
    cases = [  # low-resolution grid, model, resized, image: width and height of each
        (4, 4, 16, 16, 16, 12, 9, 7), (4, 4, 16, 16, 11, 16, 50, 73), (64, 64, 256, 256, 256, 171, 640, 427),
        (256, 256, 1024, 1024, 1024, 683, 1800, 1200), (256, 256, 1024, 1024, 768, 1024, 480, 640),
        (64, 36, 256, 144, 256, 144, 1920, 1080), (16, 16, 64, 64, 64, 1, 900, 5), (16, 16, 64, 64, 64, 64, 64, 64),
    ]  # fmt: skip
    for seed, (lw, lh, mw, mh, rw, rh, iw, ih) in enumerate(cases):
        low = torch.from_numpy(logits(seed, lh, lw))[None, None]
        up = F.interpolate(low, (mh, mw), mode="bilinear", align_corners=False)[..., :rh, :rw]
        up = F.interpolate(up, (ih, iw), mode="bilinear", align_corners=False)[0, 0]
        step = max(1, iw * ih // 150)
        stability = ((up > 1).sum() / (up > -1).sum()).item()
        yield {
            "seed": seed, "low": [lw, lh], "model": [mw, mh], "resized": [rw, rh], "image": [iw, ih],
            "step": step, "values": [round(v, 5) for v in up.flatten()[::step].tolist()], "stability": stability,
        }  # fmt: skip


def normalized():
    """`Sam.preprocess` of every grey level: f32 bits, channel by channel."""
    mean, std = torch.tensor([[123.675], [116.28], [103.53]]), torch.tensor([[58.395], [57.12], [57.375]])
    values = (torch.arange(256, dtype=torch.uint8).expand(3, 256) - mean) / std
    return values.numpy().astype("<f4").view("<u4").tolist()


expected = {
    "made_by": {"pillow": PIL.__version__, "torch": torch.__version__, "numpy": np.__version__},
    "resize": list(resize_cases()),
    "shape": list(shape_cases()),
    "rle": list(rle_cases()),
    "upscale": list(upscale_cases()),
    "normalized": normalized(),
}
lines = ",\n".join(
    f"{json.dumps(key)}: " + ("[\n" + ",\n".join(map(json.dumps, value)) + "\n]" if isinstance(value, list) else json.dumps(value))
    for key, value in expected.items()
)
Path(__file__).with_name("expected.json").write_text("{\n" + lines + "\n}\n")
