"""A microcontroller talks with the service: the bare-metal clients in firmware-host/examples/microcontroller, as programs for a Cortex-M3
in qemu, prompt `cutout serve` over their UART, and what they get is compared with what `cutout segment` answers.

    python tests/microcontroller.py target/release/cutout [ELF]

The UART is a TCP connection, then a serial port (a pty), on which the board is up before the service, then lines that turn bits over and
lose bytes. Sizes of the programs are held to what small microcontrollers have.
"""
import json
import os
import queue
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CRATE = ROOT / "firmware-host" / "examples" / "microcontroller"
PROTOCOL = ROOT / "firmware-host" / "protocol"
PHOTO = ROOT / "assets" / "scene.jpg"
BOX = "624,24,749,374"
BAUD = 921600
TARGET = "thumbv7m-none-eabi"
QEMU = "qemu-system-arm"
GCC = "arm-none-eabi-gcc"
# Bytes of flash and RAM, the stack's deepest use included.
RUST_LIMITS = (48 << 10, 16 << 10)
C_LIMITS = (16 << 10, 4 << 10)
# Of the bad lines: with these, bits are turned over and bytes lost early in both directions.
SEEDS = (22, 35)
# Seconds until a program that hangs is ended.
PATIENCE = 90

sys.path.insert(0, str(PROTOCOL / "python"))
import cutout_body  # noqa: E402
from bad_line import Line  # noqa: E402


class Failed(Exception):
    """A check that does not hold."""


def check(holds, what):
    if not holds:
        raise Failed(what)


# --- Programs ---------------------------------------------------------------------------------------------------------------------


class Program:
    """A process whose lines of output come through a queue; ended when left."""

    def __init__(self, *words):
        words = [str(word) for word in words]
        self.name, self.seen, self.lines = words[0], [], queue.Queue()
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.readers = [threading.Thread(target=self._read, args=(stream,), daemon=True) for stream in (self.process.stdout, self.process.stderr)]
        for reader in self.readers:
            reader.start()

    def _read(self, stream):
        for line in stream:
            self.seen.append(line)
            self.lines.put(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for reader in self.readers:
            reader.join()
        self.process.stdout.close()
        self.process.stderr.close()

    def expect(self, pattern):
        """The match of the first line, of those that come, that has the pattern in it."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                line = self.lines.get(timeout=0.1)
            except queue.Empty:
                check(self.process.poll() is None and time.monotonic() < until, f"{self.name} does not say {pattern}:\n{self.text()}")
                continue
            if found := re.search(pattern, line):
                return found

    def wait(self):
        """The exit status."""
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} does not end:\n{self.text()}") from None
        for reader in self.readers:
            reader.join()
        return status

    def text(self):
        return "".join(self.seen)


def serve(cutout, *way):
    return Program(cutout, "serve", "--source", f"{PHOTO.parent}@1,loop", *way)


def stop(service):
    """Ends the service as systemd would, and checks that it ends well."""
    service.process.terminate()
    check(service.wait() == 0, f"the service does not end well:\n{service.text()}")


def board(elf, uart):
    machine = ("-M", "lm3s6965evb", "-display", "none", "-monitor", "none", "-semihosting-config", "enable=on,target=native")
    return Program(QEMU, *machine, "-serial", uart, "-kernel", elf)


# --- What is compared -------------------------------------------------------------------------------------------------------------


def coco_lengths(counts):
    """The lengths of runs that COCO's text stands for."""
    lengths, at = [], 0
    while at < len(counts):
        value, shift, more = 0, 0, True
        while more:
            digit = ord(counts[at]) - 48
            at += 1
            value |= (digit & 31) << shift
            shift += 5
            more = digit & 32
            if not more and digit & 16:
                value -= 1 << shift
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
    return lengths


def coco_pixels(counts, height):
    """The mask's pixels, as (row, column)."""
    pixels, at = set(), 0
    for index, length in enumerate(coco_lengths(counts)):
        if index % 2:
            pixels.update((place % height, place // height) for place in range(at, at + length))
        at += length
    return pixels


def row_pixels(data):
    """The same of a row RLE, and the mask's width and height."""
    width, height, spans = cutout_body.rle_spans(data)
    return {(y, x) for y, start, length in spans for x in range(start, start + length)}, width, height


def segment(cutout):
    """What the command line answers."""
    with tempfile.TemporaryDirectory() as folder:
        words = [cutout, "segment", str(PHOTO), "--box", BOX, "--json", "-o", folder]
        answer = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    rle = answer["masks"][0]["rle"]
    height, width = rle["size"]
    pixels = coco_pixels(rle["counts"], height)
    check(len(pixels) == answer["masks"][0]["area"], "COCO's text is read wrongly here")
    return {"counts": rle["counts"], "pixels": pixels, "size": (width, height)}


def is_the_answer(text, expected):
    """Checks what the Rust client has printed of its answer."""
    counts = re.search(r"^coco rle: (\S+)$", text, re.M)
    rows = re.search(r"^row rle: ([0-9a-f]+)$", text, re.M)
    sums = re.findall(r"rle crc32: ([0-9a-f]{8})", text)
    check(counts and rows and len(sums) == 2, f"the answer is not printed:\n{text}")
    counts, rows = counts[1], bytes.fromhex(rows[1])
    check(counts == expected["counts"], f"the board's mask is not that of `cutout segment`:\n{counts}\n{expected['counts']}")
    pixels, width, height = row_pixels(rows)
    check((width, height) == expected["size"], f"the row RLE is of {width}x{height} pixels")
    check(pixels == expected["pixels"], "the row RLE is another mask than COCO's")
    check(sums == [f"{zlib.crc32(data):08x}" for data in (counts.encode(), rows)], "checksums on the board")
    return zlib.crc32(rows)


def number(pattern, text):
    found = re.search(pattern, text)
    check(found, f"{pattern} is not printed:\n{text}")
    return int(found[1])


# --- Sizes ------------------------------------------------------------------------------------------------------------------------


def sections(elf):
    """Bytes of flash and of RAM that a program's sections take, by the ELF file's own table."""
    data = Path(elf).read_bytes()
    check(data[:6] == b"\x7fELF\x01\x01", f"{elf} is no ELF file of 32 bits, little-endian")
    table, entry, count = struct.unpack_from("<I", data, 0x20)[0], *struct.unpack_from("<HH", data, 0x2E)
    flash = ram = 0
    for index in range(count):
        _, kind, flags, address, _, size = struct.unpack_from("<IIIIII", data, table + index * entry)
        is_loaded, is_writable, is_empty = flags & 2, address >= 0x20000000, kind == 8
        if is_loaded:
            flash += 0 if is_empty else size
            ram += size if is_writable else 0
    return flash, ram


def sizes(name, elf, texts, limits):
    flash, ram = sections(elf)
    stack = max(number(r"stack: (\d+) bytes", text) for text in texts)
    print(f"{name}: {flash} bytes of flash, {ram} of RAM and {stack} of stack; at most {limits[0]} and {limits[1]}", flush=True)
    check(0 < stack and flash <= limits[0] and ram + stack <= limits[1], f"{name} is too large")


# --- The talks --------------------------------------------------------------------------------------------------------------------


def finished(name, program, began):
    """The output of a board that has ended well."""
    status = program.wait()
    text = program.text()
    check(status == 0 and re.search(r"^done$", text, re.M), f"{name}: the board ends with {status}:\n{text}")
    line = re.search(r"^line: .*$", text, re.M)
    print(f"{name}: ended well in {time.monotonic() - began:.1f} s; {line[0] if line else ''}", flush=True)
    return text


def over_tcp(port, elf, name):
    began = time.monotonic()
    with board(elf, f"tcp:127.0.0.1:{port},nodelay=on") as program:
        return finished(name, program, began)


def over_a_pty(cutout, elf, name):
    began = time.monotonic()
    with board(elf, "pty") as program:
        path = program.expect(r"char device redirected to (\S+)")[1]
        # The board says Hello to nobody for a while.
        with serve(cutout, "--serial", f"{path}:{BAUD}") as service:
            service.expect(r"^ready ")
            text = finished(name, program, began)
            stop(service)
    return text


def over_a_bad_line(port, elf, name, seed):
    began = time.monotonic()
    with Line(port, seed) as line, board(elf, f"tcp:127.0.0.1:{line.port},nodelay=on") as program:
        text = finished(name, program, began)
        flipped, dropped = (sum(getattr(noise, what) for noise in line.noises) for what in ("flipped", "dropped"))
    print(f"  {flipped} bits were turned over, {dropped} bytes lost", flush=True)
    check(flipped + dropped > 0, "the line was not bad")
    return text


def build_rust():
    target = ROOT / "target" / "microcontroller"
    words = ["cargo", "build", "--release", "--locked", "--quiet", "--target", TARGET, "--target-dir", target]
    environment = {**os.environ, "CARGO_INCREMENTAL": "0"}
    subprocess.run(words, cwd=CRATE, check=True, env=environment)
    return target / TARGET / "release" / "cutout-microcontroller"


def build_c(folder):
    elf = Path(folder) / "smallest.elf"
    strict = ["-std=c11", "-Wall", "-Wextra", "-Werror"]
    small = ["-mcpu=cortex-m3", "-mthumb", "-Os", "-g", "-ffunction-sections", "-fdata-sections", "-ffreestanding"]
    link = ["-nostartfiles", "--specs=nano.specs", "-T", CRATE / "c" / "lm3s6965.ld", "-Wl,--gc-sections"]
    sources = [CRATE / "c" / "main.c", CRATE / "c" / "board.c"]
    subprocess.run([GCC, *strict, *small, "-I", PROTOCOL / "c", *sources, *link, "-o", elf], check=True)
    return elf


def has_target():
    if not shutil.which("cargo") or not shutil.which("rustc"):
        return False
    words = ["rustc", "--print", "target-libdir", "--target", TARGET]
    told = subprocess.run(words, capture_output=True, text=True, check=False)
    return told.returncode == 0 and Path(told.stdout.strip()).is_dir()


def rust(cutout, port, elf, expected):
    """Gives the checksum of the row RLE that the board has."""
    texts = [
        over_tcp(port, elf, "Rust, over TCP"),
        over_a_pty(cutout, elf, "Rust, over a serial port"),
        *(over_a_bad_line(port, elf, f"Rust, over a bad line ({seed})", seed) for seed in SEEDS),
    ]
    for text in texts[2:]:
        # One of them is the request that the scene sends twice.
        check(number(r"(\d+) damaged", text) > 0 and number(r"(\d+) asked again", text) > 1, "a bad line that harmed nothing")
    print(texts[0], flush=True)
    rows = {is_the_answer(text, expected) for text in texts}
    check(len(rows) == 1, "the mask is another on another line")
    for text in texts[:2]:
        check(number(r"(\d+) bytes overrun", text) == 0, "the window lets the board's buffer overflow")
    sizes("Rust", elf, texts, RUST_LIMITS)
    return rows.pop()


def c(cutout, port, expected):
    with tempfile.TemporaryDirectory() as folder:
        elf = build_c(folder)
        texts = [
            over_tcp(port, elf, "C, over TCP"),
            over_a_pty(cutout, elf, "C, over a serial port"),
            *(over_a_bad_line(port, elf, f"C, over a bad line ({seed})", seed) for seed in SEEDS),
        ]
        print(texts[0], flush=True)
        for text in texts:
            check(number(r", area (\d+)", text) == len(expected["pixels"]), "the area on the board")
        sizes("C", elf, texts, C_LIMITS)
    sums = {re.search(r"row rle crc32: ([0-9a-f]{8})", text)[1] for text in texts}
    check(len(sums) == 1, "the mask is another on another line")
    return int(sums.pop(), 16)


def main():
    cutout = Path(sys.argv[1]).resolve()
    if not shutil.which(QEMU):
        print(f"NOT CHECKED: the microcontroller clients ({QEMU} is not installed)")
        return
    elf = Path(sys.argv[2]).resolve() if len(sys.argv) > 2 else build_rust() if has_target() else None
    expected, rows = segment(cutout), None
    with serve(cutout, "--tcp", "0") as service:
        port = int(service.expect(r"^ready tcp:127\.0\.0\.1:(\d+)")[1])
        if elf:
            rows = rust(cutout, port, elf, expected)
        else:
            print(f"NOT CHECKED: the microcontroller client in Rust (`rustup target add {TARGET}` first)")
        if shutil.which(GCC):
            found = c(cutout, port, expected)
            check(rows is None or found == rows, "the client in C has another mask than that in Rust")
        else:
            print(f"NOT CHECKED: the microcontroller client in C ({GCC} is not installed)")
        stop(service)


if __name__ == "__main__":
    try:
        main()
    except Failed as failed:
        sys.exit(f"FAILED: {failed}")
