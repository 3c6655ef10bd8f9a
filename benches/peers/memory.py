"""How much memory does one answer take, in f32, f16 and int8?

Runs `cutout segment` on a picture and prints the peak of its resident memory, as the kernel counts it when the process ends: what
`VmHWM` of `/proc/PID/status` says last. Pages of the program and of weights in mapped files count where they were touched.

    python benches/peers/memory.py target/release/cutout --int8 INT8 --size 512x512
    python benches/peers/memory.py target/release/cutout --f32 FILE --int8 INT8 --size 1024x1024 --json memory.json
"""
import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from program import model_words, progress, sides


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("cutout", help="the program")
    p.add_argument("--f32", default="cutout-s", help="the model in float32, as `cutout segment` takes it")
    p.add_argument("--f16", help="the model in half precision; without it, the one in float32 with --precision f16")
    p.add_argument("--int8", help="the quantised bundle; without it, the others alone")
    p.add_argument("--size", help="height and width of the input, the model's own without it")
    p.add_argument("--picture", default="1280x720", help="width and height of the picture")
    p.add_argument("--photo", help="a picture of your own")
    p.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    p.add_argument("--rounds", type=int, default=3, help="how often each is run")
    p.add_argument("--json", metavar="FILE", help="also write the numbers to a file")
    args = p.parse_args()
    models = {"f32": model_words(args.f32), "f16": model_words(args.f16) or [*model_words(args.f32), "--precision", "f16"]}
    if args.int8:
        models["int8"] = model_words(args.int8)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        photo = args.photo or noise(Path(folder) / "noise.ppm", *sides(args.picture))
        for threads in args.threads:
            for precision, words in models.items():
                progress(f"{precision}, {threads} threads")
                peaks = [peak_mb(args, photo, folder, [*words, "--threads", threads]) for _ in range(args.rounds)]
                rows.append({"precision": precision, "threads": threads, "median_mb": statistics.median(peaks), "most_mb": max(peaks)})
    progress("")
    print(f"`cutout segment`, {args.f32}, input {args.size or 'of the model'}, {args.photo or args.picture}; {args.rounds} runs\n")
    print("| | peak resident memory, MB (10^6), median | most |\n|---|--:|--:|")
    for row in rows:
        print(f"| {row['precision']}, {row['threads']} threads | {row['median_mb']:.1f} | {row['most_mb']:.1f} |")
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=2) + "\n")


def peak_mb(args, photo, folder, words):
    size = ["--size", args.size] if args.size else []
    command = [args.cutout, "segment", photo, "--point", "100,100", *words, *size, "-o", folder, "--json"]
    with open(Path(folder) / "errors", "w+") as errors:
        child = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=errors)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        if child.returncode != 0:
            sys.exit(f"{' '.join(child.args)} failed:\n{errors.read().strip()}")
    # Between fork and exec a child counts its parent's pages as its own.
    if used.ru_maxrss <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss:
        sys.exit("the program takes less memory than this script, which hides how much")
    return used.ru_maxrss * 1024 / 1e6


def noise(path, width, height):
    """A picture that no file format makes small, in one that needs no library."""
    path.write_bytes(b"P6 %d %d 255\n" % (width, height) + random.Random(1).randbytes(3 * width * height))
    return path


if __name__ == "__main__":
    main()
