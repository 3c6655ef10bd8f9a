"""Writes ../vectors.json: bytes of every message, of edge cases, and of what must be refused.

    python3 make_vectors.py            # writes it
    python3 make_vectors.py --check    # says whether it is what this script writes

It knows the protocol from docs/protocol.md and shares no code with the Rust crate and the C header, which are tested against
what it writes. Bytes are hexadecimal; coordinates are in pixels.
"""

import json
import sys
from pathlib import Path

import cutout_body as body
import cutout_wire as wire
from cutout_wire import RETRY, encode_payload, encode_raw

PATH = Path(__file__).parent.parent / "vectors.json"


def noise(count, seed):
    """Bytes that look random and are the same everywhere (the generator of Numerical Recipes)."""
    out = bytearray()
    for _ in range(count):
        seed = (seed * 1664525 + 1013904223) & 0xFFFFFFFF
        out.append(seed >> 24)
    return bytes(out)


PROMPT = {"frame": 12, "deadline_ms": 80, "budget": 240, "wanted": wire.BBOX | wire.CONTOUR, "contour_points": 24,
          "refine": 0x01020304, "options": 5, "bbox": (10.0, 10.5, 200.25, 180.0625),
          "points": [(320.0, 240.0, 1), (0.0, 65535.9375, 0)]}
STATUS = {"uptime_s": 86400, "clients": 3, "queue": 1, "frames": 1000, "encoded": 900, "answered": 800,
          "deadlines_missed": 7, "errors": 9, "oldest": 993, "newest": 1000, "resident_kib": 61440,
          "temperature_cc": -1250, "throttled": 1, "encode_us": 83000, "decode_us": 9100, "bad_packets": 2}
RESULT = {"frame": 12, "sequence": 0, "age_ms": 40, "flags": 5, "precision": 3, "included": 14, "cut": 0x30,
          "predicted_iou": 9412, "stability": 9730, "waited_us": 12, "preprocess_us": 2300, "encode_us": 71000,
          "decode_us": 9000, "postprocess_us": 400, "total": 26, "crc": 0xDEADBEEF, "data": b"\x01\x08\x00\xff"}
CAPS = {"schema": wire.SCHEMA_HASH, "service": "cutout 0.1.0", "model": "cutout-s", "sha256": bytes(range(32)),
        "precision": 1, "input_width": 512, "input_height": 288, "max_payload": 1024, "window": 8,
        "max_upload": 1 << 24, "max_points": 16, "ring": 4, "features": 63, "newest": 1000}
FULL_PROMPT = {**PROMPT, "points": [(float(i), i / 16, i % 2) for i in range(16)]}

MESSAGES = [
    ("Hello", {"client": 0x5E1F00D5_CAFEF00D, "schema": wire.SCHEMA_HASH, "max_payload": 256, "window": 4,
               "token": b"s3cret"}, "with a token"),
    ("Hello", {"client": (1 << 64) - 1, "schema": 0, "max_payload": 64, "window": 0, "token": bytes(64)}, "full"),
    ("Hello", {"client": 0, "schema": 0, "max_payload": 1024, "window": 0, "token": b""}, "all zeros but one"),
    ("Capture", {"max_age_ms": 100, "deadline_ms": 0}, ""),
    ("UploadBegin", {"width": 1280, "height": 720, "format": 6, "bytes": 1382400, "crc": 0x12345678}, ""),
    ("UploadBegin", {"width": 0, "height": 0, "format": 200, "bytes": 1, "crc": 0}, "a format without a name"),
    ("UploadChunk", {"offset": 0, "data": b""}, "no data"),
    ("UploadChunk", {"offset": 1020, "data": bytes(1020)}, "full of zeros"),
    ("UploadChunk", {"offset": 0xFFFFFFFF, "data": bytes(range(1, 256)) * 4}, "full, without zeros"),
    ("UploadChunk", {"offset": 2040, "data": noise(1020, 7)}, "full of noise"),
    ("Prompt", PROMPT, ""),
    ("Prompt", FULL_PROMPT, "full"),
    ("Prompt", {"wanted": 2, "points": [(1.0, 2.0, 77)], "bbox": None}, "a label without a meaning"),
    ("Prompt", {"wanted": 0, "points": [], "bbox": None}, "nothing"),
    ("Fetch", {"offset": 973, "length": 1020}, ""),
    ("Grant", {"packets": 65535}, ""),
    ("Track", {"interval_ms": 100, "prompt": PROMPT}, ""),
    ("Track", {"interval_ms": 0, "prompt": FULL_PROMPT}, "full"),
    ("Cancel", {}, ""),
    ("Configure", {"key": 1, "value": 921600}, "baud"),
    ("Configure", {"key": 99, "value": 0}, "a key without a name"),
    ("GetStatus", {}, ""),
    ("Ping", {"data": b"hello"}, ""),
    ("Ping", {"data": b""}, "no data"),
    ("Ping", {"data": bytes(32)}, "full of zeros"),
    ("GetPicture", {"frame": 0, "max_side": 320, "quality": 80}, ""),
    ("Caps", CAPS, ""),
    ("Caps", {**CAPS, "service": "s" * 32, "model": "\u00e9" * 32, "sha256": bytes([255] * 32)}, "full, and not ASCII"),
    ("Caps", {**CAPS, "service": "", "model": "", "features": 0xFFFFFFFF}, "no names, all features"),
    ("Frame", {"frame": 12, "width": 1280, "height": 720, "age_ms": 40, "encoded": 1}, ""),
    ("UploadState", {"received": 48213, "frame": 17}, ""),
    ("Done", {}, ""),
    ("Result", RESULT, ""),
    ("Result", {**RESULT, "sequence": 3, "total": 0, "crc": 0, "included": 0, "data": b""}, "no body"),
    ("Result", {**RESULT, "flags": 0xFFFF, "total": 5000, "data": noise(973, 9)}, "full"),
    ("Chunk", {"offset": 973, "data": noise(200, 3)}, ""),
    ("Chunk", {"offset": 0x01010101, "data": b"\x07" * 232}, "a block of 254 bytes ends with the packet's data"),
    ("Status", STATUS, ""),
    ("Status", {**STATUS, "temperature_cc": -32768, "throttled": 2}, "what the board does not tell"),
    ("Pong", {"data": bytes(range(32))}, ""),
    ("Error", {"code": 6, "of": 5, "detail": 130, "frame": 27, "text": "it would take 130 ms"}, "deadline"),
    ("Error", {"code": 77, "of": 0, "detail": 0, "frame": 0, "text": "x" * 96}, "a code without a name, full"),
    ("Error", {"code": 1, "of": 5, "detail": 20, "frame": 0, "text": ""}, "no text"),
]


def plain(value):
    """As JSON: bytes in hexadecimal."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return value


def messages():
    for index, (name, fields, note) in enumerate(MESSAGES):
        whole = wire.decode(wire.NUMBERS_OF[name], encode_payload(name, fields))[1]
        flags = RETRY if index % 3 == 2 else 0
        seq, request = index * 257 & 0xFFFF, 0 if name == "Status" else index * 0x01000193 & 0xFFFFFFFF or 7
        yield {"name": name, "note": note, "kind": wire.NUMBERS_OF[name], "flags": flags, "seq": seq,
               "request": request, "fields": plain(whole), "payload": encode_payload(name, fields).hex(),
               "packet": wire.encode(name, fields, seq, request, flags).hex()}


def longest_blocks():
    """Payloads for which COBS does something special: runs of 253 to 256 and 508 bytes without a zero."""
    for run in (253, 254, 255, 256, 507, 508, 509):
        for tail in (b"", b"\0", b"\0\0\7"):
            data = b"\0" + bytes(1 + i % 255 for i in range(run)) + tail
            yield {"raw": data.hex(), "stuffed": wire.cobs(data).hex()}


def bad_packets():
    good = wire.uncobs(wire.encode("Ping", {"data": b"abc"}, 1, 0x0A0B0C0D)[:-1])
    about = {"kind": 0x0C, "request": 0x0A0B0C0D}

    def case(note, data, error, **more):
        return {"note": note, "decoded": data.hex(), "error": error, **more}

    def headed(**change):
        """A packet whose header is whole although something in it is changed."""
        parts = {"version": 1, "kind": 12, "reserved": 0, "length": 4, **change}
        head = bytes([parts["version"], parts["kind"], 0, parts["reserved"], 1, 0, 13, 12, 11, 10])
        head += parts["length"].to_bytes(2, "little")
        packet = head + wire.crc16(head).to_bytes(2, "little") + b"\x03abc"
        return packet + wire.crc32(packet).to_bytes(4, "little")

    assert headed() == good
    yield case("nothing", b"", "BadHeader")
    yield case("shorter than a header", good[:13], "BadHeader")
    yield case("a bit of the header flipped", good[:8] + bytes([good[8] ^ 4]) + good[9:], "BadHeader")
    yield case("kind 0", headed(kind=0), "BadHeader")
    yield case("reserved is not 0", headed(reserved=1), "BadHeader")
    yield case("version 2", headed(version=2), "BadVersion", version=2, **about)
    yield case("a header alone", good[:14], "BadLength", **about)
    yield case("a byte lacks", good[:-1], "BadLength", **about)
    yield case("a byte too many", good + b"\0", "BadLength", **about)
    yield case("more than 1024 bytes stated", headed(length=1025), "BadLength", **about)
    yield case("a bit of the payload flipped", good[:16] + bytes([good[16] ^ 1]) + good[17:], "BadCrc", **about)
    yield case("a bit of the checksum flipped", good[:-1] + bytes([good[-1] ^ 128]), "BadCrc", **about)


def bad_payloads():
    def case(note, kind, payload, error, **more):
        return {"note": note, "kind": kind, "payload": payload.hex(), "error": error, **more}

    yield case("a kind that nothing has", 0x7E, b"", "Kind")
    yield case("cut", 0x02, bytes(7), "Short", field="deadline_ms")
    yield case("a byte too many", 0x02, bytes(9), "Trailing", bytes=1)
    yield case("fields where there are none", 0x09, bytes(3), "Trailing", bytes=3)
    yield case("an option byte of 2", 0x05, bytes(21) + b"\2" + bytes(17), "Value", field="bbox")
    yield case("17 points", 0x05, bytes(22) + b"\x11" + bytes(17 * 9), "Value", field="points")
    yield case("points lack", 0x05, bytes(22) + b"\2" + bytes(9), "Short", field="x")
    yield case("33 bytes", 0x0C, b"\x21" + bytes(33), "Value", field="data")
    yield case("33 bytes stated, none there", 0x0C, b"\x21", "Value", field="data")
    yield case("a text of 97 bytes", 0xFF, bytes(10) + b"\x61" + b"a" * 97, "Value", field="text")
    yield case("a text of 97 bytes stated, none there", 0xFF, bytes(10) + b"\x61", "Value", field="text")
    yield case("a text that is not UTF-8", 0xFF, bytes(10) + b"\2\xc3\x28", "Value", field="text")
    yield case("a text that lacks", 0xFF, bytes(10) + b"\5abcd", "Short", field="text")


def found(data):
    """What an accumulator finds, in words."""
    accumulator, out = wire.Accumulator(), []
    for what, value in accumulator.feed(data):
        if what == "packet":
            try:
                out.append(f"packet {wire.open_packet(value)[0].request}")
            except wire.WireError as error:
                out.append(error.what)
        else:
            out.append(f"line {value}" if what == "line" else "garbage")
    return out


def streams():
    one, two = wire.encode("Ping", {"data": b"GO\n"}, 1, 1), wire.encode("Capture", {}, 2, 2, RETRY)
    broken = bytes([*one[:9], one[9] ^ 3, *one[10:]])
    cases = [
        ("packets and lines", b"P 1 2\r\n\0" + one + b"go\n" + two + b"\0\0STATUS\r"),
        ("a packet after noise and a delimiter", noise(300, 5).replace(b"\0", b"\1") + b"\0" + one),
        ("a packet after half a packet", one[:10] + b"\0" + two),
        ("a packet that lost its first byte, then another", one[1:] + two),
        ("a damaged packet, then another", broken + two),
        ("a packet that lost its delimiter: both are lost, the next is found", one[:-1] + two + one),
        ("a line after noise", b"\xff\x80GO\nP 3 4\n"),
        ("a line of 120 characters, and one of 121", b"a" * 120 + b"\n" + b"b" * 121 + b"\n"),
        ("a line cut by a delimiter", b"P 1\0GO\n"),
        ("backspaces", b"\x7fGP\x08\x08P 1 2\x7f3\n"),
        ("too long for a packet", b"\3\1" + b"\7" * 3000 + b"\0" + two),
        ("a block that reaches beyond the end", b"\3\1\7\x09\7\0" + one),
        ("other versions are seen as packets", wire.encode_raw(1, b"", 1, 9, version=31)),
    ]
    for note, data in cases:
        yield {"note": note, "bytes": data.hex(), "found": found(data)}


def bodies():
    blob = [(y, 20 + abs(y - 30) // 2, 60 - abs(y - 30)) for y in range(5, 60)]
    every = [(1, b"\1\0\2\0\4\3\5\0"), (2, (5128).to_bytes(4, "little") + (8).to_bytes(4, "little")),
             (3, (9120).to_bytes(4, "little")),
             (4, body.put_contour(9876, [(0, [(300, 10), (302, 10), (302, 7)]), (1, [(0, 65535), (65535, 0)])])),
             (5, body.put_rle(100, 64, blob)), (6, b"PPYo1"), (7, noise(300, 1)), (200, b"later")]
    cases = [
        ("no item", []),
        ("every item, and one without a name", every),
        ("polygons without a ring, and with an empty one", [(4, body.put_contour(0, [])), (4, body.put_contour(1, [(0, [])]))]),
        ("an empty mask", [(5, body.put_rle(640, 480, []))]),
        ("a whole mask", [(5, body.put_rle(640, 480, [(y, 0, 640) for y in range(480)]))]),
        ("the largest mask", [(5, body.leb(65535) * 2 + b"\0" + body.leb(body.zigzag(65535 * 65535)))]),
        ("one pixel, the last", [(5, body.put_rle(1000, 1000, [(999, 999, 1)]))]),
        ("a chessboard", [(5, body.put_rle(8, 8, [(y, x, 1) for y in range(8) for x in range(y % 2, 8, 2)]))]),
        ("the document's example", [(5, body.put_rle(4, 3, [(1, 2, 2), (2, 2, 2)]))]),
    ]
    for note, items in cases:
        whole = body.put_items(items)
        # The runs of the largest mask are left to the tests to count.
        read = [{"kind": kind, "value": plain(body.read_item(kind, data)) if len(data) != 12 or kind != 5 else None}
                for kind, data in items]
        yield {"note": note, "body": whole.hex(), "items": read}


def bad_items():
    cases = [
        (1, bytes(7), "Short"), (1, bytes(9), "Trailing"), (2, bytes(7), "Short"), (3, bytes(5), "Trailing"),
        (4, b"\0", "Short"), (4, b"\0\0", "Short"), (4, b"\0\0\0\x09", "Trailing"), (4, b"\0\0\1\2\0", "Number"),
        (4, b"\0\0\1\0\2\5\5", "Short"), (4, b"\0\0\1\0\2\5\5\x0b\0", "Number"), (4, b"\0\0\1\0\1\x80\x80\4\5", "Number"),
        (5, b"", "Short"), (5, b"\4", "Short"), (5, b"\x80\x80\4\3", "Number"), (5, b"\4\3\2", "Short"),
        (5, b"\4\3\1\2", "Runs"), (5, b"\4\3\0\0", "Runs"), (5, b"\4\3\0\x1a", "Runs"), (5, b"\4\3\2\2\1\0", "Runs"),
        (5, b"\0\3\0\2", "Runs"), (5, b"\4\3\x80\0\2", "Number"), (5, b"\4\3\xff\xff\xff\xff\xff\1\2", "Number"),
        (5, b"\4\3\0\xfe\xff\xff\xff\x3f", "Runs"),
    ]
    for kind, data, error in cases:
        try:
            body.read_item(kind, data)
        except wire.WireError as found_error:
            assert found_error.what == error, (kind, data, found_error.what)
        else:
            raise AssertionError((kind, data))
        yield {"kind": kind, "bytes": data.hex(), "error": error}


def vectors():
    tables = {"messages": messages, "cobs": longest_blocks, "bad_packets": bad_packets, "bad_payloads": bad_payloads,
              "streams": streams, "bodies": bodies, "bad_items": bad_items}
    head = {"about": "Written by python/make_vectors.py; bytes are hexadecimal, coordinates in pixels.",
            "protocol": wire.PROTOCOL_VERSION, "schema_hash": wire.SCHEMA_HASH}
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    for name, table in tables.items():
        rows = ",\n".join("    " + json.dumps(row) for row in table())
        lines.append(f"  {json.dumps(name)}: [\n{rows}\n  ]")
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit(0 if PATH.read_text() == vectors() else f"{PATH} is not what this script writes")
    PATH.write_text(vectors())
