"""onnxruntime runs what `cutout models export` writes, and agrees with tract.

    python tests/onnx_agreement.py target/release/cutout

`cutout models export --example` puts the inputs of one run, and the outputs that this program's own engine gave for
them, beside the ONNX files. This script runs onnxruntime on the same files and inputs and prints the largest
difference. Models: the shipped one and, where `../shared/reference` is at hand, MobileSAM and SAM ViT-B with stand-in
weights. Exits 1 beyond the tolerance.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

# Absolute; the features have unit deviation, the logits about ten. f32 sums in another order stay far below.
TOLERANCE = {"image_embeddings": 1e-3, "high_res_s0": 1e-2, "high_res_s1": 1e-2, "low_res_masks": 1e-2, "iou_predictions": 1e-3}

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def standin(name, shape, seed):
    """The deterministic stand-in values of one parameter; see models/src/standin.rs for the formula."""
    count = int(np.prod(shape)) if shape else 1
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) % 2**64
    start = np.uint64(h ^ (seed * int(GOLDEN)) % 2**64)
    with np.errstate(over="ignore"):
        z = start + np.arange(1, count + 1, dtype=np.uint64) * GOLDEN
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    u = (z >> np.uint64(40)).astype(np.float64) / 2**24
    v = 2 * u - 1
    free = ("point_embeddings", "not_a_point_embed", "no_mask_embed", "iou_token", "mask_tokens")
    if name.endswith("num_batches_tracked"):
        values = np.zeros(count)
    elif name.endswith("running_var"):
        values = 0.5 + u
    elif name.endswith("running_mean"):
        values = 0.2 * v
    elif any(word in name for word in free):
        values = v
    elif "positional_encoding_gaussian_matrix" in name:
        values = 1.5 * v
    elif name.endswith("attention_biases") or "rel_pos" in name or "pos_embed" in name:
        values = 0.5 * v
    elif len(shape) == 1:
        values = 1 + 0.1 * v if name.endswith("weight") else 0.1 * v
    else:
        values = v * np.sqrt(3 / (count / shape[0]))
    return values.astype(np.float32)


def write_standin(shapes, seed, path):
    """Writes a safetensors file of stand-in weights."""
    header, blobs, offset = {}, [], 0
    for name, shape in shapes.items():
        if name.startswith("pixel_"):
            continue
        blob = standin(name, shape, seed).tobytes()
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + len(blob)]}
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(blobs))


def compare(folder):
    """Runs both graphs of an exported folder; returns rows of (graph, output, difference, tolerance)."""
    rows = []
    for graph in ("image_encoder", "mask_decoder"):
        onnx.checker.check_model(str(folder / f"{graph}.onnx"))
        session = onnxruntime.InferenceSession(str(folder / f"{graph}.onnx"), providers=["CPUExecutionProvider"])
        example = folder / "example" / graph
        inputs = {i.name: np.load(example / f"{i.name}.npy") for i in session.get_inputs()}
        names = [o.name for o in session.get_outputs()]
        for name, ours in zip(names, session.run(names, inputs)):
            theirs = np.load(example / f"{name}.npy")
            difference = float(np.abs(ours - theirs).max()) if ours.shape == theirs.shape else float("inf")
            rows.append((graph, name, difference, TOLERANCE[name]))
    return rows


def main():
    program = Path(sys.argv[1]).resolve()
    reference = Path(os.environ.get("CUTOUT_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "reference"
    failed = False
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        models = [("cutout-s", "cutout-s")]
        for folder, name in (("mobile_sam_seed1", "mobile_sam"), ("sam_vit_b_seed2", "sam_vit_b")):
            if not (reference / folder).is_dir():
                print(f"NOT CHECKED: {name} in onnxruntime ({reference / folder} is not here)")
                continue
            shapes = json.loads((reference / folder / "state_dict.json").read_text())
            write_standin(shapes, json.loads((reference / folder / "cases.json").read_text())["seed"], scratch / f"{name}.safetensors")
            models.append((name, scratch / f"{name}.safetensors"))
        for name, source in models:
            out = scratch / name
            subprocess.run([program, "models", "export", source, "-o", out, "--example", "--prompts", "dynamic"], check=True)
            for graph, output, difference, tolerance in compare(out):
                verdict = "ok" if difference <= tolerance else "FAIL"
                failed |= verdict == "FAIL"
                print(f"{name:12} {graph:14} {output:18} {difference:10.2e}  tolerance {tolerance:.0e}  {verdict}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
