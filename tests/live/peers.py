# SPDX-License-Identifier: BSD-3-Clause
"""Who weir talks to in the brokers' namespace: real mosquitto, and stand-ins that behave exactly as badly as a test wants."""
import contextlib
import hashlib
import os
import select
import selectors
import signal
import socket
import ssl
import struct
import threading
import time

import mqtt
import netns
import streams
from lab import wait_for

NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER


def reset(sock):
    """Close with RST."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    sock.close()


def tcp_options(sock):
    """What the kernel says both ends agreed on (TCP_INFO, tcpi_options): of {"timestamps", "sack", "window_scaling"}."""
    bits = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[5]
    return {name for bit, name in enumerate(("timestamps", "sack", "window_scaling")) if bits & 1 << bit}


class Mosquitto:
    """A broker on address:port. `more` are further lines of its configuration."""

    def __init__(self, lab, name, address, port=1883, more=""):
        self.lab, self.name, self.address, self.port = lab, name, address, port
        self.log_path = os.path.join(lab.folder, f"{name}.log")
        self.path = os.path.join(lab.folder, f"{name}.conf")
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(f"listener {port} {address}\nallow_anonymous true\nmax_connections -1\npersistence false\nuser root\n"
                       f"max_queued_messages 0\nlog_dest stderr\nlog_type error\nlog_type warning\nlog_type notice\n"
                       f"connection_messages true\n{more}")
        self.process = None

    def start(self):
        with open(self.log_path, "a", encoding="utf-8") as log:
            self.process = self.lab.broker_ns.popen("mosquitto", "-c", self.path, stdout=log, stderr=log)
        wait_for(lambda: f"{self.name} to listen; its log:\n{self.log()}", self._listens)
        return self

    def _listens(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{self.log()}")
        with self.lab.broker_ns.socket() as probe:
            probe.settimeout(2)
            return probe.connect_ex((self.address, self.port)) == 0

    def log(self, lines=30):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return "".join(file.readlines()[-lines:])

    def stop(self):
        self.close()

    def close(self):
        if self.process:
            netns.end(self.process, signal.SIGTERM)


def two_mosquittos(lab, more=("", "")):
    """The servers b1 and b2 of the lab's configuration."""
    return [lab.keep(Mosquitto(lab, f"b{i + 1}", lab.brokers[i], more=more[i]).start()) for i in range(2)]


class Connection:
    """One accepted connection of a Sink."""

    def __init__(self, sock):
        self.sock, self.data = sock, b""
        self.proxied = None  # (client address, client port) from a PROXY v2 header
        self.client_id = None
        self.level = 0
        self.received = 0


class Sink:
    """A broker stand-in: takes CONNECT (with a PROXY v2 header before it or not), answers CONNACK and PINGRESP, remembers
    who came. `behave` says what it does instead: "answer", "silent" (never a byte), "reset" (RST once bytes arrive),
    "garbage" (what no broker may send)."""

    def __init__(self, lab, address, port=1883, behave="answer", proxy=False):
        self.behave, self.proxy = behave, proxy
        self.seen = []         # client ids in order of arrival
        self.connections = []  # every Connection there was
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._listener = lab.broker_ns.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((address, port))
        self._listener.listen(65535)
        self._listener.setblocking(False)
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()
        lab.keep(self)

    def open(self):
        """How many connections are open now."""
        return len(self._selector.get_map() or ()) - 2

    def close(self):
        if self._thread.is_alive():
            self._wake.send(b"x")
            self._thread.join(10)

    def _loop(self):
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._woken:
                    self._end()
                    return
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._serve(key.data)

    def _end(self):
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()
        self._wake.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                sock.setblocking(False)
                connection = Connection(sock)
                self.connections.append(connection)
                self._selector.register(sock, selectors.EVENT_READ, connection)

    def _drop(self, connection, with_reset=False):
        self._selector.unregister(connection.sock)
        if with_reset:
            reset(connection.sock)
        else:
            connection.sock.close()

    def _serve(self, connection):
        try:
            data = connection.sock.recv(262144)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(connection)
            return
        connection.received += len(data)
        connection.data += data
        if self.behave == "silent":
            return
        if self.behave == "reset":
            self._drop(connection, with_reset=True)
            return
        try:
            self._packets(connection)
        except OSError:
            self._drop(connection)

    def _packets(self, connection):
        if self.proxy and connection.proxied is None:
            connection.proxied, connection.data = split_proxy_v2(connection.data)
            if connection.proxied is None:
                return
        while True:
            packet, connection.data = mqtt.split(connection.data)
            if not packet:
                return
            kind, _, body = packet
            if kind == mqtt.CONNECT:
                connection.level, connection.client_id = mqtt.client_id_of(body)
                with self._lock:
                    self.seen.append(connection.client_id)
                garbage = b"\xf0\xff\xff\xff\xff\xff"
                connection.sock.send(garbage if self.behave == "garbage" else mqtt.connack(connection.level))
            elif kind == mqtt.PINGREQ:
                connection.sock.send(mqtt.packet(mqtt.PINGRESP))
            elif kind == mqtt.PUBLISH and packet[1] & 6 == 2:
                size = struct.unpack_from("!H", body)[0]
                connection.sock.send(mqtt.packet(mqtt.PUBACK, body[2 + size:4 + size]))
            elif kind == mqtt.DISCONNECT:
                self._drop(connection)
                return


PROXY_V2 = b"\r\n\r\n\0\r\nQUIT\n"


def split_proxy_v2(data):
    """((address, port) of the client, rest), or (None, data) while the header is incomplete. Raises ValueError on anything
    that is not a PROXY v2 header for TCP over IPv4 (HAProxy's proxy-protocol.txt, 2.2)."""
    if len(data) < 16:
        return None, data
    if data[:12] != PROXY_V2 or data[12] != 0x21 or data[13] != 0x11:
        raise ValueError(f"no PROXY v2 header: {data[:16]!r}")
    size = 16 + struct.unpack_from("!H", data, 14)[0]
    if len(data) < size:
        return None, data
    return (socket.inet_ntoa(data[16:20]), struct.unpack_from("!H", data, 24)[0]), data[size:]


class BulkServer(streams.Listener):
    """Sends `size` bytes and takes as many on each connection, both at once; keeps the SHA-256 of both."""

    def __init__(self, lab, address, port, size, namespace=None):
        self.size, self.payload = size, os.urandom(size)
        self.sent_sha = hashlib.sha256(self.payload).hexdigest()
        self.received_sha = []
        self.agreed = []  # tcp_options() of each connection
        super().__init__(lab, namespace or lab.broker_ns, address, port)

    def _serve(self, sock):
        sock.settimeout(120)
        writer = threading.Thread(target=self._send, args=(sock,), daemon=True)
        with contextlib.suppress(OSError), sock:
            self.agreed.append(tcp_options(sock))
            writer.start()
            self.received_sha.append(streams.receive(sock, self.size))
            writer.join(120)

    def _send(self, sock):
        with contextlib.suppress(OSError):
            sock.sendall(self.payload)

    def wait_received(self, timeout_s):
        """SHA-256 of what came in on the first connection since received_sha was cleared."""
        return wait_for("the server to have it all", lambda: self.received_sha, timeout_s)[0]


def exchange(sock, payload, expected, timeout_s):
    """Send `payload` and receive `expected` bytes at the same time, from one thread (a TLS object must not be used by two);
    SHA-256 of what came."""
    sock.setblocking(False)
    digest, received, view = hashlib.sha256(), 0, memoryview(payload)
    deadline = time.monotonic() + timeout_s
    while received < expected or view:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{received} of {expected} bytes came and {len(view)} were not sent within {timeout_s} s")
        moved = False
        with contextlib.suppress(*NOT_NOW):
            sent = sock.send(view[:65536]) if view else 0
            view = view[sent:]
            moved = sent > 0
        with contextlib.suppress(*NOT_NOW):
            data = sock.recv(65536) if received < expected else b""
            if not data and received < expected:
                raise ConnectionError(f"the stream ended after {received} of {expected} bytes")
            digest.update(data)
            received += len(data)
            moved = moved or bool(data)
        if not moved:
            select.select([sock], [sock] if view else [], [], 0.1)
    return digest.hexdigest()


class UdpEcho:
    """Answers datagrams with what it got, and remembers from where they came."""

    def __init__(self, lab, address, port):
        self.sources = set()
        self._sock = lab.broker_ns.socket(kind=socket.SOCK_DGRAM)
        self._sock.bind((address, port))
        self._sock.settimeout(0.2)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()
        lab.keep(self)

    def _loop(self):
        while not self._stop.is_set():
            try:
                data, source = self._sock.recvfrom(65536)
            except TimeoutError:
                continue
            self.sources.add(source)
            self._sock.sendto(data, source)

    def close(self):
        self._stop.set()
        self._thread.join(5)
        self._sock.close()
