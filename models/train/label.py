"""Annotates a folder of unlabelled pictures with a teacher's masks, in the layout that training reads.

A grid of points is put to the teacher, as Segment Anything's automatic mask generator does (`automatic_mask_generator.py` of the
official code); answers that it is sure of and that do not depend on the threshold become segments, duplicates left out."""
import argparse
import gzip
import json
import os
import shutil
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import torch
from pycocotools import mask as coco

import evaluate
import teacher

ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
BATCH = 32


def segments(view, grid, sure, stable, overlap):
    """The teacher's masks (H, W) of one picture, surest first, and how sure it is of each."""
    h, w = view.own
    points = np.stack(np.meshgrid((np.arange(grid) + 0.5) / grid * w, (np.arange(grid) + 0.5) / grid * h), -1).reshape(-1, 1, 2)
    found = []
    for start in range(0, len(points), BATCH):
        part = points[start:start + BATCH]
        coords = np.concatenate([part, np.zeros_like(part)], 1)
        logits, iou = view.ask(coords, [[1, -1]] * len(part))
        logits, iou = logits[:, 1:], iou[:, 1:].float().cpu().numpy()
        masks = view.cut(logits)
        firm, loose = view.cut(logits - 1), view.cut(logits + 1)
        stability = firm.sum((-2, -1)) / np.maximum(loose.sum((-2, -1)), 1)
        for i, t in zip(*np.nonzero((iou >= sure) & (stability >= stable))):
            # Neither specks nor the whole picture teach anything.
            if 16 <= masks[i, t].sum() <= 0.95 * h * w:
                found.append((float(iou[i, t]), masks[i, t]))
    found.sort(key=lambda f: -f[0])
    kept = []
    for score, mask in found:
        if all(evaluate.iou(mask, other) < overlap for _, other in kept):
            kept.append((score, mask))
    return kept


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("pictures", type=Path, help="folder of pictures")
    p.add_argument("out", type=Path, help="DATA/<source>, made here: images and annotations.jsonl.gz")
    p.add_argument("--teacher", required=True, help="its checkpoint (.pt, .pth) or .safetensors")
    p.add_argument("--onnx", help="an official teacher's image encoder, from `cutout models export NAME`")
    p.add_argument("--side", type=int, default=512, help="long side at which pictures are shown and kept")
    p.add_argument("--grid", type=int, default=16, help="points a side")
    p.add_argument("--sure", type=float, default=0.8, help="least predicted IoU")
    p.add_argument("--stable", type=float, default=0.9, help="least stability score")
    p.add_argument("--overlap", type=float, default=0.7, help="two masks of this IoU are one")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--threads", type=int, default=os.cpu_count())
    args = p.parse_args()
    files = sorted(f for f in args.pictures.rglob("*") if f.suffix.lower() in ENDINGS)
    if not files:
        sys.exit(f"{args.pictures} holds no picture ({', '.join(sorted(ENDINGS))})")
    torch.set_num_threads(args.threads)
    model = teacher.load(args.teacher, args.onnx, args.threads, args.device)
    (args.out / "images").mkdir(parents=True, exist_ok=True)
    partial, total, unreadable = args.out / "annotations.part", 0, 0
    with gzip.open(partial, "wt") as out, torch.no_grad():
        for n, file in enumerate(files):
            bgr = cv2.imread(str(file))
            if bgr is None:
                unreadable += 1
                print(f"\nleft out, cannot be read: {file}", file=sys.stderr)
                continue
            scale = args.side / max(bgr.shape[:2])
            if scale < 1:
                bgr = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            name = f"images/{n:06}.jpg"
            cv2.imwrite(str(args.out / name), bgr, [cv2.IMWRITE_JPEG_QUALITY, 92])
            view = evaluate.View(model, np.ascontiguousarray(bgr[..., ::-1]), args.side)
            lines = []
            for score, mask in segments(view, args.grid, args.sure, args.stable, args.overlap):
                rle = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
                lines.append({"rle": {"size": list(mask.shape), "counts": rle["counts"].decode()}, "area": int(mask.sum()),
                              "bbox": [int(v) for v in coco.toBbox(rle)], "predicted_iou": round(score, 3)})
            total += len(lines)
            out.write(json.dumps({
                "file": name, "width": bgr.shape[1], "height": bgr.shape[0], "source": args.out.name, "split": "train",
                "rank": zlib.crc32(str(file.relative_to(args.pictures)).encode()) / 2 ** 32, "mask_kind": "made by a model",
                "segments": lines}) + "\n")
            print(f"\r{n + 1} of {len(files)} pictures, {total} masks", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    if unreadable == len(files):
        shutil.rmtree(args.out / "images")
        partial.unlink()
        sys.exit("no picture could be read")
    partial.rename(args.out / "annotations.jsonl.gz")
    print(f"{args.out}: {len(files) - unreadable} pictures, {total} masks")


if __name__ == "__main__":
    main()
