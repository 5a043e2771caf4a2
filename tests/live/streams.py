# SPDX-License-Identifier: BSD-3-Clause
"""Long one-way streams between any two places, timed and compared byte for byte.

A server sends or takes SIZE bytes on each connection; the bytes are a fixed pattern of the seed, so that either end knows them
without being told."""
import contextlib
import hashlib
import random
import socket
import threading
import time

CHUNK = 1 << 16
PATTERN = random.Random(20).randbytes(CHUNK + 251)  # of no period that a segment or a buffer has


def cubic(sock):
    """The kernel's default may be another one."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")


def expected_sha(size):
    digest = hashlib.sha256()
    for start in range(0, size, len(PATTERN)):
        digest.update(PATTERN[:size - start])
    return digest.hexdigest()


def send(sock, size):
    """`size` bytes of the pattern."""
    for start in range(0, size, len(PATTERN)):
        sock.sendall(PATTERN[:size - start])


def receive(sock, size, seen=None):
    """SHA-256 of the next `size` bytes, or of what came before the end; `seen` gets (time, bytes) as they come."""
    digest = hashlib.sha256()
    while size:
        data = sock.recv(min(size, CHUNK))
        if not data:
            break
        digest.update(data)
        size -= len(data)
        if seen is not None:
            seen.append((time.monotonic(), len(data)))
    return digest.hexdigest()


class Listener:
    """Accepts on address:port of a namespace until it is closed; each connection is served by a thread of its own."""

    def __init__(self, lab, namespace, address, port, congestion=False):
        self._listener = namespace.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if congestion:
            cubic(self._listener)
        self._listener.bind((address, port))
        self._listener.listen(128)
        threading.Thread(target=self._accept, daemon=True).start()
        lab.keep(self)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        raise NotImplementedError

    def close(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class Server(Listener):
    """Serves each connection: "source" sends `size` bytes and closes, "sink" takes as many, answers with their hash, closes."""

    def __init__(self, lab, namespace, address, port, kind, size, congestion=True, linger_s=600):
        self._kind, self._size, self._patience_s = kind, size, linger_s
        super().__init__(lab, namespace, address, port, congestion)

    def _serve(self, sock):
        sock.settimeout(self._patience_s)
        with contextlib.suppress(OSError), sock:
            if self._kind == "source":
                send(sock, self._size)
            else:
                sock.sendall(receive(sock, self._size).encode())


class Stream(threading.Thread):
    """One connection of a client: "down" takes `size` bytes from a source, "up" sends them to a sink. `seconds` ends a
    download early. wait() raises what went wrong; `rate` is bytes a second from the SYN on."""

    def __init__(self, host, address, port, way, size, seconds=None, timeout_s=600):
        super().__init__(daemon=True)
        self._where, self._way, self._size = (address, port), way, size
        self._seconds, self._timeout_s = seconds, timeout_s
        self._sock = host.socket()
        self._sock.settimeout(timeout_s)
        cubic(self._sock)
        self.seen = []  # (time, bytes) of a download
        self.rate = self.fault = None
        self.start()

    def run(self):
        try:
            with self._sock:
                began = time.monotonic()
                self._sock.connect(self._where)
                if self._seconds:
                    self._watch(began + self._seconds)
                else:
                    self._transfer()
                self.rate = self._size / (time.monotonic() - began)
        except (OSError, AssertionError) as error:
            self.fault = error

    def _transfer(self):
        if self._way == "up":
            send(self._sock, self._size)
            sha = self._sock.recv(64, socket.MSG_WAITALL).decode()
        else:
            sha = receive(self._sock, self._size, self.seen)
        assert sha == expected_sha(self._size), f"{self._way}: other bytes arrived than were sent"

    def _watch(self, until):
        while time.monotonic() < until:
            data = self._sock.recv(CHUNK)
            assert data, "the source ended"
            self.seen.append((time.monotonic(), len(data)))

    def wait(self):
        self.join(self._timeout_s)
        assert not self.is_alive(), f"{self._way} to {self._where}: not over after {self._timeout_s} s"
        if self.fault:
            raise AssertionError(f"{self._way} to {self._where}: {self.fault!r}") from self.fault
        return self.rate

    def bytes_between(self, start, end):
        return sum(size for when, size in self.seen if start <= when < end)
