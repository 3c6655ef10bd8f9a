"""Runs the whole recipe on a few synthetic pictures in about three minutes: teacher, distillation, labelling, training, evaluation,
export. It checks that each step runs, that the student comes nearer to its teacher, and that each hands on what the next one needs;
it says nothing about accuracy."""
import gzip
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco

import synthetic

HERE = Path(__file__).parent
SHIPPED = HERE.parent / "weights" / "cutout-s" / "weights.safetensors"


def pictures(folder, count):
    """A data set of synthetic scenes in the layout that training reads."""
    (folder / "images").mkdir(parents=True)
    with gzip.open(folder / "annotations.jsonl.gz", "wt") as out:
        for n in range(count):
            rgb, masks = synthetic.scene(np.random.default_rng(n), 96, 128)
            file = f"images/{n}.png"
            cv2.imwrite(str(folder / file), rgb[..., ::-1])
            rles = [coco.encode(np.asfortranarray(m)) for m in masks]
            lines = [{"rle": {"size": [96, 128], "counts": r["counts"].decode()}, "area": int(coco.area(r)),
                      "bbox": [int(v) for v in coco.toBbox(r)]} for r in rles]
            split = "heldout" if n % 8 == 7 else "val" if n % 8 == 6 else "train"
            out.write(json.dumps({"file": file, "width": 128, "height": 96, "source": folder.name, "split": split, "rank": n / count,
                                  "segments": lines}) + "\n")


def run(*words):
    words = [str(w) for w in words]
    print("+", *words, flush=True)
    done = subprocess.run([sys.executable, *words], cwd=HERE, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{words[0]} failed with status {done.returncode}")
    return done.stdout


def learned(folder, key):
    """The first and the last figure of a run's log."""
    values = [entry[key] for entry in map(json.loads, open(folder / "log.jsonl")) if key in entry]
    print(f"  {key}: {values[0]:.3f} -> {values[-1]:.3f} in {len(values)} lines")
    assert len(values) >= 2 and np.isfinite(values).all(), values
    return values[0], values[-1]


def main():
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        pictures(place / "data" / "toy", 16)
        common = ["--cache", place / "cache", "--schedule", "64x4@1", "--objects", "3", "--lr", "1e-3", "--val-minutes", "99"]
        train = ["train.py", "--data", place / "data", *common]
        # The large encoder grows out of the small one.
        run(*train, "--run", place / "teacher", "--encoder", "large", "--start", SHIPPED, "--minutes", "0.4")
        learned(place / "teacher", "loss")

        teacher = place / "teacher" / "checkpoint.pt"
        distil = ["distil.py", "--teacher", teacher, *common, "--freeze", "0"]
        run(*distil, "--learn", "embedding", "--run", place / "embedding", "--lr", "1e-2", "--minutes", "1.2")
        first, last = learned(place / "embedding", "unexplained")
        assert last < 0.95 * first, "the student's embedding came no nearer"
        run(*distil, "--learn", "masks", "--run", place / "masks", "--start", place / "embedding" / "checkpoint.pt", "--minutes", "0.3")
        learned(place / "masks", "loss")

        said = run("label.py", place / "data" / "toy" / "images", place / "more" / "mine", "--teacher", teacher, "--side", "128",
                   "--grid", "4", "--sure", "-9", "--stable", "0")
        labelled = [json.loads(line) for line in gzip.open(place / "more" / "mine" / "annotations.jsonl.gz", "rt")]
        assert len(labelled) == 16 and "16 pictures" in said, said

        # Two processes, cut short and resumed.
        again = [*train, "--run", place / "student", "--start", place / "masks" / "checkpoint.pt", "--synthetic", "0.3"]
        run(*again, "--minutes", "0.2", "--processes", "2")
        run(*again, "--minutes", "0.4", "--processes", "2")
        ends = [e for e in map(json.loads, open(place / "student" / "log.jsonl")) if e.get("event") == "finished"]
        assert len(ends) == 2 and ends[1]["step"] > ends[0]["step"], ends

        # A copy small enough to be carried to another machine is data like any other; the mean of two runs is weights like any other.
        small, whole = place / "small", place / "whole"
        said = run("carry.py", place / "data", small, "--mib", "0.5", "--part", "1/2")
        assert sum(f.stat().st_size for f in small.rglob("*") if f.is_file()) <= 0.5 * (1 << 20), said
        assert len(list(small.rglob("*.jpg"))) == 6, said  # every other one of 16, less two that are held out
        run(*train[:1], "--data", small, *common, "--cache", place / "small-cache", "--run", place / "carried", "--start",
            place / "student" / "checkpoint.pt", "--minutes", "0.15")
        run("average.py", whole, place / "student" / "checkpoint.pt", place / "carried" / "checkpoint.pt")
        run("evaluate.py", whole, "--cache", place / "cache", "--split", "heldout", "--side", "128", "--clicks", "1")

        student, exported = place / "student" / "checkpoint.pt", place / "cutout-s.safetensors"
        run("export.py", student, exported, "--fixture", place / "fixture.npz")
        ask = lambda weights: json.loads(run("evaluate.py", weights, "--cache", place / "cache", "--split", "heldout", "--side", "128",
                                             "--clicks", "3").splitlines()[-1])
        whole, half = ask(student), ask(exported)
        assert whole.keys() == half.keys() and all(abs(whole[k] - half[k]) < 0.02 for k in whole), (whole, half)
    print("the recipe runs")


if __name__ == "__main__":
    main()
