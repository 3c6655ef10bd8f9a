"""How fast can the inner loops of the kernels be, if all that they read is in the first-level cache?

Compiles the kernels to assembly, for ARM and x86-64, finds the innermost loops that multiply and accumulate, and has llvm-mca count
their cycles on models of processors. Needs cargo, both targets (`rustup target add TARGET`) and llvm-mca (Debian: llvm-19).

    python benches/mca/mca.py > benches/record/MACHINE/DATE/mca.txt
    python benches/mca/mca.py --assembly    # with the loops themselves

A loop is a label and a branch back to it without another label between. Loops that evaluate functions, or measure a machine's peak, are left out. Of all others of a
kernel at one level and in one arithmetic, the one with the most multiply-accumulates counts: the largest tile; of several, the one with the most instructions. The peak of a model is
what it makes of multiply-accumulates alone. A loop that must be there and is not is an error.
"""
import argparse
import functools
import re
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ITERATIONS = 500
KERNELS = ("linear", "linear_u8", "attention", "depthwise", "convolution")

# The models, with what they stand for. LLVM 19 has no model of Cortex-A76 and takes that of Cortex-A57 in its place; Neoverse N1 is
# the server edition of the same core. Its model of Sapphire Rapids has one unit that multiplies 512 bits, that of Skylake has two.
ARM, X86 = "aarch64-unknown-linux-gnu", "x86_64-unknown-linux-gnu"
MODELS = {
    ARM: {"neoverse-n1": "Neoverse N1, as Cortex-A76", "cortex-a72": "Cortex-A72", "neoverse-v1": "Neoverse V1"},
    X86: {"sapphirerapids": "Sapphire Rapids", "skylake-avx512": "Skylake server"},
}
# Instructions of exponentials and error functions: rounding and scaling.
FUNCTION = r"\s+(frint|fcvt[anmpz]|vround|vrndscale|vscalef|vcvtt?ps2)"
# What a level's arithmetic runs on, where that is not all models of its target. Neoverse V1 stands for products of byte matrices only.
ONLY = {("neon", "f16"): {"neoverse-n1"}, ("neon-dot", "u8"): {"neoverse-n1"}, ("neon-i8mm", "u8"): {"neoverse-v1"}}
# Loops without which something is wrong here: kernel, level and arithmetic.
REQUIRED = {
    ARM: {("linear", "neon", "f32"), ("linear", "neon", "f16")} | {("linear_u8", level, "u8") for level in ("neon", "neon-dot", "neon-i8mm")},
    X86: {(kernel, level, kind) for kernel, kind in (("linear", "f32"), ("linear_u8", "u8")) for level in ("avx2", "avx512")},
}

Loop = namedtuple("Loop", "kernel level arithmetic macs body")


def assembly(target):
    """The kernels as assembly, in one piece, without debugging information."""
    folder = ROOT / "target" / "mca"
    words = ["cargo", "rustc", "--quiet", "--release", "-p", "cutout-kernels", "--lib", "--target", target, "--target-dir", str(folder),
             "--config", "profile.release.debug=false", "--", "--emit", "asm", "-C", "codegen-units=1"]
    for old in (folder / target / "release" / "deps").glob("cutout_kernels-*.s"):
        old.unlink()
    # Cargo takes the assembly for made where the crate has not changed.
    subprocess.run(["cargo", "clean", "--quiet", "--release", "-p", "cutout-kernels", "--target", target, "--target-dir", str(folder)],
                   cwd=ROOT, check=True, capture_output=True)
    subprocess.run(words, cwd=ROOT, check=True)
    [path] = (folder / target / "release" / "deps").glob("cutout_kernels-*.s")
    return path.read_text()


def demangled(text, tool):
    symbols = sorted(set(re.findall(r"^(_[ZR]\S+):", text, re.M)))
    names = subprocess.run([tool], input="\n".join(symbols), check=True, capture_output=True, text=True).stdout.splitlines()
    return dict(zip(symbols, names, strict=True))


def macs(line):
    """How many multiply-accumulates an instruction does, and on what."""
    arm = re.match(r"\s+fml[as](?:l2?)?\s+v\d+\.(\d)([sh])", line)
    if arm:
        return int(arm[1]), "f16" if arm[2] == "h" else "f32"
    if byte := re.match(r"\s+(smull|smlal2?|sdot|usmmla)\s+v\d+\.(?:8h|4s)", line):
        return {"sdot": 16, "usmmla": 32}.get(byte[1], 8), "u8"
    if byte := re.match(r"\s+(vpdpbusd|vpmaddwd)\s.*%([xyz])mm\d+$", line):
        return {"x": 4, "y": 8, "z": 16}[byte[2]] * {"vpdpbusd": 4, "vpmaddwd": 2}[byte[1]], "u8"
    x86 = re.match(r"\s+vf(?:n?m(?:add|sub))\d+ps\s.*%([xyz])mm\d+(?:\s*\{.*)?$", line)
    return ({"x": 4, "y": 8, "z": 16}[x86[1]], "f32") if x86 else (0, None)


def loops(text, names):
    """Every innermost loop that multiplies and accumulates."""
    lines, function, start = text.splitlines(), None, None
    for number, line in enumerate(lines):
        if symbol := re.match(r"(_[ZR]\S+):", line):
            function, start = names[symbol[1]], None
        elif label := re.match(r"(\.L\w+):", line):
            start = label[1], number
        elif (branch := re.match(r"\s+(?:b|b\.\w+|cbn?z\s+\w+,|tbn?z\s.*,|j\w+)\s+(\.L\w+)$", line)) and start and branch[1] == start[0]:
            body = [text for text in lines[start[1] + 1:number + 1] if not re.match(r"\s*[.#/]", text)]
            counts = [macs(text) for text in body]
            total = sum(count for count, _ in counts)
            kernel = next((k for k in KERNELS if f"cutout_kernels::{k}::" in function), None)
            if total and kernel and "multiply" not in function and not any(re.match(FUNCTION, text) for text in body):
                level = next((level for level in ("avx512", "avx2", "neon_dot", "neon_i8mm") if level in function), "neon").replace("_", "-")
                yield Loop(kernel, level, arithmetic(body, counts), total, body)


def arithmetic(body, counts):
    """What is computed in, and whether numbers stored in half are widened on the way."""
    widens = any(re.match(r"\s+(fcvtl2?|vcvtph2ps)\s", text) for text in body)
    return next(kind for _, kind in counts if kind) + (" of f16 weights" if widens else "")


def cycles(body, target, model):
    """Cycles that a loop takes from one turn to the next, many turns in a row."""
    words = [tool("llvm-mca"), f"-mtriple={target}", f"-mcpu={model}", f"-iterations={ITERATIONS}", "-instruction-info=false",
             "-resource-pressure=false"]
    out = subprocess.run(words, input="\n".join(body) + "\n", capture_output=True, text=True)
    found = re.search(r"Total Cycles:\s+(\d+)", out.stdout)
    if out.returncode != 0 or not found:
        sys.exit(f"llvm-mca does not take a loop for {model}: {out.stderr.strip()}")
    return int(found[1]) / ITERATIONS


@functools.cache
def peak(level, arithmetic, target, model):
    """Multiply-accumulates per cycle of a model that does nothing else, on registers that do not wait for one another."""
    if arithmetic == "u8":
        body = {
            "avx512": [f"\tvpdpbusd %zmm0, %zmm1, %zmm{n}" for n in range(2, 32)],
            "avx2": [f"\tvpmaddwd %ymm0, %ymm1, %ymm2\n\tvpaddd %ymm2, %ymm{n}, %ymm{n}" for n in range(3, 16)],
            "neon": [f"\tsmull v2.8h, v0.8b, v1.8b\n\tsmlal2 v2.8h, v0.16b, v1.16b\n\tsadalp v{n}.4s, v2.8h" for n in range(3, 32)],
            "neon-dot": [f"\tsdot v{n}.4s, v0.16b, v1.4b[0]" for n in range(2, 32)],
            "neon-i8mm": [f"\tusmmla v{n}.4s, v0.16b, v1.16b" for n in range(2, 32)],
        }[level]
    elif target == X86:
        register = {"avx512": "zmm", "avx2": "ymm"}[level]
        body = [f"\tvfmadd231ps %{register}0, %{register}1, %{register}{n}" for n in range(2, 16)]
    else:
        operand = {"f16": "8h", "f32": "4s"}[arithmetic[:3]]
        body = [f"\tfmla v{n}.{operand}, v0.{operand}, v1.{operand}" for n in range(2, 32)]
    lines = "\n".join(body).split("\n")
    return sum(macs(text)[0] for text in lines) / cycles(lines, target, model)


def tool(name):
    found = shutil.which(f"{name}-19") or shutil.which(name)
    return found or sys.exit(f"{name} is not installed: `apt install llvm-19`")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--assembly", action="store_true", help="also print the loops")
    args = p.parse_args()
    for words in (["rustc", "--version"], [tool("llvm-mca"), "--version"]):
        print(" ".join(subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()[0].split()))
    print("Bounds of inner loops whose data is in the first-level cache, by `python benches/mca/mca.py`\n")
    print("| kernel | level | arithmetic | processor | MAC | cycles | MAC / cycle | peak | of peak |\n|---|---|---|---|--:|--:|--:|--:|--:|")
    largest = {}
    for target, models in MODELS.items():
        text = assembly(target)
        for loop in loops(text, demangled(text, tool("llvm-cxxfilt"))):
            key = (target, loop.kernel, loop.level, loop.arithmetic)
            if key not in largest or (loop.macs, len(loop.body)) > (largest[key].macs, len(largest[key].body)):
                largest[key] = loop
        missing = {key for key in REQUIRED[target] if (target, *key) not in largest}
        if missing:
            sys.exit(f"no loop found in the assembly for {target}: {', '.join(' '.join(key) for key in sorted(missing))}")
    for (target, *_), loop in sorted(largest.items(), key=lambda item: (item[0][0], KERNELS.index(item[0][1]), item[0][2:])):
        for model, processor in MODELS[target].items():
            if model not in ONLY.get((loop.level, loop.arithmetic), MODELS[target].keys() - {"neoverse-v1"}):
                continue
            count, best = cycles(loop.body, target, model), peak(loop.level, loop.arithmetic, target, model)
            rate = loop.macs / count
            print(f"| {loop.kernel} | {loop.level} | {loop.arithmetic} | {processor} | {loop.macs} | {count:.1f} | {rate:.2f} | {best:.1f} | "
                  f"{100 * rate / best:.0f} % |")
    if args.assembly:
        for (target, kernel, level, kind), loop in largest.items():
            print(f"\n{kernel}, {level}, {kind} ({target}):\n" + "\n".join(loop.body))


if __name__ == "__main__":
    main()
