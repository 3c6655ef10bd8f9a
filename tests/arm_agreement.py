"""Segments the sample photo with the program built for aarch64, as Cortex-A72, Cortex-A76 and the newest processor that qemu knows, and
compares with the program of this machine.

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


def answer(program, prompt):
    with tempfile.TemporaryDirectory() as folder:
        words = [*program, "segment", str(PHOTO), *prompt, "--size", "256", "--json", "-o", folder]
        mask = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)["masks"][0]
    return mask["area"], mask["predicted_iou"], mask["bbox"]


def main():
    here, arm = sys.argv[1:]
    worst = 0.0
    for prompt in PROMPTS:
        area, iou, box = answer([here], prompt)
        for cpu in ("cortex-a72", "cortex-a76", "max"):
            found = answer(["qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu", "-cpu", cpu, arm], prompt)
            print(f"{prompt}: {area} pixels here, {found[0]} on {cpu}; predicted IoU {iou:.5f}, {found[1]:.5f}", flush=True)
            worst = max(worst, abs(found[0] - area) / area)
            if abs(found[0] - area) > AREA * area or abs(found[1] - iou) > IOU or any(abs(a - b) > 1 for a, b in zip(found[2], box)):
                sys.exit(f"{cpu} answers otherwise: {found}, here {(area, iou, box)}")
    print(f"all agree; areas differ by {100 * worst:.3f} % at most")


if __name__ == "__main__":
    main()
