"""Makes a small copy of a data set, to be carried to another machine: its training and validation images, reduced until all of them
fit a number of MiB, in the layout that `train.py --data` reads. With --part K/N a copy of every N-th image only, for several copies
that are trained on one after another: `--start` takes the weights from one to the next."""
import argparse
import gzip
import json
from pathlib import Path

import cv2

import data

SIDES = (512, 448, 384, 320, 256, 192)


def records(folder, splits, part, parts):
    """The records of one source that are to be carried."""
    for number, line in enumerate(gzip.open(folder / "annotations.jsonl.gz", "rt")):
        record = json.loads(line)
        if record["split"] in splits and number % parts == part:
            yield record


def small(folder, record, side, quality):
    """An image as JPEG with a long side of at most `side`, and its record to match."""
    image = cv2.imread(str(folder / record["file"]), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise SystemExit(f"cannot read {folder / record['file']}")
    image, segments = data.shrink(image, record["segments"], side)
    h, w = image.shape[:2]
    segments = [{**{k: v for k, v in s.items() if k != "counts"}, "rle": {"size": [h, w], "counts": s["counts"]}} for s in segments]
    jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
    return jpeg, record | {"file": str(Path(record["file"]).with_suffix(".jpg")), "width": w, "height": h, "segments": segments}


def carry(source, out, limit, splits, part, parts, quality):
    """Writes the copy at the largest of `SIDES` that fits `limit` bytes, and says what it holds."""
    folders = sorted(p.parent for p in Path(source).glob("*/annotations.jsonl.gz"))
    for side in SIDES:
        total, files = 0, {}
        for folder in folders:
            lines = []
            for record in records(folder, splits, part, parts):
                jpeg, record = small(folder, record, side, quality)
                lines.append(json.dumps(record))
                files[f"{folder.name}/{record['file']}"] = jpeg
                total += len(jpeg)
            if lines:
                packed = gzip.compress("\n".join(lines).encode() + b"\n", 9)
                files[f"{folder.name}/annotations.jsonl.gz"] = packed
                total += len(packed)
            if total > limit:
                break
        if total <= limit:
            break
        print(f"more than {limit / (1 << 20):.4g} MiB at a side of {side}", flush=True)
    else:
        raise SystemExit(f"{limit / (1 << 20):.4g} MiB do not hold these images at a side of {SIDES[-1]}: carry a --part of them")
    if not files:
        raise SystemExit(f"{source} has no images of the splits {', '.join(splits)}")
    for name, content in files.items():
        path = Path(out) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    images = sum(name.endswith(".jpg") for name in files)
    print(f"{out}: {images} images of a side of at most {side} in {total / (1 << 20):.1f} MiB")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("data", help="folder in the data/seg layout")
    p.add_argument("out", help="folder to write")
    p.add_argument("--mib", type=float, default=45, help="how large the copy may be")
    p.add_argument("--part", default="0/1", metavar="K/N", help="every N-th image, from the K-th on; K from 0")
    p.add_argument("--split", nargs="*", default=["train", "val"])
    p.add_argument("--quality", type=int, default=80, help="of the JPEGs")
    args = p.parse_args()
    part, parts = map(int, args.part.split("/"))
    carry(args.data, args.out, int(args.mib * (1 << 20)), args.split, part, parts, args.quality)


if __name__ == "__main__":
    main()
