"""Draws the validation scores of one or more runs over the minutes spent: python curve.py OUT.png NAME=RUN/log.jsonl ..."""
import json
import sys

import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt

SCORES = {"box": "from a box", "point_best": "from a point, best of three", "point_chosen": "from a point, as chosen"}


def main():
    out, *runs = sys.argv[1:]
    figure, axes = plt.subplots(1, len(SCORES), figsize=(11, 3.4), sharex=True, constrained_layout=True)
    for run in runs:
        name, path = run.split("=", 1)
        entries = [entry for entry in map(json.loads, open(path)) if entry.get("event") == "val"]
        for axis, key in zip(axes, SCORES):
            axis.plot([e["minutes"] for e in entries], [e[key] for e in entries], marker="o", markersize=3, label=name)
    for axis, title in zip(axes, SCORES.values()):
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("minutes of training")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("mean IoU, validation images")
    axes[-1].legend(fontsize=8)
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main()
