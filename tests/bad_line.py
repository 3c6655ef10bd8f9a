"""A bad line: a TCP port that hands on to another what comes, with bits turned over and bytes lost."""
import random
import socket
import threading

# Bits that are turned over, and bytes that are lost.
FLIPPED, DROPPED = 1e-4, 5e-4


class Noise:
    """Turns bits over and loses bytes, at places that depend on the seed and on nothing else."""

    def __init__(self, seed):
        self.random, self.flipped, self.dropped = random.Random(seed), 0, 0

    def __call__(self, data):
        out = bytearray()
        for byte in data:
            if self.random.random() < DROPPED:
                self.dropped += 1
                continue
            if self.random.random() < 8 * FLIPPED:
                byte ^= 1 << self.random.randrange(8)
                self.flipped += 1
            out.append(byte)
        return bytes(out)


class Line:
    """A TCP port behind which the service's is, over a bad line."""

    def __init__(self, port, seed):
        self.service, self.noises = port, (Noise(2 * seed), Noise(2 * seed + 1))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sockets, self.threads = [], [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def _accept(self):
        try:
            client, _ = self.listener.accept()
        except OSError:
            return
        service = socket.create_connection(("127.0.0.1", self.service))
        self.sockets = [client, service]
        for end in self.sockets:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        up = threading.Thread(target=self._pump, args=(client, service, self.noises[0]), daemon=True)
        up.start()
        self._pump(service, client, self.noises[1])
        up.join()

    @staticmethod
    def _pump(source, sink, noise):
        try:
            while data := source.recv(4096):
                sink.sendall(noise(data))
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        for end in self.sockets:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self.threads:
            thread.join(5)
        for end in self.sockets:
            end.close()
