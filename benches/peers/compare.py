"""How does Cutout compare with other engines on the same graphs?

Runs `cutout bench` with its own operators and with tract, and onnxruntime, OpenVINO and ncnn on the graphs that `cutout models export`
writes, in turn and with the same number of threads. Prints a table of medians and ratios as Markdown. An engine that is not installed
is left out; one that cannot run a graph, or answers otherwise than the first that can, has no time for it. Both are said below the table.

    pip install -r benches/peers/requirements.txt
    python benches/peers/compare.py target/release/cutout
    python benches/peers/compare.py target/release/cutout --model FILE --size 1024x1024 --rounds 3 --repeats 3
"""
import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import graphs
from engines import ENGINES, Refused
from program import bench, progress

# What a row says, the graph that other engines run for it, and the stages of `cutout bench` that do the same.
ROWS = {
    "encoder": ("image encoder", "encoder", ["encode"]),
    "first": ("mask decoder, first prompt on an image", "decoder", ["decode, first prompt"]),
    "next": ("mask decoder, next prompts", "decoder", ["decode, next prompts"]),
    "full": ("mask decoder, next prompts, to a mask at full size", "full", ["decode, next prompts", "mask at full size"]),
    "batch": (f"mask decoder, {graphs.BATCH} prompts, each", "batch", [f"decode, {graphs.BATCH} prompts, each"]),
}
OPERATORS = {"cutout": "auto", "tract": "tract"}


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("cutout", help="the program")
    p.add_argument("--model", help="as `cutout bench` takes it")
    p.add_argument("--size", default="512x512", help="height and width of the input")
    p.add_argument("--picture", default="1280x720", help="width and height of the picture that masks are made for")
    p.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    p.add_argument("--peers", nargs="*", choices=["tract", *ENGINES], default=["tract", *ENGINES], help="whom to compare with")
    p.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), help="what to compare")
    p.add_argument("--rounds", type=int, default=5, help="how often the engines take turns")
    p.add_argument("--repeats", type=int, default=15, help="runs in one turn")
    p.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return p.parse_args()


def main():
    args = arguments()
    engines, versions = {}, {}
    for name in filter(ENGINES.get, args.peers):
        try:
            engines[name] = ENGINES[name]()
            versions[name] = engines[name].version
        except ImportError as error:
            versions[name] = f"not installed ({error.name})"
    with tempfile.TemporaryDirectory() as folder:
        known = own(args, "cutout", 1, rounds=1)["ms"]
        args.rows = [row for row in args.rows if all(stage in known for stage in ROWS[row][2])]
        if not args.rows:
            sys.exit("`cutout bench` of this program has no such stage")
        paths = graphs.write(args.cutout, Path(folder), args)
        tables = []
        for threads in args.threads:
            tables.append(table(args, engines, versions, paths, threads))
            if not args.json:
                print(markdown(tables[-1]), flush=True)
    if args.json:
        json.dump(tables, sys.stdout, indent=2)


def table(args, engines, versions, paths, threads):
    feeds = {graph: graphs.feeds(paths[graph]) for graph in dict.fromkeys(ROWS[row][1] for row in args.rows)}
    runs, refused = load(engines, paths, feeds, threads)
    contestants = ["cutout", *(peer for peer in args.peers if peer in OPERATORS or peer in engines)]
    times, about = {}, {}
    for turn in range(args.rounds):
        for name in contestants:
            progress(f"{threads} threads, turn {turn + 1} of {args.rounds}: {name}")
            if name in OPERATORS:
                shown = own(args, name, threads)
                found = {row: sum(shown["ms"][stage] for stage in ROWS[row][2]) for row in args.rows}
                about.setdefault(name, shown)
            else:
                medians = {g: median_ms(runs[name, g], feeds[g], args.repeats, g) for g in feeds if (name, g) in runs}
                found = {row: medians[ROWS[row][1]] for row in args.rows if ROWS[row][1] in medians}
            for row, ms in found.items():
                times.setdefault(row, {}).setdefault(name, []).append(ms)
    progress("")
    rows, about = [], about["cutout"]
    for row in args.rows:
        ms = {name: statistics.median(found) for name, found in times[row].items()}
        ratio = {name: ms["cutout"] / other for name, other in ms.items() if name != "cutout"}
        rows.append({"row": ROWS[row][0], "ms": ms, "ratio": ratio})
    return {
        "model": about["model"], "size": args.size, "picture": args.picture, "threads": threads, "operators": about["operators"],
        "board": about["board"], "rounds": args.rounds, "repeats": args.repeats, "peers": versions, "contestants": contestants,
        "rows": rows, "refused": refused,
    }


def own(args, name, threads, rounds=None):
    return bench(args.cutout, size=args.size, picture=args.picture, threads=threads, rounds=rounds or args.repeats, model=args.model,
                 operators=OPERATORS[name])


def load(engines, paths, feeds, threads):
    """What runs each graph, by engine and graph, and what does not, with the reason."""
    runs, refused = {}, []
    for graph, inputs in feeds.items():
        expected = None
        for name, engine in engines.items():
            progress(f"{threads} threads: {name} loads {paths[graph].stem}")
            try:
                run = engine.load(paths[graph], threads)
                answer = [np.array(value) for value in run(inputs)]
                expected = expected or answer
                if not agree(answer, expected):
                    raise Refused("it answers otherwise than the others")
                runs[name, graph] = run
            except Refused as why:
                refused.append({"peer": name, "graph": paths[graph].stem, "why": str(why)})
    return runs, refused


def agree(answer, expected):
    """Whether two engines give the same but for rounding, and for pixels at the edge of a mask."""
    if [value.shape for value in answer] != [value.shape for value in expected]:
        return False
    return all((a == b).mean() > 0.999 if b.dtype == bool else abs(a - b).max() < 0.01 * abs(b).max() for a, b in zip(answer, expected))


def median_ms(run, inputs, repeats, graph):
    """The median time of a run, or of a prompt where a run answers many."""
    prompts = graphs.BATCH if graph == "batch" else 1
    times = []
    for _ in range(max(1, repeats // 5) if graph == "batch" else repeats):
        start = time.perf_counter()
        run(inputs)
        times.append(1e3 * (time.perf_counter() - start) / prompts)
    return statistics.median(times)


def markdown(table):
    names = table["contestants"]
    peers = "; ".join(f"{name} {version}" for name, version in table["peers"].items())
    lines = [
        f"\n{table['model']} at {table['size']}, picture {table['picture']}, {table['threads']} threads, {table['operators']}, "
        f"{table['board']['name']}; {peers}; medians of {table['rounds']} turns of {table['repeats']} runs\n",
        f"| | {' | '.join(f'{name} ms' for name in names)} | {' | '.join(f'cutout / {name}' for name in names[1:])} |",
        f"|---|{'--:|' * (2 * len(names) - 1)}",
    ]
    for row in table["rows"]:
        cells = [f"{row['ms'][name]:.2f}" if name in row["ms"] else "–" for name in names]
        cells += [f"{row['ratio'][name]:.2f}" if name in row["ratio"] else "–" for name in names[1:]]
        lines.append(f"| {row['row']} | {' | '.join(cells)} |")
    lines += [f"\n{r['peer']} does not run {r['graph']}: {r['why']}." for r in table["refused"]]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
