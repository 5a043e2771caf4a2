# SPDX-License-Identifier: BSD-3-Clause
"""Captures of real sessions, spoiled in every way we know of and replayed at weir from both sides: it lives, counts them under
many reasons, holds nothing afterwards, and serves those who behave before, during and after."""
import os
import shutil
import socket
import threading

import pytest

import clients
import frames
import garbage
import lab as laboratory
import peers

MATRIX = "later"
COUNT = {"quick": 4000, "plain": 20000, "nightly": 400000}
SEED = 77
SIZE = 200_000
REASONS = 20  # kinds of drops that such a capture must at least run into


def prepare(lab):
    peers.two_mosquittos(lab)
    lab.bulk = peers.BulkServer(lab, lab.brokers[2], 9000, SIZE)
    lab.udp = peers.UdpEcho(lab, lab.brokers[2], 5353)


def session(lab):
    """Something of everything: MQTT, TLS, bulk both ways, UDP, ping, a refused and a reset connection."""
    with clients.open_mqtt(lab, "recorded") as sock:
        clients.ping(sock)
    clients.leave(clients.open_mqtt(lab, "recorded-tls", 8883, tls=True))
    with lab.connect(9000) as sock:
        peers.exchange(sock, os.urandom(SIZE), SIZE, 60)
    with lab.client_ns.socket(kind=socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect((lab.front, 5353))
        sock.send(b"datagram")
        sock.recv(100)
    lab.client_ns.run("ping", "-c", "2", "-i", "0.1", "-W", "5", lab.front)
    with pytest.raises(ConnectionRefusedError):
        lab.connect(4444)
    sock = lab.connect(7)
    sock.sendall(b"echo")
    sock.recv(4)
    peers.reset(sock)


@pytest.fixture(scope="module")
def recorded(running_lab):
    """{side: frames that went to weir there}; with the sessions that are still open when the garbage comes."""
    lab = running_lab
    wire = frames.Wire(lab)
    with garbage.Recorder(lab.client_ns) as front, garbage.Recorder(lab.broker_ns) as back:
        session(lab)
        victim = clients.open_mqtt(lab, "victim")
        clients.ping(victim)
    wire.close()
    back_mac = next(frame[6:12] for frame in back.frames if frame[12:14] == b"\x08\x00" and
                    socket.inet_ntoa(frame[26:30]) == lab.back)
    yield {"clients": garbage.sent_to(front.frames, wire.weir_mac), "servers": garbage.sent_to(back.frames, back_mac)}
    victim.close()


def total_drops(metrics):
    return {(layer, reason): n for layer in ("net", "tcp", "tls", "mqtt") for reason, n in metrics.drops(layer).items()}


@pytest.mark.parametrize("side", ["clients", "servers"])
def test_garbage(lab, depth, recorded, side):
    """The path of the pcap file is printed where the test fails; the same seed spoils a recording the same way."""
    baseline = lab.metrics()
    path = os.path.join(lab.folder, f"garbage-{lab.variant.kind}-{side}-{SEED}.pcap")
    spoiled = garbage.spoil(recorded[side], COUNT[depth], SEED)
    garbage.write_pcap(path, spoiled)
    try:
        with clients.open_mqtt(lab, f"witness-{side}", 8883, tls=True) as witness:
            sender = threading.Thread(target=garbage.replay,
                                      args=(path, lab.client_ns if side == "clients" else lab.broker_ns))
            sender.start()
            while sender.is_alive():
                clients.ping(witness)
                sender.join(0.05)
            clients.ping(witness)
        lab.weir.check()
        moved = {reason for reason, n in total_drops(lab.metrics()).items() if n > total_drops(baseline).get(reason, 0)}
        print(f"{len(spoiled)} frames, {len(moved)} reasons: {sorted(moved)}")
        assert len(moved) >= REASONS, moved
        lab.wait_quiet(baseline, 120)
        clients.leave(clients.open_mqtt(lab, f"next-{side}"))
        clients.leave(clients.open_mqtt(lab, f"next-tls-{side}", 8883, tls=True))
    except BaseException:
        kept = os.path.join(laboratory.ROOT, "build", "test-logs", os.path.basename(path))
        os.makedirs(os.path.dirname(kept), exist_ok=True)
        print(f"the garbage: {shutil.copy(path, kept)}")
        raise
