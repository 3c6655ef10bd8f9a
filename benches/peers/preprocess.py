"""How fast does a camera's picture become the network's input, next to OpenCV?

Takes the stage "preprocess" of `cutout bench` and OpenCV in turn: resize, then normalise into planes of float32. OpenCV's quickest way to
the latter is a table of 256 floats for each channel. Between two runs of it 64 MB are written, for what runs between two runs of ours is
a network: both find cold caches.

INTER_LINEAR reads four pixels for each one that it makes, as if the picture were not made smaller; INTER_AREA averages, and `cutout`
filters as Pillow does, byte for byte. `cargo bench -p cutout-benches --bench preprocess` compares with fast_image_resize.

    python benches/peers/preprocess.py target/release/cutout
"""
import argparse
import json
import statistics
import sys
import time

import cv2
import numpy as np

from program import bench, progress, sides

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


class OpenCv:
    def __init__(self, picture, size, interpolation):
        (across, down), (height, width) = picture, size
        self.picture = np.random.default_rng(1).integers(0, 256, (down, across, 3), np.uint8)
        self.size, self.interpolation = (width, height), interpolation
        self.tables = [((np.arange(256) - mean) / std).astype(np.float32)[None] for mean, std in zip(MEAN, STD)]
        self.small, self.channel = np.empty((height, width, 3), np.uint8), np.empty((height, width), np.uint8)
        self.planes = np.empty((3, height, width), np.float32)
        self.caches = np.zeros(64 << 20, np.uint8)

    def run(self):
        cv2.resize(self.picture, self.size, dst=self.small, interpolation=self.interpolation)
        for channel, (table, plane) in enumerate(zip(self.tables, self.planes)):
            cv2.LUT(cv2.extractChannel(self.small, channel, self.channel), table, dst=plane)

    def median_ms(self, repeats):
        times = []
        for _ in range(repeats):
            self.caches += 1
            start = time.perf_counter()
            self.run()
            times.append(1e3 * (time.perf_counter() - start))
        return statistics.median(times)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("cutout", help="the program")
    p.add_argument("--picture", default="1920x1080", help="width and height of the picture")
    p.add_argument("--sizes", nargs="+", default=["576x1024", "288x512"], help="heights and widths of the input")
    p.add_argument("--threads", type=int, nargs="+", default=[1])
    p.add_argument("--rounds", type=int, default=5, help="how often they take turns")
    p.add_argument("--repeats", type=int, default=15, help="runs in one turn")
    p.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = p.parse_args()
    found = [compare(args, size, threads) for size in args.sizes for threads in args.threads]
    if args.json:
        json.dump(found, sys.stdout, indent=2)
        return
    first = found[0]
    print(f"{args.picture} RGB to planes of float32, {first['operators']}, {first['board']['name']}; OpenCV {cv2.__version__}; medians of "
          f"{args.rounds} turns of {args.repeats} runs\n")
    names = list(first["ms"])
    print(f"| | {' | '.join(f'{name} ms' for name in names)} | {' | '.join(f'cutout / {name}' for name in names[1:])} |")
    print(f"|---|{'--:|' * (2 * len(names) - 1)}")
    for row in found:
        cells = [f"{row['ms'][name]:.2f}" for name in names] + [f"{row['ratio'][name]:.2f}" for name in names[1:]]
        print(f"| {row['size']}, {row['threads']} threads | {' | '.join(cells)} |")


def compare(args, size, threads):
    cv2.setNumThreads(threads)
    peers = {name: OpenCv(sides(args.picture), sides(size), getattr(cv2, name)) for name in ("INTER_LINEAR", "INTER_AREA")}
    times = {name: [] for name in ("cutout", *peers)}
    for turn in range(args.rounds):
        progress(f"{size}, {threads} threads, turn {turn + 1} of {args.rounds}")
        table = bench(args.cutout, size=size, picture=args.picture, threads=threads, rounds=args.repeats)
        times["cutout"].append(table["ms"]["preprocess"])
        for name, peer in peers.items():
            times[name].append(peer.median_ms(args.repeats))
    progress("")
    ms = {name: statistics.median(found) for name, found in times.items()}
    ratio = {name: ms["cutout"] / other for name, other in ms.items() if name != "cutout"}
    return {"size": size, "threads": threads, "operators": table["operators"], "board": table["board"], "ms": ms, "ratio": ratio}


if __name__ == "__main__":
    main()
