"""A blocking client of Cutout's device service, over sockets, and over serial ports.

    from cutout_client import Client
    from cutout_wire import BBOX, RLE

    with Client.open("tcp:127.0.0.1:7700") as client:       # or unix:PATH, udp:HOST:PORT, serial:PATH:BAUD
        answer = client.prompt(points=[(320, 240, 1)], wanted=BBOX | RLE, deadline_ms=200)
        print(answer["frame"], answer["items"]["bbox"])

    python cutout_client.py tcp:127.0.0.1:7700 --point 320,240
"""

import os
import random
import select
import socket
import time
from collections import deque

import cutout_wire as wire
from cutout_body import Assembly, read_body


class ServiceError(Exception):
    """The service has no answer; `name` is the error's, e.g. "DEADLINE"."""

    def __init__(self, fields):
        self.fields = fields
        self.name = wire.ERRORS.get(fields["code"], f"error {fields['code']}")
        super().__init__(f"{self.name} (detail {fields['detail']}, frame {fields['frame']}): {fields['text']}")


class NoAnswer(Exception):
    """Nothing came in time, also when it was asked again."""


class SocketLink:
    """Bytes of a socket. The line's time does not count: baud 0."""

    baud = 0

    def __init__(self, sock):
        self.socket = sock
        if sock.family != getattr(socket, "AF_UNIX", None) and sock.type == socket.SOCK_STREAM:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = sock.type == socket.SOCK_STREAM

    def write(self, data):
        self.socket.sendall(data)

    def read(self, seconds):
        ready, _, _ = select.select([self.socket], [], [], max(0.0, seconds))
        if not ready:
            return b""
        data = self.socket.recv(65536)
        if not data and self.stream:
            raise ConnectionError("the service closed the connection")
        # A datagram is a packet; its delimiter may be missing.
        return data if self.stream else b"\0" + data + b"\0"

    def close(self):
        self.socket.close()


class SerialLink:
    """Bytes of a serial port, by pyserial."""

    def __init__(self, path, baud):
        import serial

        self.port, self.baud = serial.Serial(path, baud, timeout=0), baud

    def write(self, data):
        self.port.write(data)
        self.port.flush()

    def read(self, seconds):
        self.port.timeout = max(0.0, seconds)
        first = self.port.read(1)
        return first + self.port.read(self.port.in_waiting) if first else b""

    def set_baud(self, baud):
        self.port.baudrate = self.baud = baud

    def close(self):
        self.port.close()


class TerminalLink:
    """Bytes of a serial port where pyserial is not installed: POSIX, and the speeds that it names."""

    def __init__(self, path, baud):
        import termios
        import tty

        self.termios = termios
        self.port = os.open(path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self.port)
        self.set_baud(baud)

    def write(self, data):
        while data:
            data = data[os.write(self.port, data):]

    def read(self, seconds):
        ready, _, _ = select.select([self.port], [], [], max(0.0, seconds))
        return os.read(self.port, 4096) if ready else b""

    def set_baud(self, baud):
        speed = getattr(self.termios, f"B{baud}", None)
        if speed is None:
            raise ValueError(f"{baud} baud needs pyserial: python3 -m pip install pyserial")
        mode = self.termios.tcgetattr(self.port)
        mode[2] = mode[2] & ~(self.termios.CSTOPB | self.termios.PARENB) | self.termios.CLOCAL
        mode[4] = mode[5] = speed
        # TCSADRAIN: what is still to be sent goes out at the old speed.
        self.termios.tcsetattr(self.port, self.termios.TCSADRAIN, mode)
        self.baud = baud

    def close(self):
        os.close(self.port)


def link(address):
    """Opens "tcp:HOST:PORT", "unix:PATH", "udp:HOST:PORT" or "serial:PATH:BAUD"."""
    kind, _, rest = address.partition(":")
    first, _, last = rest.rpartition(":")
    if kind == "tcp":
        return SocketLink(socket.create_connection((first.strip("[]"), int(last)), timeout=5))
    if kind == "udp":
        family, form, protocol, _, place = socket.getaddrinfo(first.strip("[]"), int(last), type=socket.SOCK_DGRAM)[0]
        sock = socket.socket(family, form, protocol)
        sock.connect(place)
        return SocketLink(sock)
    if kind == "unix":
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(5)
        sock.connect(rest)
        return SocketLink(sock)
    if kind == "serial":
        try:
            return SerialLink(first, int(last))
        except ImportError:
            return TerminalLink(first, int(last))
    raise ValueError(f"{address}: expected tcp:HOST:PORT, unix:PATH, udp:HOST:PORT or serial:PATH:BAUD")


class Client:
    """One connection. `work_ms` of the methods is how long the service may take when the request has no deadline."""

    def __init__(self, opened, token=b"", max_payload=1024, window=0, client=None, attempts=3):
        self.link, self.window, self.attempts = opened, window, attempts
        self.hello_fields = {
            "client": random.getrandbits(64) if client is None else client, "schema": wire.SCHEMA_HASH,
            "max_payload": max_payload, "window": window, "token": token}
        self.accumulator, self.seq, self.events = wire.Accumulator(), 0, deque()
        self.request = random.randrange(1, 1 << 16)
        self.caps = self.hello()

    @classmethod
    def open(cls, address, **options):
        return cls(link(address), **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.link.close()

    # --- One request ---

    def _send(self, name, fields, request, flags=0, quiet=False):
        packet = wire.encode(name, fields, self.seq, request, flags)
        self.seq = self.seq + 1 & 0xFFFF
        self.link.write(packet if quiet else b"\0" + packet)
        return len(packet) + 1

    def _receive(self, until):
        """The next whole message as (header, name, fields); None if none came until then."""
        while True:
            while self.events:
                what, data = self.events.popleft()
                if what != "packet":
                    continue
                try:
                    header, payload = wire.open_packet(data)
                    return (header, *wire.decode(header.kind, payload))
                except wire.WireError:
                    continue
            left = until - time.monotonic()
            if left <= 0:
                return None
            self.events.extend(self.accumulator.feed(self.link.read(left)))

    def _timeout(self, sent, answer_bytes, work_ms):
        """Seconds, by the document's rule."""
        baud = self.link.baud
        line_us = (sent + answer_bytes) * 10_000_000 / baud if baud else 0
        return (1.25 * line_us / 1000 + work_ms + 100) / 1000

    def _next_request(self):
        self.request = self.request % 0xFFFFFFFF + 1
        return self.request

    def _packets(self, request, name, fields, answer_bytes, work_ms, again):
        """Sends a request and gives what comes about it. After a time-out `again()` says how to ask anew: None is the
        request once more, with RETRY; else (name, fields). Ends with NoAnswer."""
        attempt, fetch, retry, hello = 0, None, 0, name == "Hello"
        while True:
            if fetch:
                sent = self._send(*fetch, request)
            else:
                sent = self._send(name, fields, request, retry)
            patience = self._timeout(sent, answer_bytes, work_ms)
            until, retry = time.monotonic() + patience, wire.RETRY
            while (message := self._receive(until)) is not None:
                header, got, values = message
                if header.request != request:
                    continue
                if got != "Error":
                    self.progress = True
                    yield got, values
                    # Who read this may have taken its time; and says if it brought nothing new.
                    until = time.monotonic() + patience
                    attempt = 0 if self.progress else attempt
                    continue
                error = ServiceError(values)
                if error.name == "BUSY":
                    time.sleep(values["detail"] / 1000)
                elif error.name == "UNAUTHORIZED" and not hello:
                    self.hello()
                    hello = True
                elif error.name != "BAD_CRC":
                    raise error
                break
            attempt += 1
            if attempt == self.attempts:
                raise NoAnswer(f"no answer to {name} in {attempt} times {patience:.3f} s")
            fetch = again()

    def _ask(self, name, fields, expected, work_ms=1000):
        size = wire.wire_size(256)
        for got, values in self._packets(self._next_request(), name, fields, size, work_ms, lambda: None):
            if got == expected:
                return values

    # --- Answers ---

    def _answers(self, request, name, fields, answer_bytes, work_ms):
        assembly, head, given = Assembly(), None, None

        def again():
            missing = assembly.missing() if head else None
            return ("Fetch", {"offset": missing[0], "length": missing[1]}) if missing else None

        for got, values in self._packets(request, name, fields, answer_bytes, work_ms, again):
            if got not in ("Result", "Chunk"):
                continue
            if self.window:
                self._send("Grant", {"packets": 1}, request, quiet=True)
            if got == "Result":
                head = values
                assembly.result(values)
            else:
                self.progress = assembly.chunk(values["offset"], values["data"])
            body = assembly.body()
            if body is not None and given != (head["sequence"], head["crc"]):
                given = (head["sequence"], head["crc"])
                yield {**head, "request": request, "body": body, "items": read_body(body)}

    @staticmethod
    def _prompt(points, box, options):
        fields = {"points": [tuple(point) for point in points], "bbox": box, "wanted": wire.BBOX | wire.AREA}
        return {**fields, **options}

    # --- What a service can be asked ---

    def hello(self):
        return self._ask("Hello", self.hello_fields, "Caps")

    def prompt(self, points=(), box=None, work_ms=10_000, **options):
        """The answer: the fields of Result, `items`, and `request`, by which it can be refined. Options are fields of
        Prompt: frame, deadline_ms, budget, wanted, contour_points, refine, options."""
        fields = self._prompt(points, box, options)
        work_ms = fields.get("deadline_ms") or work_ms
        return next(self._answers(self._next_request(), "Prompt", fields, fields.get("budget") or 65536, work_ms))

    def track(self, points=(), box=None, interval_ms=0, work_ms=10_000, **options):
        """Answer after answer; ends the track when it is closed."""
        fields = {"interval_ms": interval_ms, "prompt": self._prompt(points, box, options)}
        budget, request = options.get("budget") or 65536, self._next_request()
        try:
            yield from self._answers(request, "Track", fields, budget, work_ms + interval_ms)
        finally:
            self.cancel(request)

    def cancel(self, request):
        for attempt in range(self.attempts):
            sent = self._send("Cancel", {}, request, wire.RETRY if attempt else 0)
            until = time.monotonic() + self._timeout(sent, 4096, 1000)
            while (message := self._receive(until)) is not None:
                if message[0].request == request and message[1] == "Done":
                    return
        raise NoAnswer("no answer to Cancel")

    def capture(self, max_age_ms=0, deadline_ms=0, work_ms=5000):
        fields = {"max_age_ms": max_age_ms, "deadline_ms": deadline_ms}
        return self._ask("Capture", fields, "Frame", deadline_ms or work_ms)

    def upload(self, data, width=0, height=0, format=8, work_ms=1000):
        """The number of the frame that the bytes become."""
        begin = {"width": width, "height": height, "format": format, "bytes": len(data), "crc": wire.crc32(data)}
        size = self.caps["max_payload"] - 4
        room = max(1, self.caps["window"]) * size
        line = wire.wire_size(size) * max(1, self.caps["window"])
        request, sent_to, said, went_back = self._next_request(), 0, None, None

        def again():
            nonlocal said, went_back
            # The answer to UploadBegin with RETRY says where to go on.
            said, went_back = None, "allowed"

        for got, state in self._packets(request, "UploadBegin", begin, line, work_ms, again):
            if got != "UploadState":
                continue
            received = state["received"]
            self.progress = received != said
            if state["frame"]:
                return state["frame"]
            # An offset that is said twice is where a chunk was lost: the client goes back there, once.
            if went_back == "allowed" or received == said != went_back:
                sent_to = went_back = received
            said, sent_to = received, max(sent_to, received)
            while sent_to < min(len(data), received + room):
                chunk = data[sent_to:sent_to + size]
                self._send("UploadChunk", {"offset": sent_to, "data": chunk}, request, quiet=True)
                sent_to += len(chunk)

    def picture(self, frame=0, max_side=0, quality=80, work_ms=5000):
        """The JPEG of a frame."""
        fields = {"frame": frame, "max_side": max_side, "quality": quality}
        request = self._next_request()
        return next(self._answers(request, "GetPicture", fields, 1 << 18, work_ms))["items"]["picture"]

    def status(self):
        return self._ask("GetStatus", {}, "Status")

    def ping(self, data=b"", work_ms=1000):
        return self._ask("Ping", {"data": data}, "Pong", work_ms)["data"]

    def configure(self, key, value):
        self._ask("Configure", {"key": key, "value": value}, "Done")

    def set_baud(self, baud):
        """Changes the speed of a serial line; False if the new one does not work and both went back."""
        before = self.link.baud
        self.configure(1, baud)
        for speed in (baud, before, baud):
            self.link.set_baud(speed)
            until = time.monotonic() + 2
            while time.monotonic() < until:
                try:
                    self.ping(b"speed", 200)
                    return speed == baud
                except NoAnswer:
                    pass
        raise NoAnswer("the service answers neither at the old speed nor at the new")


if __name__ == "__main__":
    from cutout_command import main

    main()
