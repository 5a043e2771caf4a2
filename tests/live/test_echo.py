# SPDX-License-Identifier: BSD-3-Clause
"""TCP and UDP echo against the kernel's stack: sizes around segment and buffer boundaries, many at once, half-close."""
import hashlib
import os
import socket
import threading

import pytest

import peers
import streams
from lab import wait_for

MATRIX = "all"
TCP_SIZES = [1, 2, 255, 256, 257, 1447, 1448, 1449, 1460, 4096, 16384, 65536, 1 << 20]
UDP_SIZES = [1, 2, 63, 64, 255, 256, 257, 1471, 1472]


def echo(sock, payload, timeout_s=60):
    """Send it all, read it all back, both at once; return the answer's SHA-256."""
    sock.settimeout(timeout_s)
    writer = threading.Thread(target=sock.sendall, args=(payload,), daemon=True)
    writer.start()
    digest = streams.receive(sock, len(payload))
    writer.join(timeout_s)
    return digest


def prepare(lab):
    lab.udp_echo = peers.UdpEcho(lab, lab.brokers[2], 5353)


@pytest.mark.parametrize("size", TCP_SIZES)
def test_tcp(lab, size):
    payload = os.urandom(size)
    with lab.connect(7) as sock:
        assert echo(sock, payload) == hashlib.sha256(payload).hexdigest()


def test_tcp_byte_by_byte(lab):
    with lab.connect(7) as sock:
        for value in range(200):
            sock.sendall(bytes([value]))
            assert sock.recv(10) == bytes([value])


def test_tcp_half_close(lab):
    """The echo goes on after our FIN, then comes weir's."""
    payload = os.urandom(100000)
    with lab.connect(7) as sock:
        writer = threading.Thread(target=lambda: (sock.sendall(payload), sock.shutdown(socket.SHUT_WR)), daemon=True)
        writer.start()
        assert streams.receive(sock, len(payload)) == hashlib.sha256(payload).hexdigest()
        writer.join(30)
        assert sock.recv(1) == b""


def test_tcp_many_at_once(lab):
    baseline = lab.metrics()
    socks = [lab.connect(7) for _ in range(200)]
    try:
        for number, sock in enumerate(socks):
            sock.sendall(f"connection {number}".encode())
        for number, sock in enumerate(socks):
            assert sock.recv(100) == f"connection {number}".encode()
    finally:
        for sock in socks:
            sock.close()
    lab.wait_quiet(baseline)


def test_tcp_reset_leaves_nothing(lab):
    baseline = lab.metrics()
    for _ in range(50):
        sock = lab.connect(7)
        sock.sendall(os.urandom(5000))
        peers.reset(sock)
    lab.wait_quiet(baseline)


def test_tcp_slow_reader(lab):
    """Back-pressure: what we do not read must not be lost, and another connection must not wait."""
    payload = os.urandom(2 << 20)
    with lab.connect(7) as slow, lab.connect(7) as other:
        writer = threading.Thread(target=slow.sendall, args=(payload,), daemon=True)
        writer.start()
        for _ in range(100):
            other.sendall(b"hurry")
            assert other.recv(10) == b"hurry"
        assert streams.receive(slow, len(payload)) == hashlib.sha256(payload).hexdigest()
        writer.join(30)


def udp_asks(sock, payload):
    """Datagrams may be lost: ask until the answer to this very one comes."""
    def answered():
        sock.send(payload)
        try:
            while sock.recv(65536) != payload:
                pass
            return True
        except TimeoutError:
            return False

    sock.settimeout(1)
    wait_for(f"the echo of {len(payload)} bytes", answered, interval_s=0)


@pytest.mark.parametrize("port", [7, 5353], ids=["echo", "forwarded"])
@pytest.mark.parametrize("size", UDP_SIZES)
def test_udp(lab, port, size):
    with lab.client_ns.socket(kind=socket.SOCK_DGRAM) as sock:
        sock.connect((lab.front, port))
        udp_asks(sock, os.urandom(size))


def test_udp_flows_keep_apart(lab):
    """Each client address and port is a flow of its own towards the server."""
    socks = []
    for number in range(20):
        sock = lab.client_ns.socket(kind=socket.SOCK_DGRAM)
        sock.bind((f"198.18.0.{2 + number % 8}", 0))
        sock.connect((lab.front, 5353))
        socks.append(sock)
    try:
        lab.udp_echo.sources.clear()
        for number, sock in enumerate(socks):
            udp_asks(sock, f"flow {number}".encode())
        assert len(lab.udp_echo.sources) == len(socks)
    finally:
        for sock in socks:
            sock.close()
