# SPDX-License-Identifier: BSD-3-Clause
"""Half-close passes through weir in both directions, with and without TLS, over clean and lossy links: the FIN of one side
reaches the other behind its last byte, and what the other side still has to say keeps coming for longer than any deadline
of weir's, until its own FIN."""
import contextlib
import fcntl
import queue
import socket
import ssl
import struct
import termios
import threading
import time

import pytest

import certs
import links
import peers
import streams

MATRIX = "later"
LONG_S = {"quick": 4, "plain": 33, "nightly": 100}  # weir's own deadlines end at 30 s
PAUSE_S = 0.25
PIECE = 700
BULK = 150_000
WARM, BURST = 2 << 20, 900_000  # after the first a window holds the second
PROMPT_S = 10  # a FIN must not wait for anything but its bytes, retransmitted where they were lost
PORTS = {"plain": 9400, "tls": 9401}
LOSSY = {"delay_ms": 5, "loss": 5, "duplicate": 2, "seed": 4}
SIDES = ["client first", "server first"]
PROTOCOLS = ["plain", "TLS 1.2", "TLS 1.3"]


def configure(config, lab):
    config["pools"].append({"name": "half", "policy": "round-robin",
                            "servers": [{"name": "half", "address": f"{lab.brokers[2]}:9400"}]})
    config["listeners"] += [
        {"name": "half", "address": f"{lab.front}:{PORTS['plain']}", "mode": "tcp", "pool": "half"},
        {"name": "halfs", "address": f"{lab.front}:{PORTS['tls']}", "mode": "tcp", "pool": "half", "tls": "default"}]


@pytest.fixture(scope="module")
def listener(running_lab):
    with running_lab.broker_ns.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((running_lab.brokers[2], 9400))
        sock.listen(16)
        sock.settimeout(30)
        yield sock


class Tls:
    """A client's TLS that can close one direction, which ssl.SSLSocket cannot: the same calls as a socket."""

    def __init__(self, sock, context):
        self._sock, self._in, self._out = sock, ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=certs.SERVER_NAME)
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
        self._flush()

    def _flush(self):
        if self._out.pending:
            self._sock.sendall(self._out.read())

    def _fill(self):
        data = self._sock.recv(65536)
        if data:
            self._in.write(data)
        else:
            self._in.write_eof()

    def sendall(self, data):
        self._tls.write(data)
        self._flush()

    def recv(self, size):
        """b"" only after close_notify; a FIN without it raises."""
        while True:
            try:
                return self._tls.read(size)
            except ssl.SSLWantReadError:
                self._fill()
            except ssl.SSLZeroReturnError:
                return b""

    def shutdown(self, how):
        with contextlib.suppress(ssl.SSLWantReadError):  # the other side's close_notify is not due yet
            self._tls.unwrap()
        self._flush()
        self._sock.shutdown(how)

    def close(self):
        self._sock.close()


def say_all_at_once(sock):
    streams.send(sock, BULK)
    sock.shutdown(socket.SHUT_WR)


def hear_all_at_once(sock):
    began = time.monotonic()
    assert streams.receive(sock, BULK + 1) == streams.expected_sha(BULK)
    took = time.monotonic() - began
    assert took < PROMPT_S, f"the FIN took {took:.1f} s"


def say_slowly(sock, seconds):
    until, pieces = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        sock.sendall(pieces.to_bytes(4, "big") * (PIECE // 4))
        pieces += 1
        time.sleep(PAUSE_S)
    sock.shutdown(socket.SHUT_WR)
    return pieces


def hear_slowly(sock):
    """How many pieces came; the longest silence must be about the pause."""
    data, pieces, last, silence = b"", 0, time.monotonic(), 0
    while True:
        came = sock.recv(65536)
        now = time.monotonic()
        silence, last = max(silence, now - last), now
        if not came:
            break
        data += came
        while len(data) >= PIECE:
            assert data[:PIECE] == pieces.to_bytes(4, "big") * (PIECE // 4)
            data, pieces = data[PIECE:], pieces + 1
    assert not data and silence < PAUSE_S + PROMPT_S, (len(data), silence)
    return pieces


def talk(sock, closes_first, seconds):
    """One end of the conversation; (pieces said, pieces heard)."""
    if closes_first:
        say_all_at_once(sock)
        return 0, hear_slowly(sock)
    hear_all_at_once(sock)
    return say_slowly(sock, seconds), 0


class Conversation(threading.Thread):
    """A client, and the server's end of its connection."""

    def __init__(self, lab, host, listener, protocol, first, seconds):
        super().__init__(daemon=True)
        self.name = f"{protocol}, {first}"
        self._lab, self._host, self._protocol, self._first, self._seconds = lab, host, protocol, first, seconds
        self._listener, self._server = listener, queue.Queue()
        self.fault = None
        self._sock = host.socket()
        self._sock.settimeout(60)
        # One after the other, so that each knows which of the server's connections is its own.
        self._sock.connect((lab.front, PORTS["plain" if protocol == "plain" else "tls"]))
        self._end = self._wrap()
        peer, _ = listener.accept()
        peer.settimeout(60)
        threading.Thread(target=self._serve, args=(peer,), daemon=True).start()
        self.start()

    def _wrap(self):
        if self._protocol == "plain":
            return self._sock
        version = ssl.TLSVersion.TLSv1_2 if self._protocol == "TLS 1.2" else ssl.TLSVersion.TLSv1_3
        return Tls(self._sock, self._lab.tls_context(minimum_version=version, maximum_version=version))

    def _serve(self, peer):
        try:
            with peer:
                self._server.put(talk(peer, self._first == "server first", self._seconds))
        except (OSError, AssertionError) as error:
            self._server.put(error)

    def run(self):
        try:
            ours = talk(self._end, self._first == "client first", self._seconds)
            theirs = self._server.get(timeout=self._seconds + 30)
            assert not isinstance(theirs, Exception), f"the server's end: {theirs!r}"
            assert (ours[0], theirs[0]) == (theirs[1], ours[1]), f"said and heard: {ours}, {theirs}"
        except (OSError, AssertionError, queue.Empty) as error:
            self.fault = f"{error!r}"
        finally:
            self._end.close()


def test_half_close(lab, listener, depth):
    """All conversations at the same time."""
    before = lab.metrics()
    far = links.FarHost(lab, "198.18.0.90/24", **LOSSY)
    try:
        all_of_them = [Conversation(lab, host, listener, protocol, first, LONG_S[depth])
                       for host in (lab.client_ns, far) for protocol in PROTOCOLS for first in SIDES]
        for conversation in all_of_them:
            conversation.join(LONG_S[depth] + 60)
        faults = {conversation.name: conversation.fault or "hangs" for conversation in all_of_them
                  if conversation.fault or conversation.is_alive()}
        assert not faults
        lab.wait_quiet(before)
        far.link.check()
    finally:
        far.close()


@pytest.mark.parametrize("closes", ["client", "server"])
def test_a_fin_alone(lab, listener, closes):
    """Without one byte in either direction before it."""
    before = lab.metrics()
    with lab.connect(PORTS["plain"]) as client:
        server, _ = listener.accept()
        server.settimeout(30)
        one, other = (client, server) if closes == "client" else (server, client)
        one.shutdown(socket.SHUT_WR)
        assert other.recv(10) == b""
        other.sendall(b"late")
        assert one.recv(10) == b"late"
        other.close()
        assert one.recv(10) == b""
        server.close()
    lab.wait_quiet(before)


def wait_acknowledged(sock):
    until = time.monotonic() + 30
    while struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0]:
        assert time.monotonic() < until, "weir does not take what is sent"


def count_to_the_reset(sock, came):
    count = 0
    try:
        while data := sock.recv(1 << 20):
            count += len(data)
        came.put("FIN")
    except OSError:
        came.put(count)


@pytest.mark.parametrize("protocol", ["plain", "TLS 1.3"])
def test_reset_behind_a_burst(lab, listener, protocol):
    """A client that resets as soon as the last byte of a burst is acknowledged: however much of it weir still has, all of
    it arrives, then the reset."""
    before = lab.metrics()
    for _ in range(15):
        client = lab.connect(PORTS["plain" if protocol == "plain" else "tls"])
        end = client if protocol == "plain" else Tls(client, lab.tls_context())
        server, _ = listener.accept()
        server.settimeout(30)
        came = queue.Queue()
        threading.Thread(target=count_to_the_reset, args=(server, came), daemon=True).start()
        for size in WARM, BURST:
            end.sendall(bytes(size))
            wait_acknowledged(client)
        peers.reset(client)
        assert came.get(timeout=60) == WARM + BURST
        server.close()
    lab.wait_quiet(before)
