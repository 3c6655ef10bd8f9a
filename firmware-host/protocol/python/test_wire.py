"""python3 test_wire.py: the vectors are what the script writes, and the client gets its answers from a service that loses
packets, over TCP, UDP and, where it can be, a serial port."""

import json
import os
import random
import select
import socket
import threading
import unittest

import cutout_body as body
import cutout_client
import cutout_wire as wire
import make_vectors
from cutout_client import Client, NoAnswer, ServiceError

VECTORS = json.loads(make_vectors.PATH.read_text())
JPEG = make_vectors.noise(3000, 21)
BODY = body.put_items([(1, bytes(8)), (3, (77).to_bytes(4, "little")), (6, b"a" * 2500)])


class Vectors(unittest.TestCase):
    def test_they_are_what_the_script_writes(self):
        self.assertEqual(make_vectors.PATH.read_text(), make_vectors.vectors())

    def test_packets_in_pieces(self):
        for case in VECTORS["messages"]:
            packet = bytes.fromhex(case["packet"])
            for size in (1, 7, 4096):
                accumulator, events = wire.Accumulator(), []
                for at in range(0, len(packet), size):
                    events += accumulator.feed(packet[at:at + size])
                self.assertEqual(len(events), 1)
                header, payload = wire.open_packet(events[0][1])
                self.assertEqual((header.request, payload.hex()), (case["request"], case["payload"]))
                name, fields = wire.decode(header.kind, payload)
                self.assertEqual(make_vectors.plain(fields), case["fields"])
                self.assertEqual(wire.encode(name, fields, header.seq, header.request, header.flags), packet)

    def test_what_must_be_refused(self):
        for case in VECTORS["bad_packets"]:
            with self.assertRaises(wire.WireError) as caught:
                wire.open_packet(bytes.fromhex(case["decoded"]))
            self.assertEqual(caught.exception.what, case["error"], case["note"])
        for case in VECTORS["bad_payloads"]:
            with self.assertRaises(wire.WireError) as caught:
                wire.decode(case["kind"], bytes.fromhex(case["payload"]))
            self.assertEqual(caught.exception.what, case["error"], case["note"])

    def test_random_bytes_end_in_a_message_or_an_error(self):
        chance = random.Random(1)
        for _ in range(20000):
            data = chance.randbytes(chance.randrange(80))
            for kind in wire.KINDS:
                try:
                    name, fields = wire.decode(kind, data)
                    self.assertEqual(wire.encode_payload(name, fields), data)
                except wire.WireError:
                    pass
                break
            for kind in (1, 2, 3, 4, 5):
                try:
                    body.read_item(kind, data)
                except wire.WireError:
                    pass


class Service(threading.Thread):
    """A service that answers every request, and loses what `loses(direction, count)` says."""

    def __init__(self, link, loses=lambda way, count: False):
        super().__init__(daemon=True)
        self.link, self.loses, self.counts = link, loses, {"in": 0, "out": 0}
        self.accumulator, self.hello, self.upload, self.seen, self.seq = wire.Accumulator(), None, None, [], 0
        self.credits = 0
        self.start()

    def run(self):
        try:
            while True:
                for what, data in self.accumulator.feed(self.link.read(0.1)):
                    if what == "packet":
                        self.packet(data)
        except (OSError, ValueError):
            pass  # The test is over and the socket closed.

    def lost(self, way):
        self.counts[way] += 1
        return self.loses(way, self.counts[way])

    def send(self, name, fields, request):
        if not self.lost("out"):
            self.link.write(wire.encode(name, fields, self.seq, request))
        self.seq = self.seq + 1 & 0xFFFF

    def packet(self, data):
        header, payload = wire.open_packet(data)
        name, fields = wire.decode(header.kind, payload)
        if self.lost("in"):
            return
        self.seen.append((name, header.flags, fields))
        request = header.request
        if name == "Hello":
            self.hello = fields
            caps = {"schema": wire.SCHEMA_HASH, "max_payload": 256, "window": 4, "service": "fake"}
            self.send("Caps", caps, request)
        elif name == "Ping":
            self.send("Pong", fields, request)
        elif self.hello is None:
            self.send("Error", {"code": 10, "of": header.kind, "text": "say Hello"}, request)
        elif name == "Prompt" and fields["deadline_ms"] == 1:
            self.send("Error", {"code": 6, "of": 5, "detail": 130, "frame": 27, "text": "too late"}, request)
        elif name == "Prompt":
            self.answer(BODY, 0, request)
        elif name == "GetPicture":
            self.answer(body.put_items([(7, JPEG)]), 0, request)
        elif name == "Track" and not header.flags:
            for sequence in (1, 2, 3):
                self.answer(BODY, sequence, request)
        elif name == "Fetch":
            end = fields["offset"] + fields["length"] if fields["length"] else len(self.body)
            self.chunks(fields["offset"], end, request)
        elif name == "UploadBegin":
            self.upload = self.upload if header.flags and self.upload else (fields, {})
            self.state(request)
        elif name == "UploadChunk":
            begin, pieces = self.upload
            gap = fields["offset"] > self.received()
            pieces[fields["offset"]] = fields["data"]
            if gap or self.received() == begin["bytes"] or self.received() - self.said >= 400:
                self.state(request)
        elif name in ("Cancel", "Configure"):
            self.send("Done", {}, request)

    def received(self):
        at = 0
        while at in self.upload[1]:
            at += len(self.upload[1][at])
        return at

    def state(self, request):
        begin, pieces = self.upload
        whole = b"".join(pieces[at] for at in sorted(pieces))
        self.said = self.received()
        done = self.said == begin["bytes"] and wire.crc32(whole) == begin["crc"]
        self.send("UploadState", {"received": self.received(), "frame": 17 if done else 0}, request)

    def answer(self, data, sequence, request):
        self.body = data
        size = self.hello["max_payload"] - 51
        self.send("Result", {"frame": 12, "sequence": sequence, "total": len(data), "crc": wire.crc32(data),
                             "data": data[:size]}, request)
        self.chunks(size, len(data), request)

    def chunks(self, start, end, request):
        size = self.hello["max_payload"] - 4
        for at in range(start, end, size):
            self.send("Chunk", {"offset": at, "data": self.body[at:min(at + size, end)]}, request)


def tcp_pair():
    ours, theirs = socket.socketpair()
    return cutout_client.SocketLink(ours), cutout_client.SocketLink(theirs)


def udp_pair():
    ours, theirs = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    for sock in (ours, theirs):
        sock.bind(("127.0.0.1", 0))
    ours.connect(theirs.getsockname())
    theirs.connect(ours.getsockname())
    return cutout_client.SocketLink(ours), cutout_client.SocketLink(theirs)


class Talks(unittest.TestCase):
    def talk(self, pair, loses=lambda way, count: False, **options):
        ours, theirs = pair()
        self.addCleanup(theirs.close)
        service = Service(theirs, loses)
        client = Client(ours, **options)
        self.addCleanup(ours.close)
        return client, service

    def check_all(self, pair, work_ms, loses=lambda way, count: False):
        client, service = self.talk(pair, loses, max_payload=200, attempts=20)
        self.assertEqual(client.caps["service"], "fake")
        self.assertEqual(client.ping(b"abc"), b"abc")
        for _ in range(3):
            answer = client.prompt(points=[(1, 2, 1)], work_ms=work_ms)
            self.assertEqual(answer["items"], {"bbox": (0, 0, 0, 0), "area": 77, "coco_rle": "a" * 2500})
        self.assertEqual(client.picture(work_ms=work_ms), JPEG)
        self.assertEqual(client.upload(JPEG, work_ms=work_ms), 17)
        return service

    def test_over_a_stream_and_over_datagrams(self):
        for pair in (tcp_pair, udp_pair):
            service = self.check_all(pair, 30_000)
            self.assertFalse([name for name, flags, _ in service.seen if flags], "nothing was lost, nothing asked again")

    def test_every_eleventh_packet_is_lost(self):
        service = self.check_all(udp_pair, 100, lambda way, count: count % 11 == 3)
        self.assertIn("Fetch", [name for name, _, _ in service.seen])
        self.assertTrue([name for name, flags, _ in service.seen if flags])

    def test_errors_are_told(self):
        client, service = self.talk(tcp_pair)
        with self.assertRaises(ServiceError) as caught:
            client.prompt(points=[(1, 2, 1)], deadline_ms=1)
        self.assertEqual((caught.exception.name, caught.exception.fields["frame"]), ("DEADLINE", 27))
        service.hello = None
        self.assertEqual(client.prompt(points=[(1, 2, 1)])["items"]["area"], 77, "Hello is said again by itself")
        service.loses = lambda way, count: True
        with self.assertRaises(NoAnswer):
            client.ping(work_ms=10)

    def test_a_track_is_cancelled_when_it_is_left(self):
        client, service = self.talk(tcp_pair, window=3)
        track = client.track(box=(1, 2, 3, 4))
        self.assertEqual([next(track)["sequence"] for _ in range(3)], [1, 2, 3])
        track.close()
        names = [name for name, _, _ in service.seen]
        self.assertEqual(names[-1], "Cancel")
        self.assertIn("Grant", names)

    def check_serial(self, kind):
        leader, follower = os.openpty()
        ours = kind(os.ttyname(follower), 115200)

        class Pty:
            def read(self, seconds):
                ready = select.select([leader], [], [], seconds)[0]
                return os.read(leader, 4096) if ready else b""

            def write(self, data):
                os.write(leader, data)

        Service(Pty())
        client = Client(ours)
        self.assertEqual(client.prompt(points=[(1, 2, 1)])["items"]["area"], 77)
        self.assertTrue(client.set_baud(921600))
        self.assertEqual(ours.baud, 921600)
        ours.close()
        os.close(follower)

    def test_over_a_serial_port(self):
        self.check_serial(cutout_client.TerminalLink)

    def test_over_a_serial_port_by_pyserial(self):
        try:
            import serial  # noqa: F401
        except ImportError:
            print("NOT CHECKED: the Python client with pyserial, which is not installed")
            return
        self.check_serial(cutout_client.SerialLink)


if __name__ == "__main__":
    unittest.main()
