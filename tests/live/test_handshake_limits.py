# SPDX-License-Identifier: BSD-3-Clause
"""Clients that open a connection and send nothing, or half a ClientHello: they hold no SSL object, do not slow the others
and are closed in time. Clients that send a whole one and nothing more lose their SSL object to others. Clients beyond their
address's share are reset."""
import pytest

import clients
import hellos
import peers
from crowd import Crowd
from lab import wait_for

MATRIX = "once"
SHARE = 3
PLACES = 100       # SSL objects at once
STALLED = 2000     # clients that would each keep one
HANDSHAKE_S = 10
BEHAVED = 20       # others that connect before, meanwhile and afterwards
SLOWER = 3         # at most so many times, meanwhile, by the median


def configure(config, lab):
    config["timeouts"]["handshake_s"] = HANDSHAKE_S
    config["limits"] = {"handshakes_per_source": SHARE, "handshakes": PLACES}


def prepare(lab):
    peers.two_mosquittos(lab)


@pytest.fixture
def count(depth):
    return {"quick": 1000, "plain": 10000, "nightly": 10000}[depth]


@pytest.mark.parametrize("half", [False, True], ids=["nothing", "half a ClientHello"])
def test_silent_clients(lab, count, half):
    data = hellos.hello(lab)
    data = data[:len(data) // 2] if half else b""
    alone = [clients.median_s(lab, "before", BEHAVED)]
    before = lab.metrics()
    silent = Crowd(lab, f"silent-{len(data)}", "silent_clients.py", "8883", str(count), data.hex())
    wait_for(f"{count} connections", lambda: silent.says(f"open {count}"), 120)
    held = lab.metrics()
    assert held.get("weir_tls_ssl_objects") == 0
    assert held.get("weir_tls_handshakes_started_total") == before.get("weir_tls_handshakes_started_total")
    meanwhile = clients.median_s(lab, "meanwhile", BEHAVED)
    wait_for("their end", lambda: silent.says(f"closed {count}"), HANDSHAKE_S + 60)
    after = lab.metrics()
    assert after.closed("mqtts").get("handshake_timeout", 0) - before.closed("mqtts").get("handshake_timeout", 0) == count
    assert after.get("weir_tls_handshakes_done_total") - before.get("weir_tls_handshakes_done_total") == BEHAVED
    alone.append(clients.median_s(lab, "after", BEHAVED))
    print(f"{count} silent clients: others take {meanwhile * 1000:.1f} ms, alone {alone[0] * 1000:.1f} and {alone[1] * 1000:.1f}")
    assert meanwhile < SLOWER * max(alone), (meanwhile, alone)


def test_more_than_its_share_is_reset(lab):
    before = lab.metrics().drops("tls").get("hs_source_limit", 0)
    under_way = [hellos.begin(lab) for _ in range(SHARE)]
    with lab.connect(8883) as sock:
        sock.sendall(hellos.hello(lab))
        with pytest.raises(ConnectionResetError):
            sock.recv(100)
    now = lab.metrics()
    assert now.drops("tls")["hs_source_limit"] == before + 1
    assert now.closed("mqtts")["handshake_refused"] >= 1
    assert now.get("weir_tls_ssl_objects") == SHARE
    assert "handshakes_refused_total" in lab.weirctl("stats", "tls")
    under_way.pop().close()  # and there is room for one
    wait_for("a handshake to be let go", lambda: lab.metrics().get("weir_tls_ssl_objects") == SHARE - 1)
    clients.leave(clients.open_mqtt(lab, "in its place", 8883, tls=True))
    for sock in under_way:
        sock.close()
    lab.wait_metric("weir_tls_ssl_objects", lambda value: value == 0)
    assert lab.metrics().get("weir_tls_handshakes_wasted_total") >= SHARE
