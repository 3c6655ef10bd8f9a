"""Writes the averaged weights of a checkpoint as float16 safetensors, and a fixture that other runtimes can be checked against."""
import argparse
import json

import numpy as np
import torch
from safetensors.torch import save_file

import teacher


def export(checkpoint, out, note=""):
    state = torch.load(checkpoint, map_location="cpu", weights_only=False)
    worst = max(float(t.abs().max()) for t in state["ema"].values())
    if worst > 60000:
        raise SystemExit(f"a weight of {worst} does not fit float16")
    about = {
        "arch": "cutout-s", "format": 1, "steps": state["step"], "images_seen": state["images"], "minutes": round(state["spent"] / 60, 1),
        "normalisation": {"mean": [127.5] * 3, "std": [127.5] * 3, "order": "rgb", "layout": "nchw", "pad": "right and bottom, zero after normalisation"},
        "input_multiple": 32, "input_side": 512, "embedding_stride": 16, "logit_stride": 4, "mask_threshold": 0.0,
        "licence_filter": state["args"].get("licence", "any"), "note": note}
    tensors = {k: v.half().contiguous() for k, v in state["ema"].items()}
    save_file(tensors, out, {"cutout": json.dumps(about, sort_keys=True)})
    print(f"{out}: {len(tensors)} tensors, {sum(t.numel() for t in tensors.values())} parameters, largest value {worst:.2f}")


@torch.no_grad()
def fixture(weights, out):
    """One input and what the exported weights answer in float32, for a point, a box with a point, and a mask prompt."""
    model = teacher.load(weights)
    x = torch.from_numpy(np.random.default_rng(5).uniform(-1, 1, (1, 3, 128, 160)).astype(np.float32))
    # Noise alone would leave the deep layers with little to say.
    x = (x * 0.3 + torch.nn.functional.interpolate(x[:, :, ::32, ::32], x.shape[-2:], mode="bilinear")).clamp(-1, 1)
    features = model.encode(x)
    arrays = dict(zip(("embedding", "skip_s0", "skip_s1"), (f.contiguous().numpy() for f in features)), input=x.numpy())
    one = torch.zeros(1, dtype=torch.long)
    cases = {
        "box_point": ([[70, 60], [20, 16], [120, 100]], [1, 2, 3]),
        "point": ([[70, 60], [0, 0]], [1, -1]),
    }
    for name, (coords, labels) in cases.items():
        coords, labels = torch.tensor([coords], dtype=torch.float32), torch.tensor([labels])
        logits, iou = model.decode(features, one, coords, labels)
        arrays |= {f"{name}.coords": coords.numpy(), f"{name}.labels": labels.numpy(), f"{name}.low_res": logits.numpy(), f"{name}.iou": iou.numpy()}
    earlier = logits[:, :1].contiguous()
    logits, iou = model.decode(features, one, coords, labels, earlier)
    arrays |= {"point_mask.mask_input": earlier.numpy(), "point_mask.low_res": logits.numpy(), "point_mask.iou": iou.numpy()}
    np.savez(out, **arrays)
    for name, a in arrays.items():
        print(f"{name:24} {str(a.shape):20} {a.dtype} {a.min():.3f} .. {a.max():.3f}")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("checkpoint")
    p.add_argument("out", help="the .safetensors file to write")
    p.add_argument("--fixture", help="also write this .npz, computed from the written file")
    p.add_argument("--note", default="", help="free text for the metadata")
    args = p.parse_args()
    export(args.checkpoint, args.out, args.note)
    if args.fixture:
        fixture(args.out, args.fixture)


if __name__ == "__main__":
    main()
