# SPDX-License-Identifier: BSD-3-Clause
"""Many clients that send a ClientHello and then nothing: each would keep an SSL object until handshake_s. They lose it to
those who go on, who hardly notice."""
import time

import clients
import hellos
import peers
from crowd import Crowd
from lab import wait_for

MATRIX = "one"
PLACES = 100       # SSL objects at once, a worker
STALLED = 2000
HANDSHAKE_S = 20
BEHAVED = 10
BEHAVED_S = 5.0    # each at most: the crowd's own handshakes are over by then on however slow a machine
ELSEWHERE = "198.18.0.5"  # the crowd comes from .2


def configure(config, lab):
    config["timeouts"]["handshake_s"] = HANDSHAKE_S
    config["limits"] = {"handshakes": PLACES}


def prepare(lab):
    peers.two_mosquittos(lab)


def test_hellos_without_an_end(lab):
    before = lab.metrics()
    crowd = Crowd(lab, "stalled", "silent_clients.py", "8883", str(STALLED), hellos.hello(lab).hex())
    wait_for(f"{STALLED} connections", lambda: crowd.says(f"open {STALLED}"), 120)
    took = []
    for number in range(BEHAVED):
        begin = time.monotonic()
        with clients.open_mqtt(lab, f"behaved-{number}", 8883, tls=True, source=ELSEWHERE) as sock:
            clients.ping(sock)
        took.append(time.monotonic() - begin)
    now = lab.metrics()
    assert max(took) < BEHAVED_S, took
    assert now.get("weir_tls_handshakes_answered") <= PLACES
    stalled = now.drops("tls")["hs_stalled"] - before.drops("tls").get("hs_stalled", 0)
    assert stalled > PLACES, "the places have changed hands"
    wait_for("their end", lambda: crowd.says(f"closed {STALLED}"), HANDSHAKE_S + 60)
    after = lab.metrics()
    assert after.get("weir_tls_handshakes_done_total") - before.get("weir_tls_handshakes_done_total") == BEHAVED
    lab.wait_metric("weir_tls_ssl_objects", lambda value: value == 0)
