"""Segments the sample photo with the program built for aarch64, as Cortex-A72, Cortex-A76 and the newest processor that qemu knows, and
compares with the program of this machine: in floats within limits, in int8 to the last bit of what the image encoder gives.

    python tests/arm_agreement.py target/release/cutout target/aarch64-unknown-linux-musl/device/cutout
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

PHOTO = Path(__file__).parent.parent / "assets" / "scene.jpg"
PROMPTS = (["--box", "40,60,200,200"], ["--point", "120,130"])
# Products are summed in another order: a pixel on the edge of a mask may fall to the other side.
AREA, IOU = 0.005, 1e-3
CPUS = ("cortex-a72", "cortex-a76", "max")


def answer(program, prompt, *more):
    with tempfile.TemporaryDirectory() as folder:
        words = [*program, "segment", str(PHOTO), *prompt, "--size", "256", "--json", "-o", folder, *more]
        answer = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    mask = answer["masks"][0]
    return (mask["area"], mask["predicted_iou"], mask["bbox"]), answer["embedding_crc32"]


def emulated(cpu, program):
    return ["qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu", "-cpu", cpu, program]


def compare(here, arm, *model):
    """Prompts of one model; gives the checksum that it has here."""
    worst = 0.0
    for prompt in PROMPTS:
        (area, iou, box), crc = answer([here], prompt, *model)
        for cpu in CPUS:
            found, other = answer(emulated(cpu, arm), prompt, *model)
            print(f"{prompt}: {area} pixels here, {found[0]} on {cpu}; predicted IoU {iou:.5f}, {found[1]:.5f}", flush=True)
            worst = max(worst, abs(found[0] - area) / area)
            if abs(found[0] - area) > AREA * area or abs(found[1] - iou) > IOU or any(abs(a - b) > 1 for a, b in zip(found[2], box)):
                sys.exit(f"{cpu} answers otherwise: {found}, here {(area, iou, box)}")
            if model and other != crc:
                sys.exit(f"{cpu} encodes otherwise: {other}, here {crc}")
    print(f"all agree; areas differ by {100 * worst:.3f} % at most", flush=True)
    return crc


def quantised(here, folder):
    """The shipped model in int8, from the statistics that are part of the program."""
    model = Path(folder) / "int8"
    subprocess.run([here, "quantize", "cutout-s", "-o", str(model)], check=True, stdout=subprocess.DEVNULL)
    return str(model)


def levels(here, model):
    """SIMD levels of this machine."""
    for level in ("scalar", "avx2", "avx512", "neon", "neon-dot", "neon-i8mm"):
        words = [here, "models", "info", model, "--operators", level]
        told = subprocess.run(words, capture_output=True, text=True)
        if told.returncode == 0:
            yield level
        elif "this processor has no SIMD level" not in told.stderr:
            sys.exit(told.stderr)


def main():
    here, arm = sys.argv[1:]
    compare(here, arm)
    with tempfile.TemporaryDirectory() as folder:
        model = ["--model", quantised(here, folder)]
        crc = compare(here, arm, *model)
        for level in levels(here, model[1]):
            for threads in ("1", "2"):
                _, other = answer([here], PROMPTS[0], *model, "--operators", level, "--threads", threads)
                print(f"int8, {level}, {threads} threads: {other}", flush=True)
                if other != crc:
                    sys.exit(f"{level} with {threads} threads encodes otherwise: {other}, not {crc}")
    print(f"int8 gives the same bits everywhere: {crc}")


if __name__ == "__main__":
    main()
