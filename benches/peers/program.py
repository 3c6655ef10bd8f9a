"""The program `cutout`, as the scripts of this folder run it."""
import json
import subprocess
import sys


def bench(cutout, *, size, picture, threads, rounds, model=None, operators="auto"):
    """The table of `cutout bench`, with the medians of its stages in milliseconds as "ms"."""
    words = ["--size", size, "--picture", picture, "--threads", threads, "--rounds", rounds, "--operators", operators]
    table = json.loads(run(cutout, "bench", *words, *model_words(model), "--json"))
    table["ms"] = {stage["name"]: stage["median_ms"] for stage in table["stages"]}
    return table


def export(cutout, folder, *, size, prompts, model=None):
    """Writes the model's graphs to a folder, for prompts of one point and its padding."""
    run(cutout, "models", "export", model or "cutout-s", "-o", folder, "--size", size, "--points", 2, "--prompts", prompts)


def model_words(model):
    return ["--model", model] if model else []


def run(cutout, *words):
    done = subprocess.run([str(word) for word in (cutout, *words)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"cutout {' '.join(map(str, words))} failed:\n{done.stderr.strip()}")
    return done.stdout


def sides(text):
    """`AxB` as two numbers."""
    first, second = text.split("x")
    return int(first), int(second)


def progress(text):
    """Replaces the line on stderr that says how far we are; nothing takes it away."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)
