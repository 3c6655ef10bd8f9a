"""The body of an answer: its items, and what they say. Written from docs/protocol.md."""

import struct

from cutout_wire import ITEMS, WireError, crc32


def leb(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    if len(out) > 5:
        raise WireError("Number")
    return bytes(out)


def zigzag(value):
    return value * 2 if value >= 0 else -value * 2 - 1


def unzigzag(value):
    return value // 2 if value % 2 == 0 else -(value + 1) // 2


class Numbers:
    """Reads an item from its front."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def bytes(self, count):
        if self.at + count > len(self.data):
            raise WireError("Short")
        self.at += count
        return self.data[self.at - count:self.at]

    def leb(self):
        value, shift = 0, 0
        while shift < 35:
            byte = self.bytes(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if byte == 0 and shift:
                    raise WireError("Number")
                return value
            shift += 7
        raise WireError("Number")

    def left(self):
        return self.at < len(self.data)

    def end(self, value):
        if self.left():
            raise WireError("Trailing")
        return value


def put_items(items):
    """A body of (kind, bytes) pairs."""
    return b"".join(bytes([kind]) + leb(len(data)) + data for kind, data in items)


def items(body):
    """The items of a body: (kind, bytes) pairs."""
    reader, out = Numbers(body), []
    while reader.left():
        kind = reader.bytes(1)[0]
        out.append((kind, reader.bytes(reader.leb())))
    return out


def read_item(kind, data):
    """What an item says; its bytes if its kind is not known, or it is a picture."""
    reader = Numbers(data)
    if kind == 1:
        return reader.end(struct.unpack("<HHHH", reader.bytes(8)))
    if kind == 2:
        return reader.end(tuple(value / 16 for value in struct.unpack("<II", reader.bytes(8))))
    if kind == 3:
        return reader.end(struct.unpack("<I", reader.bytes(4))[0])
    if kind == 4:
        return contour(data)
    if kind == 5:
        return rle_spans(data)
    return data.decode("ascii") if kind == 6 else data


def read_body(body):
    """The items by their names."""
    return {ITEMS.get(kind, kind): read_item(kind, data) for kind, data in items(body)}


def put_contour(iou, rings):
    """`rings` are (hole, [(x, y), ...])."""
    out = struct.pack("<H", iou) + leb(len(rings))
    for hole, points in rings:
        out += bytes([hole]) + leb(len(points))
        for index, (x, y) in enumerate(points):
            if index == 0:
                out += leb(x) + leb(y)
            else:
                out += leb(zigzag(x - points[index - 1][0])) + leb(zigzag(y - points[index - 1][1]))
    return out


def contour(data):
    """The IoU in 1/10000, and rings as (hole, [(x, y), ...])."""
    reader = Numbers(data)
    iou = struct.unpack("<H", reader.bytes(2))[0]
    rings = []
    for _ in range(reader.leb()):
        hole, count = reader.bytes(1)[0], reader.leb()
        if hole > 1 or count >> 32:
            raise WireError("Number")
        points = []
        for _ in range(count):
            x, y = reader.leb(), reader.leb()
            if points:
                x, y = points[-1][0] + unzigzag(x), points[-1][1] + unzigzag(y)
            if not (0 <= x < 65536 and 0 <= y < 65536):
                raise WireError("Number")
            points.append((x, y))
        rings.append((bool(hole), points))
    return reader.end((iou, rings))


def put_rle(width, height, spans):
    """`spans` are (y, x, length), sorted."""
    lengths, done = [], 0
    for y, x, length in spans:
        start = y * width + x
        if lengths and start == done:
            lengths[-1] += length
        else:
            lengths += [start - done, length]
        done = start + length
    out = leb(width) + leb(height)
    for index, length in enumerate(lengths):
        out += leb(zigzag(length - (lengths[index - 2] if index >= 2 else 0)))
    return out


def rle_spans(data):
    """Width, height, and the mask's runs as (y, x, length)."""
    reader = Numbers(data)
    sides = []
    for _ in range(2):
        side = reader.leb()
        if side > 65535:
            raise WireError("Number")
        sides.append(side)
    width, height = sides
    lengths, spans, at = [], [], 0
    while reader.left():
        for _ in range(2):
            length = unzigzag(reader.leb()) + (lengths[-2] if len(lengths) >= 2 else 0)
            if not 0 <= length < 1 << 32:
                raise WireError("Runs")
            lengths.append(length)
        outside, inside = lengths[-2:]
        start, end = at + outside, at + outside + inside
        if inside == 0 or outside == 0 and len(lengths) > 2 or end > width * height:
            raise WireError("Runs")
        at = end
        while start < end:
            stop = min(end, (start // width + 1) * width)
            spans.append((start // width, start % width, stop - start))
            start = stop
    return width, height, spans


class Assembly:
    """Puts a body together from Result and Chunks that come in any order, and more than once."""

    def __init__(self):
        self.head, self.pieces = None, {}

    def result(self, fields):
        head = (fields["sequence"], fields["total"], fields["crc"])
        if self.head not in (None, head):
            self.pieces = {}
        self.head = head
        self.chunk(0, fields["data"])

    def chunk(self, offset, data):
        """Whether it is new."""
        new = len(data) > len(self.pieces.get(offset, b""))
        if new:
            self.pieces[offset] = data
        return new

    def missing(self):
        """(offset, length) of the first bytes that lack; None if there are none, or the head lacks."""
        if self.head is None:
            return None
        at, total = 0, self.head[1]
        for offset in sorted(self.pieces):
            if offset > at:
                return (at, min(offset, total) - at)
            at = max(at, offset + len(self.pieces[offset]))
        return (at, total - at) if at < total else None

    def body(self):
        """The body if it is whole. A wrong checksum forgets all pieces: they are to be fetched again."""
        if self.head is None or self.missing():
            return None
        body = bytearray(self.head[1])
        for offset, data in self.pieces.items():
            body[offset:offset + len(data)] = data[:max(0, len(body) - offset)]
        if crc32(bytes(body)) == self.head[2]:
            return bytes(body)
        self.pieces = {}
        return None
