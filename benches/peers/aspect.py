"""What does encoding at the picture's own shape save, against the padded square?

Runs `cutout bench` at the square and at the rectangle in turn, and prints the ratio of the encoder's medians as Markdown. How the shape
changes the masks is shown by `cutout eval` ("by aspect ratio").

    python benches/peers/aspect.py target/release/cutout
    python benches/peers/aspect.py target/release/cutout --model FILE --square 1024x1024 --rectangle 576x1024 --repeats 3
"""
import argparse
import json
import statistics
import sys

from program import bench, progress


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("cutout", help="the program")
    p.add_argument("--model", help="as `cutout bench` takes it")
    p.add_argument("--square", default="512x512", help="height and width of the padded input")
    p.add_argument("--rectangle", default="288x512", help="height and width of the input without padding")
    p.add_argument("--picture", default="1280x720", help="width and height of the picture")
    p.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    p.add_argument("--rounds", type=int, default=7, help="how often the shapes take turns")
    p.add_argument("--repeats", type=int, default=15, help="runs in one turn")
    p.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = p.parse_args()
    found = [compare(args, threads) for threads in args.threads]
    if args.json:
        json.dump(found, sys.stdout, indent=2)
        return
    print(f"{found[0]['model']}, {found[0]['operators']}, {found[0]['board']['name']}; medians of {args.rounds} turns of {args.repeats} runs\n")
    print(f"| image encoder | {args.square} ms | {args.rectangle} ms | rectangle / square |\n|---|--:|--:|--:|")
    for row in found:
        print(f"| {row['threads']} threads | {row['square_ms']:.2f} | {row['rectangle_ms']:.2f} | {row['ratio']:.3f} |")


def compare(args, threads):
    times = {args.square: [], args.rectangle: []}
    for turn in range(args.rounds):
        for size, found in times.items():
            progress(f"{threads} threads, turn {turn + 1} of {args.rounds}: {size}")
            table = bench(args.cutout, size=size, picture=args.picture, threads=threads, rounds=args.repeats, model=args.model)
            found.append(table["ms"]["encode"])
    progress("")
    square, rectangle = (statistics.median(found) for found in times.values())
    return {"model": table["model"], "operators": table["operators"], "board": table["board"], "threads": threads,
            "square_ms": square, "rectangle_ms": rectangle, "ratio": rectangle / square}


if __name__ == "__main__":
    main()
