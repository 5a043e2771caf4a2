# SPDX-License-Identifier: BSD-3-Clause
"""Linux as the peer, in both roles of weir, over a link that loses and doubles frames, with every combination of timestamps,
SACK and window scaling: every byte arrives, in order, both ways at once, and nothing is held afterwards."""
import hashlib
import itertools
import os

import pytest

import links
import peers

MATRIX = "later"
SIZE = {"quick": 1 << 20, "plain": 2 << 20, "nightly": 16 << 20}
LOSE = DOUBLE = 2  # percent
LONG_SIZE = 512 << 10
LONG = {"delay_ms": 10, "loss": 1, "duplicate": 2, "corrupt": 0.5, "reorder": 2, "reorder_ms": 3}
OPTIONS = ("timestamps", "sack", "window_scaling")
COMBINATIONS = [frozenset(name for name, on in zip(OPTIONS, bits) if on) for bits in itertools.product((True, False), repeat=3)]


def configure(config, lab):
    for name, server, port in (("far", far(lab), 9200), ("near", lab.brokers[2], 9201)):
        config["pools"].append({"name": name, "policy": "round-robin",
                                "servers": [{"name": name, "address": f"{server}:{port}"}]})
        config["listeners"].append({"name": name, "address": f"{lab.front}:{port}", "mode": "tcp", "pool": name})


def far(lab):
    return f"{lab.back_net}.70"


@pytest.fixture(scope="module")
def bulk(running_lab, depth):
    return peers.BulkServer(running_lab, running_lab.brokers[2], 9000, SIZE[depth])


def name_of(options):
    return "+".join(name for name in OPTIONS if name in options) or "none"


def offer(namespace, options):
    namespace.run("sysctl", "-q", "-w", *(f"net.ipv4.tcp_{name}={int(name in options)}" for name in OPTIONS))


@pytest.fixture(params=COMBINATIONS, ids=name_of)
def options(request, running_lab):
    """What the kernels on both sides of weir offer and accept."""
    sides = (running_lab.client_ns, running_lab.broker_ns)
    for namespace in sides:
        offer(namespace, request.param)
    yield request.param
    for namespace in sides:
        offer(namespace, OPTIONS)


def both_ways(sock, server, timeout_s):
    """As many bytes each way as `server` sends, at the same time; all of them compared."""
    payload = os.urandom(server.size)
    server.received_sha.clear()
    with sock:
        received = peers.exchange(sock, payload, server.size, timeout_s)
    assert received == server.sent_sha
    assert server.wait_received(30) == hashlib.sha256(payload).hexdigest()


@pytest.mark.parametrize("role", ["server", "client"])
def test_every_byte(lab, bulk, options, role):
    """`role` is weir's on the link that harms: the clients' one, or the one towards the servers."""
    before = lab.metrics()
    bridge, link = ("front", "front-c") if role == "server" else ("back", "back-b")
    lab.switch_ns.harm(link, lab.weir_link(bridge), LOSE, DOUBLE)
    try:
        sock = lab.connect(9000)
        assert peers.tcp_options(sock) == options
        both_ways(sock, bulk, 120)
        assert bulk.agreed[-1] == options
        harmed = lab.switch_ns.harmed()
    finally:
        lab.switch_ns.heal()
    assert harmed["lost"] > 10 and harmed["doubled"] > 10, harmed
    assert lab.metrics().get("weir_tcp_retransmits_total") > before.get("weir_tcp_retransmits_total")
    lab.wait_quiet(before)


@pytest.mark.parametrize("role", ["server", "client"])
@pytest.mark.parametrize("offered", [OPTIONS, ()], ids=["all", "none"])
def test_long_and_bad(lab, role, offered):
    """20 ms away, over a link that loses, doubles, corrupts and reorders."""
    before = lab.metrics()
    host = links.FarHost(lab, "198.18.0.70/24" if role == "server" else f"{far(lab)}/24",
                         "front" if role == "server" or lab.variant.one_arm else "back", seed=3, **LONG)
    try:
        offer(host.ns, offered)
        client, server_ns = (host, lab.broker_ns) if role == "server" else (lab.client_ns, host.ns)
        address, port = (lab.brokers[2], 9201) if role == "server" else (far(lab), 9200)
        server = peers.BulkServer(lab, address, port, LONG_SIZE, server_ns)
        sock = client.socket()
        sock.settimeout(30)
        sock.connect((lab.front, port))
        both_ways(sock, server, 120)
        server.close()
        lab.wait_quiet(before)
        counters = host.link.check()
    finally:
        host.close()
    assert all(counters["there"][what] and counters["back"][what] for what in ("lost", "duplicated", "reordered")), counters
