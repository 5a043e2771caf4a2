# SPDX-License-Identifier: BSD-3-Clause
"""The emulated link does what it says: delay, rate, queue, loss, marks, doubles, order. What other tests measure over it is worth
no more than this."""
import collections
import itertools
import re
import socket
import threading
import time

import pytest

import links

MATRIX = "measured"
FRAMES = 4000
MARKABLE = 1500  # a multiple of three


@pytest.fixture
def make(empty_lab):
    hosts = []

    def far(**link):
        hosts.append(links.FarHost(empty_lab, "198.18.0.60/24", seconds=60, **link))
        return hosts[-1]

    yield far
    for host in hosts:
        host.close()


def datagrams(lab, host, count, size=200, gap_s=0.0):
    """Numbers of those that came from the far host to the clients' namespace, in order of arrival."""
    came = []
    with lab.client_ns.socket(kind=socket.SOCK_DGRAM) as receiver, host.socket(kind=socket.SOCK_DGRAM) as sender:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        receiver.bind((lab.client, 6000))
        receiver.settimeout(0.5)
        sender.connect((lab.client, 6000))
        for number in range(count):
            sender.send(number.to_bytes(4, "big").ljust(size, b"."))
            if number % 50 == 49:  # no socket on the way overflows
                time.sleep(max(gap_s, 0.001))
        try:
            while True:
                came.append(int.from_bytes(receiver.recv(2048)[:4], "big"))
        except TimeoutError:
            return came


def test_delay(empty_lab, make):
    host = make(delay_ms=(10, 15))
    said = host.ns.run("ping", "-c", "20", "-i", "0.05", "-W", "5", empty_lab.client).stdout
    median = sorted(float(ms) for ms in re.findall(r"time=([\d.]+)", said))[10]
    print(f"ping: {median} ms")
    assert 25 <= median < 27
    host.link.check()


def test_loss_is_the_seeds(empty_lab, make):
    """The same seed loses the same frames, another one others, and about as many as asked for."""
    came = []
    for seed in (7, 7, 8):
        host = make(loss=(5, 0), seed=seed)
        host.knows(empty_lab.client, empty_lab.client_ns)  # no ARP among the frames, and nothing that waits for it
        came.append(datagrams(empty_lab, host, FRAMES))
        counters = host.link.check()
        assert counters["there"]["lost"] == FRAMES - len(came[-1])
        assert counters["back"]["lost"] == 0
        host.close()
    assert came[0] == came[1] != came[2]
    assert 0.03 * FRAMES < FRAMES - len(came[0]) < 0.07 * FRAMES


def test_doubles_and_order(empty_lab, make):
    host = make(delay_ms=1, duplicate=3, reorder=4, reorder_ms=5)
    came = datagrams(empty_lab, host, FRAMES)
    there = host.link.check()["there"]
    assert set(came) == set(range(FRAMES)) and len(came) == FRAMES + there["duplicated"]
    assert 0.02 * FRAMES < there["duplicated"] < 0.04 * FRAMES
    assert 0.03 * FRAMES < there["reordered"] < 0.05 * FRAMES
    overtaken = sum(number < highest for number, highest in zip(came, itertools.accumulate(came, max)))
    assert overtaken > 0.9 * there["reordered"]


def test_corruption(empty_lab, make):
    """The receiver's kernel finds each of them by a checksum, or they are for somebody else."""
    host = make(corrupt=2)
    came = datagrams(empty_lab, host, FRAMES)
    there = host.link.check()["there"]
    assert len(came) == FRAMES - there["corrupted"] and there["corrupted"] > 0.01 * FRAMES


def test_marks(empty_lab, make):
    """ECN-capable frames are marked, of either kind, others never; the kernel would drop one with a wrong header checksum."""
    host = make(mark=10)
    seen = collections.Counter()
    with empty_lab.client_ns.socket(kind=socket.SOCK_DGRAM) as receiver, host.socket(kind=socket.SOCK_DGRAM) as sender:
        receiver.bind((empty_lab.client, 6000))
        receiver.settimeout(5)
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        sender.connect((empty_lab.client, 6000))
        for number in range(MARKABLE):
            sent = number % 3  # not ECN-capable, ECT(1), ECT(0)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0x40 | sent)
            sender.send(b"x")
            tos = receiver.recvmsg(16, 64)[1][0][2][0]
            assert tos & ~3 == 0x40
            seen[sent, tos & 3] += 1
    there = host.link.check()["there"]
    assert seen[0, 0] == MARKABLE // 3 and there["ect"] == MARKABLE - MARKABLE // 3
    assert seen[1, 3] + seen[2, 3] == there["marked"] and seen[1, 1] + seen[2, 2] == there["ect"] - there["marked"]
    assert min(seen[1, 3], seen[2, 3]) > 0.05 * MARKABLE / 3


def test_rate_and_queue(empty_lab, make):
    """A burst fills the queue, the rest of it is dropped, and what was taken leaves at the rate of the bottleneck."""
    size = 1000
    host = make(rate_mbit=10, queue_bytes=50000)
    began = time.monotonic()
    came = datagrams(empty_lab, host, 1000, size)
    took = time.monotonic() - began - 0.5  # its wait for more
    there = host.link.check()["there"]
    assert there["queue_full"] == 1000 - len(came) > 0
    assert 49000 < there["max_queue_bytes"] <= 50000
    wire_s = len(came) * (size + 28 + 14) * 8 / 10e6
    print(f"{len(came)} frames in {took:.3f} s; the wire needs {wire_s:.3f} s")
    assert 0.95 * wire_s < took < 1.3 * wire_s + 0.05


def test_carries_200_mbit(empty_lab, make):
    """Far more than any test sends over it."""
    host = make(delay_ms=5, rate_mbit=220, queue_bytes=1 << 20)
    size = 50 << 20
    with empty_lab.client_ns.socket() as listener:
        listener.bind((empty_lab.client, 6001))
        listener.listen(1)
        with host.socket() as sender:
            sender.connect((empty_lab.client, 6001))
            receiver = listener.accept()[0]
            thread = threading.Thread(target=sender.sendall, args=(bytes(size),))
            began, left = time.monotonic(), size
            thread.start()
            while left:
                left -= len(receiver.recv(1 << 20))
            rate = size * 8 / (time.monotonic() - began) / 1e6
            thread.join()
            receiver.close()
    with open(f"/proc/{host.link.process.pid}/stat", encoding="utf-8") as file:
        ticks = sum(map(int, file.read().rsplit(")", 1)[1].split()[11:13]))
    counters = host.link.check()
    print(f"{rate:.0f} Mbit/s, {ticks / 100:.2f} s of CPU in {size * 8 / rate / 1e6:.2f} s; {counters['there']}")
    assert rate > 200
