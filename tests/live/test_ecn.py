# SPDX-License-Identifier: BSD-3-Clause
"""Explicit congestion notification (RFC 3168) with Linux as the peer, in both roles of weir, over a link that loses nothing and
marks instead: whoever sends hears of it and slows down, and nothing has to be sent again."""
import collections
import hashlib
import os

import pytest

import links
import peers

MATRIX = "later"
SIZE = {"quick": 1 << 20, "plain": 4 << 20, "nightly": 16 << 20}
LINK = {"delay_ms": 5, "mark": 1, "seed": 4}
COUNTERS = ("ecn_ce_in", "ecn_ece_in", "ecn_reductions", "retransmits", "tlp_probes")

# The marking link lies before the listener (weir serves the far host) or behind the pool (weir connects to it).
Case = collections.namedtuple("Case", "role port listener_ecn pool_ecn")
CASES = [Case("server", 9200, "on", "off"), Case("server", 9201, "off", "on"),
         Case("client", 9202, "off", "on"), Case("client", 9203, "on", "off")]


def name_of(case):
    return f"{case.role}, ecn {ecn_of(case)}"


def ecn_of(case):
    """The switch of weir's side of the marking link."""
    return case.listener_ecn if case.role == "server" else case.pool_ecn


def far(lab, case):
    return "198.18.0.70" if case.role == "server" else f"{lab.back_net}.71"


def configure(config, lab):
    for case in CASES:
        server = lab.brokers[2] if case.role == "server" else far(lab, case)
        name = f"{case.role}-{ecn_of(case)}"
        config["pools"].append({"name": name, "policy": "round-robin", "ecn": case.pool_ecn,
                                "servers": [{"name": name, "address": f"{server}:{case.port}"}]})
        config["listeners"].append({"name": name, "address": f"{lab.front}:{case.port}", "mode": "tcp", "pool": name,
                                    "ecn": case.listener_ecn})


def transfer(lab, case, size):
    """`size` bytes each way at once, all of them compared; the link's counters and by how much weir's rose."""
    before = lab.metrics()
    bridge = "front" if case.role == "server" or lab.variant.one_arm else "back"
    host = links.FarHost(lab, f"{far(lab, case)}/24", bridge, **LINK)
    try:
        host.ns.run("sysctl", "-q", "-w", "net.ipv4.tcp_ecn=1")  # asks for it as a client, agrees to it as a server
        if case.role == "server":
            server, client = peers.BulkServer(lab, lab.brokers[2], case.port, size), host
        else:
            server, client = peers.BulkServer(lab, far(lab, case), case.port, size, host.ns), lab.client_ns
        payload = os.urandom(size)
        with client.socket() as sock:
            sock.settimeout(30)
            sock.connect((lab.front, case.port))
            assert peers.exchange(sock, payload, size, 120) == server.sent_sha
        assert server.wait_received(30) == hashlib.sha256(payload).hexdigest()
        server.close()
        lab.wait_quiet(before)
        counters = host.link.check()
    finally:
        host.close()
    after = lab.metrics()
    rose = {name: after.get(f"weir_tcp_{name}_total") - before.get(f"weir_tcp_{name}_total") for name in COUNTERS}
    print(f"{name_of(case)}: {rose}, to weir {counters['there']}, from weir {counters['back']}")
    assert all(counters[way][what] == 0 for way in counters for what in ("lost", "queue_full")), counters
    # A probe goes out where nothing was heard for two round trips, which a busy machine can bring about without a loss.
    assert rose["retransmits"] <= rose["tlp_probes"], rose
    return counters, rose


@pytest.mark.parametrize("case", [case for case in CASES if ecn_of(case) == "on"], ids=name_of)
def test_marks_are_heard(lab, depth, case):
    counters, rose = transfer(lab, case, SIZE[depth])
    segments = SIZE[depth] // 1448
    assert all(counters[way]["ect"] >= 0.95 * segments for way in counters), "what carries data says so"
    assert all(counters[way]["marked"] > 0.002 * segments for way in counters), counters
    assert rose["ecn_ce_in"] == counters["there"]["marked"], "each mark arrives"
    # Linux says ECE until it hears CWR; once in a window is reacted to.
    assert 0 < rose["ecn_reductions"] <= counters["back"]["marked"]
    assert rose["ecn_ece_in"] >= rose["ecn_reductions"]


@pytest.mark.parametrize("case", [case for case in CASES if ecn_of(case) == "off"], ids=name_of)
def test_off_is_off(lab, depth, case):
    """Linux would like to, weir does not: neither side's packets are ECN-capable, and nothing is marked."""
    counters, rose = transfer(lab, case, SIZE["quick"])
    assert all(counters[way][what] == 0 for way in counters for what in ("ect", "marked")), counters
    assert all(rose[name] == 0 for name in COUNTERS if name.startswith("ecn_")), rose
