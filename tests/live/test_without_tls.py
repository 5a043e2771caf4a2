# SPDX-License-Identifier: BSD-3-Clause
"""A configuration with no TLS anywhere: no context, no engine, no keys; the rest works as ever."""
import clients
import peers

MATRIX = "one"


def configure(config, lab):
    del config["tls"]
    config["listeners"] = [listener for listener in config["listeners"] if "tls" not in listener]


def prepare(lab):
    lab.sink = peers.Sink(lab, lab.brokers[0], 1883)
    lab.other = peers.Sink(lab, lab.brokers[1], 1883)


def test_clients_are_served(lab):
    with clients.open_mqtt(lab, "plain") as sock:
        clients.ping(sock)


def test_it_says_that_there_is_none(lab):
    metrics = lab.metrics()
    assert metrics.get("weir_tls_records_opened_total") == 0
    assert metrics.get("weir_tls_connections") == 0
    assert lab.weirctl("stats", "tls")


def test_it_ends_when_told(running_lab):
    with clients.open_mqtt(running_lab, "last") as sock:
        clients.ping(sock)
    running_lab.weir.stop()
