"""Is our image encoder in int8 faster than the fastest that onnxruntime makes of the same network?

Exports the float32 encoder, has `onnxruntime.quantization` make every form of int8 of it that it knows (dynamic; static as QDQ and as
QOperator; per tensor and per channel; all operators or some), and runs them and our own exported int8 graph in turn with `cutout
bench` of our two bundles, on the same number of threads. Forms that cannot be made or run are left out and said to be; all others have
a first turn, and the --keep whose quickest run takes least go on. "Differs" is the root mean square difference of the image embedding
from onnxruntime's in float32 over that embedding's own, on a picture that calibration does not see.

The time of a turn is the median of its runs. A row has the median and the least of the turns. A ratio is the median of the ratios
within a round. Both programs are started here, so `taskset -c 0,1` before the command keeps all on the same cores.

    pip install -r benches/peers/requirements.txt
    cutout quantize cutout-s -o INT8
    python benches/peers/quantized.py target/release/cutout --int8 INT8 --size 512x512 --pictures FOLDER --json quantized.json
    python benches/peers/quantized.py target/release/cutout --f32 FILE --int8 INT8 --size 1024x1024 --pictures FOLDER --rounds 3 --repeats 3
"""
import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np

from compare import median_ms
from engines import OnnxRuntime
from program import bench, export, progress, sides
from variants import Quantizer, inputs

OURS, OURS_INT8 = "cutout f32", "cutout int8"
PEER, PEER_OURS = "onnxruntime f32", "onnxruntime int8, exported by cutout"


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("cutout", help="the program")
    p.add_argument("--f32", default="cutout-s", help="the model in float32, as `cutout bench` takes it")
    p.add_argument("--int8", help="its quantised bundle; without it, the others are timed alone")
    p.add_argument("--size", default="512x512", help="height and width of the input")
    p.add_argument("--pictures", help="folder of pictures to calibrate onnxruntime's forms on; without it, some are made")
    p.add_argument("--images", type=int, default=4, help="how many of them to calibrate on; one more is needed")
    p.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    p.add_argument("--rounds", type=int, default=5, help="how often all take turns")
    p.add_argument("--repeats", type=int, default=9, help="runs in one turn")
    p.add_argument("--keep", type=int, default=6, help="how many of onnxruntime's forms go on after a first turn")
    p.add_argument("--json", metavar="FILE", help="also write the numbers to a file")
    return p.parse_args()


def main():
    args = arguments()
    engine, ours = OnnxRuntime(), [OURS, *([OURS_INT8] if args.int8 else [])]
    for name in ours:
        own(args, name, args.threads[0], rounds=1)
    with tempfile.TemporaryDirectory() as folder:
        graphs, feeds, refused = write(args, Path(folder))
        tables = []
        for threads in args.threads:
            tables.append(table(args, engine, ours, graphs, feeds, refused, threads))
            print(markdown(tables[-1]), flush=True)
            if args.json:
                Path(args.json).write_text(json.dumps(tables, indent=2) + "\n")


def write(args, folder):
    """The graphs by name, inputs to run them on, and the names of forms that could not be made with the reasons."""
    export(args.cutout, folder / "f32", size=args.size, prompts=1, model=args.f32)
    graphs = {PEER: folder / "f32" / "image_encoder.onnx"}
    if args.int8:
        export(args.cutout, folder / "int8", size=args.size, prompts=1, model=args.int8)
        graphs[PEER_OURS] = folder / "int8" / "image_encoder.onnx"
    *calibration, feeds = inputs(graphs[PEER], args.images + 1, args.pictures)
    quantizer, refused = Quantizer(graphs[PEER], folder, calibration), {}
    for form in quantizer.forms:
        name = f"onnxruntime int8, {form}"
        progress(f"making: {name}")
        try:
            graphs[name] = quantizer.make(form)
        except Exception as why:  # The tool raises whatever comes; one form less is no reason to end.
            refused[name] = reason(why)
    progress("")
    return graphs, feeds, refused


def table(args, engine, ours, graphs, feeds, refused, threads):
    runs, errors, refused = load(args, engine, graphs, feeds, refused, threads)
    turns, about = {}, {}
    for turn in range(args.rounds):
        for name in [*ours, *runs]:
            progress(f"{threads} threads, turn {turn + 1} of {args.rounds}: {name}")
            if name in runs:
                found = timed(runs[name], feeds, args.repeats)
            else:
                about[name] = own(args, name, threads)
                found = about[name]["ms"]["encode"]
            turns.setdefault(name, []).append(found)
    progress("")
    ms = {name: statistics.median(found) for name, found in turns.items()}
    best = min((name for name in runs if name != PEER), key=ms.get, default=None)
    pairs = [(OURS_INT8, OURS), (OURS_INT8, best), (OURS_INT8, PEER), (best, PEER), (OURS, PEER)]
    ratios = [{"of": a, "to": b, "ratio": ratio(turns[a], turns[b])} for a, b in pairs if a in turns and b in turns]
    rows = [{"name": name, "median_ms": ms[name], "least_ms": min(found), "turns_ms": found, "differs": errors.get(name)}
            for name, found in turns.items()]
    return {
        "models": {name: shown["model"] for name, shown in about.items()}, "size": args.size, "threads": threads,
        "operators": about[OURS]["operators"], "board": about[OURS]["board"], "onnxruntime": engine.version, "rounds": args.rounds,
        "repeats": args.repeats, "images": args.images, "pictures": "of a folder" if args.pictures else "made",
        "best": best, "rows": rows, "ratios": ratios, "left_out": [{"name": name, "why": why} for name, why in refused.items()],
    }


def load(args, engine, graphs, feeds, refused, threads):
    """What runs each graph, how its answer differs from the first's, and what is left out. Only the fast ones stay in memory."""
    runs, quickest, errors, refused, expected = {}, {}, {}, dict(refused), None
    for name, path in graphs.items():
        progress(f"{threads} threads, first turn: {name}")
        try:
            run = engine.load(path, threads)
            answer = run(feeds)[0]
        except Exception as why:  # As above.
            if name == PEER:
                sys.exit(f"onnxruntime does not run the graph in float32: {reason(why)}")
            refused[name] = reason(why)
            continue
        if name == PEER:
            expected = answer.copy()
        else:
            errors[name] = float(np.sqrt(np.square(answer - expected).mean() / np.square(expected).mean()))
        runs[name], quickest[name] = run, min(median_ms(run, feeds, 1, "encoder") for _ in range(max(3, args.repeats // 2)))
        forms = sorted((other for other in runs if other not in (PEER, PEER_OURS)), key=quickest.get)
        for other in forms[args.keep:]:
            took = f"{quickest[other]:.1f} ms at least, differs {errors[other]:.3f}"
            refused[other] = f"{args.keep} others were faster in a first turn ({took})"
            del runs[other]
    progress("")
    if errors.get(PEER_OURS, 0) >= 1:
        sys.exit(f"{args.int8} is not a form of {args.f32}: their image embeddings have nothing in common")
    return runs, errors, refused


def timed(run, feeds, repeats):
    """The median time of a turn, after a run that finds other graphs' weights in the caches."""
    run(feeds)
    return median_ms(run, feeds, repeats, "encoder")


def own(args, name, threads, rounds=None):
    """The table of `cutout bench` of one of ours, which computes in what it should."""
    model, precision = (args.f32, "f32") if name == OURS else (args.int8, "int8")
    height, width = sides(args.size)
    found = bench(args.cutout, size=args.size, picture=f"{width}x{height}", threads=threads, rounds=rounds or args.repeats, model=model)
    if found["precision"] != precision:
        sys.exit(f"the image encoder of {model} runs in {found['precision']}, not in {precision}")
    return found


def ratio(of, to):
    return statistics.median(a / b for a, b in zip(of, to))


def reason(why):
    """The first line of what an exception says."""
    return next(iter(str(why).strip().splitlines()), "") or type(why).__name__


def markdown(table):
    models = " and ".join(table["models"].values())
    lines = [
        f"\n{models} at {table['size']}, {table['threads']} threads, {table['operators']}, {table['board']['name']}; "
        f"onnxruntime {table['onnxruntime']}, calibrated on {table['images']} pictures ({table['pictures']}); {table['rounds']} turns "
        f"of {table['repeats']} runs\n",
        "| image encoder | median ms | least ms | cutout int8 / it | differs |\n|---|--:|--:|--:|--:|",
    ]
    ours = next((row["turns_ms"] for row in table["rows"] if row["name"] == OURS_INT8), None)
    for row in sorted(table["rows"], key=lambda row: row["median_ms"]):
        of = f"{ratio(ours, row['turns_ms']):.2f}" if ours and row["name"] != OURS_INT8 else "–"
        differs = "–" if row["differs"] is None else f"{row['differs']:.3f}"
        lines.append(f"| {row['name']} | {row['median_ms']:.2f} | {row['least_ms']:.2f} | {of} | {differs} |")
    lines += ["\n| ratio | |\n|---|--:|"]
    lines += [f"| {found['of']} / {found['to']} | {found['ratio']:.3f} |" for found in table["ratios"]]
    lines += [""] + [f"- left out: {found['name']}: {found['why']}" for found in table["left_out"]]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
