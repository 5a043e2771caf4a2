# SPDX-License-Identifier: BSD-3-Clause
"""Many clients that send a ClientHello and then nothing: each would keep an SSL object until handshake_s. They lose it to
those who go on, who hardly notice."""
import clients
import hellos
import peers
from crowd import Crowd
from lab import wait_for

MATRIX = "once"
PLACES = 100       # SSL objects at once, a worker
STALLED = 2000
HANDSHAKE_S = 20
BEHAVED = 10       # others that connect before, meanwhile and afterwards
# At most so many times, meanwhile, by the median: until somebody has been silent for some milliseconds, and not until
# HANDSHAKE_S have passed, which is thousands of times as long as they take alone.
SLOWER = 100
ELSEWHERE = "198.18.0.5"  # the crowd comes from .2


def configure(config, lab):
    config["timeouts"]["handshake_s"] = HANDSHAKE_S
    config["limits"] = {"handshakes": PLACES}


def prepare(lab):
    peers.two_mosquittos(lab)


def test_hellos_without_an_end(lab):
    alone = [clients.median_s(lab, "before", BEHAVED, source=ELSEWHERE)]
    before = lab.metrics()
    crowd = Crowd(lab, "stalled", "silent_clients.py", "8883", str(STALLED), hellos.hello(lab).hex())
    wait_for(f"{STALLED} connections", lambda: crowd.says(f"open {STALLED}"), 120)
    meanwhile = clients.median_s(lab, "meanwhile", BEHAVED, source=ELSEWHERE)
    now = lab.metrics()
    assert now.get("weir_tls_handshakes_answered") <= PLACES
    stalled = now.drops("tls")["hs_stalled"] - before.drops("tls").get("hs_stalled", 0)
    assert stalled > PLACES, "the places have changed hands"
    wait_for("their end", lambda: crowd.says(f"closed {STALLED}"), HANDSHAKE_S + 60)
    after = lab.metrics()
    assert after.get("weir_tls_handshakes_done_total") - before.get("weir_tls_handshakes_done_total") == BEHAVED
    lab.wait_metric("weir_tls_ssl_objects", lambda value: value == 0)
    alone.append(clients.median_s(lab, "after", BEHAVED, source=ELSEWHERE))
    print(f"{STALLED} clients that stall: others take {meanwhile * 1000:.1f} ms, alone {alone[0] * 1000:.1f} and {alone[1] * 1000:.1f}")
    assert meanwhile < SLOWER * max(alone), (meanwhile, alone)
