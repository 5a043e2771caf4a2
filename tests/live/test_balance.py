# SPDX-License-Identifier: BSD-3-Clause
"""Which broker a client reaches: the same one every time, another one only when its own is gone."""
import clients
import peers
from lab import wait_for

MATRIX = "all"
NAMES = ["b1", "b2", "b3"]
RECONNECTS = 1000


def configure(config, lab):
    servers = [{"name": name, "address": f"{lab.brokers[number]}:1883"} for number, name in enumerate(NAMES)]
    for pool in config["pools"]:
        if pool["name"] in ("brokers", "turns"):
            pool["servers"] = servers
    config["pools"].append({"name": "least", "policy": "least-connections", "servers": servers})
    config["listeners"].append({"name": "mqtt-least", "address": f"{lab.front}:1886", "mode": "mqtt", "pool": "least"})


def prepare(lab):
    lab.sinks = {name: peers.Sink(lab, lab.brokers[number]) for number, name in enumerate(NAMES)}


def arrivals(lab):
    """{server: how many CONNECTs}, of clients of these tests alone (weir's own probes come, too)."""
    return {name: sum(1 for one in sink.seen if one.startswith("t-")) for name, sink in lab.sinks.items()}


def broker_of(lab, client_id, port=1883, tls=False):
    """Connect once and look where it came out."""
    before = {name: sink.seen.count(client_id) for name, sink in lab.sinks.items()}
    clients.leave(clients.open_mqtt(lab, client_id, port, tls))
    reached = [name for name, sink in lab.sinks.items() if sink.seen.count(client_id) > before[name]]
    assert len(reached) == 1, f"{client_id} reached {reached}"
    return reached[0]


def places(lab, prefix, count):
    return {f"t-{prefix}-{number}": broker_of(lab, f"t-{prefix}-{number}") for number in range(count)}


def test_thousand_reconnects(lab):
    home = broker_of(lab, "t-faithful")
    start = arrivals(lab)
    for number in range(RECONNECTS):
        clients.leave(clients.open_mqtt(lab, "t-faithful", 8883 if number % 50 == 0 else 1883, number % 50 == 0))
    wait_for("all arrivals", lambda: sum(arrivals(lab).values()) - sum(start.values()) >= RECONNECTS)
    grown = {name: count - start[name] for name, count in arrivals(lab).items()}
    assert grown == {name: RECONNECTS if name == home else 0 for name in NAMES}


def test_all_brokers_get_their_share(lab):
    counts = list(places(lab, "spread", 150).values())
    shares = {name: counts.count(name) for name in NAMES}
    assert all(share >= 20 for share in shares.values()), shares


def test_same_broker_after_restart(lab):
    before = places(lab, "restart", 60)
    lab.restart()
    assert places(lab, "restart", 60) == before


def test_only_the_clients_of_a_stopped_broker_move(lab):
    before = places(lab, "stop", 60)
    lab.sinks["b2"].close()
    try:
        during = places(lab, "stop", 60)
        moved = {client_id for client_id in before if during[client_id] != before[client_id]}
        assert moved == {client_id for client_id in before if before[client_id] == "b2"}
        lab.wait_metric("weir_server_up", lambda value: value == 0, pool="brokers", server="b2")
    finally:
        seen = lab.sinks["b2"].seen
        lab.sinks["b2"] = peers.Sink(lab, lab.brokers[1])
        lab.sinks["b2"].seen.extend(seen)
    lab.wait_metric("weir_server_up", lambda value: value == 1, 60, pool="brokers", server="b2")
    wait_for("every worker to see b2 up", lambda: places(lab, "stop", 60) == before, 60)


def spread_of_held(lab, port, count):
    """How `count` connections held open at once lie on the brokers."""
    start = arrivals(lab)
    socks = [clients.open_mqtt(lab, f"t-held-{port}-{number}", port) for number in range(count)]
    grown = {name: seen - start[name] for name, seen in arrivals(lab).items()}
    for sock in socks:
        clients.leave(sock)
    assert sum(grown.values()) == count
    return grown


def test_round_robin(lab):
    lab.wait_servers_up(timeout_s=60)
    grown = spread_of_held(lab, 1884, 30)
    assert max(grown.values()) - min(grown.values()) <= lab.variant.workers, grown


def test_least_connections(lab):
    lab.wait_servers_up(timeout_s=60)
    grown = spread_of_held(lab, 1886, 30)
    assert max(grown.values()) - min(grown.values()) <= lab.variant.workers, grown
