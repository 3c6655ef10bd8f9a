"""Averages the weights of several runs that began from the same ones: better than each of them at no cost when used (Wortsman et al.
2022, "Model soups"). The result is a checkpoint for `export.py` and `--start`; it has no optimiser."""
import argparse

import torch

import teacher


def average(out, paths):
    states = [teacher.weights(path) for path in paths]
    if any(state.keys() != states[0].keys() for state in states):
        raise SystemExit("these are weights of different models")
    logs = [torch.load(p, map_location="cpu", weights_only=False) for p in paths if not str(p).endswith(".safetensors")]
    total = lambda key: sum(log[key] for log in logs)
    ema = {name: sum(state[name] for state in states) / len(states) for name in states[0]}
    torch.save({"ema": ema, "step": total("step"), "images": total("images"), "spent": total("spent"),
                "args": logs[-1]["args"] if logs else {}}, out)
    print(f"{out}: the mean of {len(states)} sets of weights; {total('images')} images in {total('spent') / 60:.0f} minutes")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("out", help="the checkpoint to write")
    p.add_argument("weights", nargs="+", help="checkpoints or exported .safetensors")
    args = p.parse_args()
    average(args.out, args.weights)


if __name__ == "__main__":
    main()
