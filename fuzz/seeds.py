"""Writes seeds for the targets from the protocol's vectors: python3 fuzz/seeds.py"""

import json
import pathlib

HOME = pathlib.Path(__file__).parent
VECTORS = json.loads((HOME.parent / "firmware-host/protocol/vectors.json").read_text())
LINES = ["P 320 240", "P 320.5 240.25 bg", "B 10 10 200 180", "GO 240 80", "CLEAR", "FRAME latest", "FRAME 12", "REFINE",
         "SHOW", "TRACK 200", "STOP", "STATUS", "TOKEN s3cret", "HELP"]


def payloads(*names):
    for case in VECTORS["messages"]:
        if not names or case["name"] in names:
            yield case["kind"], bytes.fromhex(case["payload"])


def seeds():
    for case in VECTORS["messages"]:
        yield "accumulator", b"\x10" + bytes.fromhex(case["packet"])
    for case in VECTORS["streams"]:
        yield "accumulator", b"\x03" + bytes.fromhex(case["bytes"])
    for kind, payload in payloads():
        yield "message", bytes([kind]) + payload
        head = bytes([1, kind, 0, 0, 1, 0, 7, 0, 0, 0]) + len(payload).to_bytes(2, "little") + bytes(2)
        yield "packet", head + payload + bytes(4)
    for case in VECTORS["bad_payloads"]:
        yield "message", bytes([case["kind"]]) + bytes.fromhex(case["payload"])
    for case in VECTORS["bad_packets"]:
        yield "packet", bytes.fromhex(case["decoded"])
    for line in LINES:
        yield "text", line.encode()
    for case in VECTORS["bodies"]:
        yield "body", bytes.fromhex(case["body"])
    for case in VECTORS["bad_items"]:
        data = bytes.fromhex(case["bytes"])
        yield "body", bytes([case["kind"], len(data)]) + data
    body = bytes(range(200))
    head = next(payload for _, payload in payloads("Result"))[:43]
    # A body of 200 bytes with its checksum, in three pieces, out of order.
    import zlib
    head += (200).to_bytes(4, "little") + zlib.crc32(body).to_bytes(4, "little") + body[:50]
    chunks = [at.to_bytes(4, "little") + body[at:at + 75] for at in (125, 50)]
    yield "assembly", bytes([0, len(head)]) + head + b"".join(bytes([1, len(chunk)]) + chunk for chunk in chunks)


for number, (target, data) in enumerate(seeds()):
    folder = HOME / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"seed-{number:03}").write_bytes(data)
