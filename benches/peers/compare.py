"""How does Cutout compare with onnxruntime on the same graphs?

Runs `cutout bench --operators OPERATORS` (auto and tract) and onnxruntime on the graphs that `cutout models export` writes, in turn and with the same number of
threads, and prints a table of medians and ratios as Markdown.

    python benches/peers/compare.py target/release/cutout [--model NAME|DIR] [--size 512x512] [--threads 1 2] [--rounds 5]
"""
import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime


def session(path, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def feeds(session, seed):
    """Inputs of a graph: noise, but a prompt of one point in the middle and no mask."""
    rng = np.random.default_rng(seed)
    out = {}
    for value in session.get_inputs():
        shape = [d if isinstance(d, int) else 2 for d in value.shape]
        out[value.name] = rng.normal(size=shape).astype(np.float32)
    if "point_labels" in out:
        out["point_labels"][:] = [[1, -1]]
        out["point_coords"][:] = 100
        out["has_mask_input"][:] = 0
        out["mask_input"][:] = 0
    return out


def median_ms(run, repeats):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def ours(cutout, args, threads, operators):
    height, width = args.size.split("x")
    words = [cutout, "bench", "--size", args.size, "--picture", f"{width}x{height}", "--threads", str(threads), "--rounds", str(args.repeats),
             "--operators", operators, "--json"] + (["--model", args.model] if args.model else [])
    table = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    stages = {s["name"]: s["median_ms"] for s in table["stages"]}
    return stages["encode"], stages["decode, first prompt"], stages["decode, next prompts"], table


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("cutout", help="the program")
    p.add_argument("--model", help="as `cutout bench` takes it")
    p.add_argument("--size", default="512x512", help="height and width of the input")
    p.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    p.add_argument("--rounds", type=int, default=5, help="how often the peers take turns")
    p.add_argument("--repeats", type=int, default=15, help="runs of a peer in one turn")
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        name = [args.model] if args.model else ["cutout-s"]
        subprocess.run([args.cutout, "models", "export", *name, "-o", folder, "--size", args.size, "--points", "2"], check=True, capture_output=True)
        for threads in args.threads:
            encoder, decoder = (session(Path(folder) / f"{part}.onnx", threads) for part in ("image_encoder", "mask_decoder"))
            image, prompt = feeds(encoder, 1), feeds(decoder, 2)
            rows = []
            for _ in range(args.rounds):
                own, own_first, own_next, table = ours(args.cutout, args, threads, "auto")
                tract, _, tract_next, _ = ours(args.cutout, args, threads, "tract")
                encode = median_ms(lambda: encoder.run(None, image), args.repeats)
                decode = median_ms(lambda: decoder.run(None, prompt), args.repeats)
                rows.append((own, tract, encode, own_first, own_next, tract_next, decode))
            own, tract, encode, own_first, own_next, tract_next, decode = (statistics.median(column) for column in zip(*rows))
            print(f"\n{table['model']} at {args.size}, {threads} threads, {table['operators']}, {table['board']['name']}; onnxruntime "
                  f"{onnxruntime.__version__}; medians of {args.rounds} turns of {args.repeats} runs\n")
            print("| graph | cutout ms | tract ms | onnxruntime ms | cutout / onnxruntime |\n|---|--:|--:|--:|--:|")
            print(f"| image encoder | {own:.2f} | {tract:.2f} | {encode:.2f} | {own / encode:.2f} |")
            print(f"| mask decoder, first prompt on an image | {own_first:.2f} | | {decode:.2f} | {own_first / decode:.2f} |")
            print(f"| mask decoder, next prompts | {own_next:.2f} | {tract_next:.2f} | {decode:.2f} | {own_next / decode:.2f} |", flush=True)


if __name__ == "__main__":
    main()
