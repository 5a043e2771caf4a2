# SPDX-License-Identifier: BSD-3-Clause
"""Thousands of idle MQTT connections over TLS: what one costs, and that none of them holds a buffer."""

import pytest

import metrics
import peers
from crowd import Crowd
from lab import wait_for

MATRIX = "all"
BUDGET_BYTES = 1024  # a proxied TLS MQTT connection: both flows, TLS state, session, table entries, timers
PROCESSES = 3
POOLS = {"flow", "tls", "session", "table", "timer"}


def prepare(lab):
    peers.two_mosquittos(lab)


@pytest.fixture
def count(depth):
    return {"quick": 900, "plain": 9000, "nightly": 9000}[depth]


def test_idle_connections(lab, count):
    baseline = lab.metrics()
    each = count // PROCESSES
    holders = [Crowd(lab, f"idle-{number}", "idle_clients.py", "8883", lab.certs.ca, f"idle{number}", str(each))
               for number in range(PROCESSES)]
    for holder in holders:
        wait_for(f"{each} connections", lambda holder=holder: holder.says(f"open {each}"), 300, 0.5)

    now = lab.metrics()
    assert now.get("weir_sessions") == count
    assert now.get("weir_listener_open", listener="mqtts") == count

    per_connection = now.by("weir_memory_bytes_per_connection", "pool")
    print(f"bytes per connection: {per_connection}, sum {sum(per_connection.values()):.0f}")
    assert POOLS <= set(per_connection), per_connection
    assert 0 < sum(per_connection.values()) <= BUDGET_BYTES, per_connection
    stats = lab.weirctl("stats")
    assert "connection" in stats

    # Quiet links: only the devices' own rings hold mbufs, as they did before the first connection.
    before = baseline.get("weir_mbufs_in_use")
    lab.wait_metric("weir_mbufs_in_use", lambda value: value <= before + metrics.SLACK["mbufs"], 30)
    lab.wait_metric("weir_tls_ssl_objects", lambda value: value == 0, 30)

    for holder in holders:
        holder.ask("ping")
    for holder in holders:
        wait_for("all answers", lambda holder=holder: holder.says(f"answered {each}"), 120, 0.5)
    assert lab.metrics().get("weir_sessions") == count
    for holder in holders:
        holder.ask("end")
        assert holder.process.wait(120) == 0
    lab.wait_quiet(baseline, 120)
