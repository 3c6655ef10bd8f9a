"""The wire of Cutout's device service, written from docs/protocol.md; nothing but the standard library.

    packet = encode("Prompt", {"wanted": BBOX | RLE, "points": [(320.0, 240.0, 1)]}, seq=1, request=2)
    for event in accumulator.feed(received):
        if event[0] == "packet":
            header, payload = open_packet(event[1])
            name, fields = decode(header.kind, payload)

Messages are a name and a dictionary of fields. Coordinates (q4) are floats in pixels; text is `str`, bytes are `bytes`;
a box is (x0, y0, x1, y1) or None, a point (x, y, label). `cutout_client.Client` talks with a service.
"""

import binascii
import struct
import zlib
from collections import namedtuple

PROTOCOL_VERSION = 1
HEADER_SIZE = 14
MAX_PAYLOAD = 1024
MAX_LINE = 120
RETRY = 1

# Items of a body; the bit of an item in `wanted`, `included` and `cut` is 1 << item.
ITEMS = {1: "bbox", 2: "centroid", 3: "area", 4: "contour", 5: "rle", 6: "coco_rle", 7: "picture"}
BBOX, CENTROID, AREA, CONTOUR, RLE, COCO_RLE, PICTURE = (1 << item for item in ITEMS)
ERRORS = dict(enumerate(
    "BUSY BAD_CRC BAD_PROMPT NO_FRAME STALE_FRAME DEADLINE TOO_LARGE UNSUPPORTED VERSION UNAUTHORIZED INTERNAL "
    "MALFORMED CANCELLED".split(), 1))

SCHEMA = """\
cutout-protocol 1
packet version:u8 kind:u8 flags:u8 reserved:u8 seq:u16 request:u32 length:u16 crc16:u16 payload:rest crc32:u32
- Point x:q4 y:q4 label:u8
- Rect x0:q4 y0:q4 x1:q4 y1:q4
01 Hello client:u64 schema:u32 max_payload:u16 window:u16 token:bytes64
02 Capture max_age_ms:u32 deadline_ms:u32
03 UploadBegin width:u16 height:u16 format:u8 bytes:u32 crc:u32
04 UploadChunk offset:u32 data:rest
05 Prompt frame:u32 deadline_ms:u32 budget:u32 wanted:u16 contour_points:u16 refine:u32 options:u8 bbox:option(Rect) points:list16(Point)
06 Fetch offset:u32 length:u32
07 Grant packets:u16
08 Track interval_ms:u32 prompt:Prompt
09 Cancel
0a Configure key:u8 value:u32
0b GetStatus
0c Ping data:bytes32
0d GetPicture frame:u32 max_side:u16 quality:u8
81 Caps schema:u32 service:str32 model:str64 sha256:u8x32 precision:u8 input_width:u16 input_height:u16 max_payload:u16 window:u16 max_upload:u32 max_points:u8 ring:u8 features:u32 newest:u32
82 Frame frame:u32 width:u16 height:u16 age_ms:u32 encoded:u8
83 UploadState received:u32 frame:u32
84 Done
85 Result frame:u32 sequence:u32 age_ms:u32 flags:u16 precision:u8 included:u16 cut:u16 predicted_iou:u16 stability:u16 waited_us:u32 preprocess_us:u32 encode_us:u32 decode_us:u32 postprocess_us:u32 total:u32 crc:u32 data:rest
86 Chunk offset:u32 data:rest
8b Status uptime_s:u32 clients:u16 queue:u16 frames:u32 encoded:u32 answered:u32 deadlines_missed:u32 errors:u32 oldest:u32 newest:u32 resident_kib:u32 temperature_cc:i16 throttled:u8 encode_us:u32 decode_us:u32 bad_packets:u32
8c Pong data:bytes32
ff Error code:u8 of:u8 detail:u32 frame:u32 text:str96
"""


class WireError(ValueError):
    """Bytes are not what they should be. `what` names the rule that they break."""

    def __init__(self, what, **more):
        super().__init__(what + "".join(f" {key}={value}" for key, value in more.items()))
        self.what = what
        self.more = more


# --- Types ---------------------------------------------------------------------------------------------------------

class Reader:
    """Takes bytes from the front."""

    def __init__(self, data):
        self.data, self.at, self.field = data, 0, ""

    def left(self):
        return len(self.data) - self.at

    def take(self, count):
        if self.left() < count:
            raise WireError("Short", field=self.field)
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, form):
        return struct.unpack("<" + form, self.take(struct.calcsize(form)))[0]


NUMBERS = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "i16": "h"}


def _limited(name):
    """("bytes", 64) of bytes64."""
    base = name.rstrip("0123456789")
    return base, int(name[len(base):] or 0)


def _put(kind, value):
    if kind in NUMBERS:
        return struct.pack("<" + NUMBERS[kind], value)
    if kind == "q4":
        return struct.pack("<I", round(value * 16))
    if kind == "rest":
        return bytes(value)
    if kind == "u8x32":
        if len(value) != 32:
            raise WireError("Value")
        return bytes(value)
    if kind == "Point":
        return b"".join(map(_put, ("q4", "q4", "u8"), value))
    if kind == "Rect":
        return b"".join(_put("q4", side) for side in value)
    if kind == "option(Rect)":
        return b"\0" if value is None else b"\1" + _put("Rect", value)
    if kind == "list16(Point)":
        if len(value) > 16:
            raise WireError("Value")
        return bytes([len(value)]) + b"".join(_put("Point", point) for point in value)
    if kind in MESSAGES:
        return _put_fields(kind, value)
    base, limit = _limited(kind)
    data = value.encode() if base == "str" else bytes(value)
    if base not in ("str", "bytes") or len(data) > limit:
        raise WireError("Value")
    return bytes([len(data)]) + data


def _get(kind, reader):
    if kind in NUMBERS:
        return reader.number(NUMBERS[kind])
    if kind == "q4":
        return reader.number("I") / 16
    if kind == "rest":
        return reader.take(reader.left())
    if kind == "u8x32":
        return reader.take(32)
    # Errors inside of a structure name the structure's field, those of what holds it the holder's.
    field = reader.field
    if kind == "Point":
        return _get_named(reader, x="q4", y="q4", label="u8")
    if kind == "Rect":
        return _get_named(reader, x0="q4", y0="q4", x1="q4", y1="q4")
    if kind == "option(Rect)":
        there = reader.number("B")
        if there > 1:
            raise WireError("Value", field=field)
        return _get("Rect", reader) if there else None
    if kind == "list16(Point)":
        points = []
        for index in range(reader.number("B")):
            point = _get("Point", reader)
            if index == 16:
                raise WireError("Value", field=field)
            points.append(point)
        return points
    if kind in MESSAGES:
        return _get_fields(kind, reader)
    base, limit = _limited(kind)
    length = reader.number("B")
    if length > limit:
        raise WireError("Value", field=field)
    data = reader.take(length)
    try:
        return data.decode() if base == "str" else data
    except UnicodeDecodeError:
        raise WireError("Value", field=field) from None


def _get_named(reader, **fields):
    values = []
    for reader.field, kind in fields.items():
        values.append(_get(kind, reader))
    return tuple(values)


# --- Messages ------------------------------------------------------------------------------------------------------

MESSAGES, KINDS = {}, {}
for _line in SCHEMA.splitlines()[2:]:
    _number, _name, *_fields = _line.split()
    if _number != "-":
        MESSAGES[_name] = [tuple(field.split(":", 1)) for field in _fields]
        KINDS[int(_number, 16)] = _name
NUMBERS_OF = {name: kind for kind, name in KINDS.items()}
DEFAULTS = {"q4": 0.0, "u8x32": bytes(32), "option(Rect)": None, "list16(Point)": ()}


def _put_fields(name, fields):
    unknown = set(fields) - {field for field, _ in MESSAGES[name]}
    if unknown:
        raise WireError("Field", name=name, unknown=sorted(unknown))
    return b"".join(_put(kind, fields.get(field, _default(kind))) for field, kind in MESSAGES[name])


def _default(kind):
    if kind in DEFAULTS:
        return DEFAULTS[kind]
    if kind in NUMBERS:
        return 0
    return {} if kind in MESSAGES else "" if kind.startswith("str") else b""


def _get_fields(name, reader):
    fields = {}
    for field, kind in MESSAGES[name]:
        reader.field = field
        fields[field] = _get(kind, reader)
    return fields


def encode_payload(name, fields):
    """The payload of a message. Fields that are left out are 0 or empty."""
    payload = _put_fields(name, fields)
    if len(payload) > MAX_PAYLOAD:
        raise WireError("Full", bytes=len(payload))
    return payload


def decode(kind, payload):
    """The name and the fields of a message."""
    if kind not in KINDS:
        raise WireError("Kind", kind=kind)
    reader = Reader(bytes(payload))
    fields = _get_fields(KINDS[kind], reader)
    if reader.left():
        raise WireError("Trailing", bytes=reader.left())
    return KINDS[kind], fields


def fnv1a(data):
    value = 0x811C9DC5
    for byte in data:
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


SCHEMA_HASH = fnv1a(SCHEMA.encode())

# --- Packets -------------------------------------------------------------------------------------------------------

Header = namedtuple("Header", "kind flags seq request")


def crc16(data):
    return binascii.crc_hqx(data, 0xFFFF)


def crc32(data):
    return zlib.crc32(data)


def wire_size(payload):
    """Bytes on the wire of a packet at most."""
    raw = payload + HEADER_SIZE + 4
    return raw + -(-raw // 254) + 1


def cobs(data):
    """Stuffed bytes, without the delimiter."""
    out = bytearray()
    chunks = data.split(b"\0")
    for index, chunk in enumerate(chunks):
        last = index + 1 == len(chunks)
        while len(chunk) >= 254:
            out += b"\xff" + chunk[:254]
            chunk = chunk[254:]
            if last and not chunk:
                return bytes(out)
        out += bytes([len(chunk) + 1]) + chunk
    return bytes(out)


def uncobs(data):
    out, at = bytearray(), 0
    while at < len(data):
        code = data[at]
        if code == 0 or at + code > len(data):
            raise WireError("Cobs")
        out += data[at + 1:at + code]
        at += code
        if code != 255 and at < len(data):
            out.append(0)
    return bytes(out)


def encode_raw(kind, payload, seq=0, request=0, flags=0, version=PROTOCOL_VERSION):
    """A packet of a payload, delimiter included."""
    head = struct.pack("<BBBBHIH", version, kind, flags, 0, seq & 0xFFFF, request, len(payload))
    packet = head + struct.pack("<H", crc16(head)) + payload
    return cobs(packet + struct.pack("<I", crc32(packet))) + b"\0"


def encode(name, fields=None, seq=0, request=0, flags=0):
    """The packet of a message, delimiter included."""
    return encode_raw(NUMBERS_OF[name], encode_payload(name, fields or {}), seq, request, flags)


def open_packet(data):
    """Header and payload of a packet whose stuffing is undone."""
    if len(data) < HEADER_SIZE:
        raise WireError("BadHeader")
    version, kind, flags, reserved, seq, request, length, check = struct.unpack("<BBBBHIHH", data[:HEADER_SIZE])
    if crc16(data[:12]) != check or kind == 0 or reserved:
        raise WireError("BadHeader")
    if version != PROTOCOL_VERSION:
        raise WireError("BadVersion", version=version, kind=kind, request=request)
    if length > MAX_PAYLOAD or len(data) != HEADER_SIZE + length + 4:
        raise WireError("BadLength", kind=kind, request=request)
    if crc32(data[:-4]) != struct.unpack("<I", data[-4:])[0]:
        raise WireError("BadCrc", kind=kind, request=request)
    return Header(kind, flags, seq, request), data[HEADER_SIZE:-4]


class Accumulator:
    """Finds packets and lines: ("packet", bytes for open_packet), ("line", str), ("garbage", bytes)."""

    def __init__(self, limit=wire_size(MAX_PAYLOAD)):
        self.limit, self.held = limit, bytearray()

    def feed(self, data):
        events = []
        for byte in data:
            event = self._byte(byte)
            if event:
                events.append(event)
        return events

    def _byte(self, byte):
        held = self.held
        if not held and byte in (0, 10, 13, 8, 127):
            return None
        state = self._state()
        if byte == 0:
            data, self.held = bytes(held), bytearray()
            if state != "packet" or len(data) < 2 or len(data) > self.limit:
                return ("garbage", data)
            try:
                return ("packet", uncobs(data))
            except WireError:
                return ("garbage", data)
        if byte in (10, 13) and (state in ("line", "junk") or len(held) == 1):
            data, self.held = bytes(held), bytearray()
            return ("line", data.decode()) if state == "line" else ("garbage", data)
        if byte in (8, 127) and state == "line":
            held.pop()
        elif len(held) <= self.limit:
            held.append(byte)
        return None

    def _state(self):
        """What is held may become: by its first two bytes a packet, by all of them a line, else it is junk."""
        held = self.held
        if held and held[0] in (3, 4):
            if len(held) == 1 or 1 <= held[1] < 32 and held[1] not in (9, 10, 13):
                return "packet"
        elif len(held) <= MAX_LINE and all(32 <= byte < 127 or byte == 9 for byte in held):
            return "line"
        return "junk"
