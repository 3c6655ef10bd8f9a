"""Scores a checkpoint or an exported file: mean IoU per source from an exact box, one point, and corrective clicks."""
import argparse
import json
import os

import cv2
import numpy as np
import torch
import torch.nn.functional as F

import data
import prompts
import teacher
from model import normalise


class View:
    """An image resized to a long side of `side`, normalised and padded, with its features, and the way back to its own pixels."""

    def __init__(self, model, rgb, side, square=True):
        device = next(model.parameters()).device
        self.model, (h, w) = model, rgb.shape[:2]
        self.scale, self.own = side / max(h, w), (h, w)
        self.size = round(h * self.scale), round(w * self.scale)
        rgb = cv2.resize(rgb, self.size[::-1], interpolation=cv2.INTER_AREA if self.scale < 1 else cv2.INTER_LINEAR)
        self.padded = (side, side) if square else tuple(-(-v // 32) * 32 for v in self.size)
        x = normalise(torch.from_numpy(np.ascontiguousarray(rgb))[None].to(device))
        x = F.pad(x, (0, self.padded[1] - self.size[1], 0, self.padded[0] - self.size[0]))
        self.features = model.encode(x.contiguous(memory_format=torch.channels_last))

    def ask(self, coords, labels, masks=None):
        """Low-resolution logits and IoU of N prompts in the image's pixel coordinates, (N, T, 2) and (N, T)."""
        device = self.features[0].device
        coords = torch.as_tensor(np.asarray(coords), dtype=torch.float32, device=device)
        own = torch.tensor([self.size[1] / self.own[1], self.size[0] / self.own[0]], device=device)
        labels = torch.as_tensor(np.asarray(labels), device=device)
        index = torch.zeros(len(coords), dtype=torch.long, device=device)
        return self.model.decode(self.features, index, coords * own, labels, masks)

    def cut(self, logits):
        """Logits (N, M, h, w) to boolean masks (N, M, H, W) of the image's own size."""
        x = F.interpolate(logits.float(), self.padded, mode="bilinear", align_corners=False)[..., :self.size[0], :self.size[1]]
        if self.size != self.own:
            x = F.interpolate(x, self.own, mode="bilinear", align_corners=False)
        return (x > 0).cpu().numpy()


def iou(answers, mask):
    union = (answers | mask).sum((-2, -1))
    return (answers & mask).sum((-2, -1)) / np.maximum(union, 1)


def score_objects(view, masks, clicks):
    """The figures of every object of one image: a list of dicts."""
    n = len(masks)
    boxes = np.stack([prompts.exact_box(m).reshape(2, 2) for m in masks])
    box = view.cut(view.ask(boxes, [[2, 3]] * n)[0][:, :1])[:, 0]
    coords = np.array([[prompts.deepest(m)[:2], (0, 0)] for m in masks], np.float32)
    labels = np.array([[1, -1]] * n)
    logits, predicted = view.ask(coords, labels)
    three = view.cut(logits[:, 1:])
    chosen = predicted[:, 1:].argmax(1).cpu().numpy()
    rows = []
    for i, m in enumerate(masks):
        each = iou(three[i], m)
        rows.append({"box": iou(box[i], m), "point_best": each.max(), "point_chosen": each[chosen[i]],
                     "gap": abs(float(predicted[i, 1 + chosen[i]]) - each[chosen[i]])})
    answers = three[np.arange(n), chosen]
    low = logits[torch.arange(n), 1 + torch.as_tensor(chosen, device=logits.device)].unsqueeze(1)
    for click in range(2, clicks + 1):
        # Nothing left to correct: say again what is known.
        extra = [prompts.correction(m, a) or (*coords[i, 0], 1) for i, (m, a) in enumerate(zip(masks.astype(bool), answers))]
        coords = np.concatenate([coords, np.array([e[:2] for e in extra], np.float32)[:, None]], 1)
        labels = np.concatenate([labels, np.array([e[2] for e in extra])[:, None]], 1)
        low = view.ask(coords, labels, low.float())[0][:, :1]
        answers = view.cut(low)[:, 0]
        if click in (3, 5):
            for i, m in enumerate(masks):
                rows[i][f"clicks{click}"] = iou(answers[i], m)
    return rows


@torch.no_grad()
def run(model, cache, split, side=512, limit=0, clicks=5, licence="any", square=True, seed=0):
    """Scores a split: `{sources: {name: figures}, mean: figures}`. `limit`: random objects per source, 0 for all."""
    pack = data.Pack(cache, split, licence)
    result = {}
    for source, records in pack.sources.items():
        objects = [(r, s) for r, record in enumerate(records) for s in range(len(record["segments"]))]
        if limit and len(objects) > limit:
            pick = np.random.default_rng(seed).choice(len(objects), limit, replace=False)
            objects = [objects[i] for i in sorted(pick)]
        rows = []
        for r in sorted({r for r, _ in objects}):
            view = View(model, np.ascontiguousarray(pack.image(records[r])), side, square)
            masks = np.stack([pack.mask(records[r], records[r]["segments"][s]) for k, s in objects if k == r])
            for start in range(0, len(masks), 16):
                rows += score_objects(view, masks[start:start + 16], clicks)
        result[source] = {k: float(np.mean([row[k] for row in rows])) for k in rows[0]} | {"objects": len(rows)}
    names = next(iter(result.values())).keys() - {"objects"}
    return {"sources": result, "mean": {k: float(np.mean([v[k] for v in result.values()])) for k in sorted(names)}}


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("weights", help="checkpoint.pt or an exported .safetensors")
    p.add_argument("--data", help="folder in the data/seg layout (needed until it is packed)")
    p.add_argument("--cache", default=data.default_cache())
    p.add_argument("--split", default="val", choices=["train", "val", "heldout"])
    p.add_argument("--side", type=int, default=512, help="long side of the input")
    p.add_argument("--limit", type=int, default=40, help="objects per source, 0 for all")
    p.add_argument("--clicks", type=int, default=5)
    p.add_argument("--rect", action="store_true", help="pad to a multiple of 32 instead of to a square")
    p.add_argument("--licence", choices=["any", "permissive"], default="any")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--threads", type=int, default=os.cpu_count())
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    if args.data:
        data.pack(args.data, args.cache)
    model = teacher.load(args.weights, device=args.device)
    result = run(model, args.cache, args.split, args.side, args.limit, args.clicks, args.licence, not args.rect)
    for name, row in (result["sources"] | {"MEAN": result["mean"]}).items():
        print(f"{name:18}" + "".join(f" {k} {v:.3f}" if k != "objects" else f" n {v}" for k, v in row.items()))
    print(json.dumps(result["mean"]))


if __name__ == "__main__":
    main()
