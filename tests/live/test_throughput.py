# SPDX-License-Identifier: BSD-3-Clause
"""weir's congestion control and loss recovery beside Linux's over the same emulated links with the same seeds: 64 MiB each
way at 20 ms and 1% loss; and how two flows share a bottleneck. All of it runs at the same time, on links of their own."""
import pytest

import links
import streams

MATRIX = "measured"
SIZE = 64 << 20
SOURCE, SINK, ENDLESS = 9100, 9101, 9200
LOSSY = {"delay_ms": 10, "loss": 1}
# 20 Mbit/s, 20 ms, a queue of one bandwidth-delay product.
BOTTLENECK = {"delay_ms": 10, "rate_mbit": (0, 20), "queue_bytes": (0, 50000)}
SHARING_S = 64
SETTLE_S = 4
NO_END = 1 << 30
PAIRS = [("weir", "weir"), ("weir", "Linux"), ("Linux", "Linux")]


def configure(config, lab):
    for name, port in (("source", SOURCE), ("sink", SINK), ("endless", ENDLESS)):
        config["pools"].append({"name": name, "policy": "round-robin",
                                "servers": [{"name": name, "address": f"{lab.brokers[2]}:{port}"}]})
        config["listeners"].append({"name": name, "address": f"{lab.front}:{port}", "mode": "tcp", "pool": name})


def mbit(rate):
    return rate * 8 / 1e6


class Experiments:
    """Streams from and to weir (with the servers behind it), and from and to a Linux host on the clients' network."""

    def __init__(self, lab):
        self._lab, self._hosts = lab, []
        for namespace, address in ((lab.broker_ns, lab.brokers[2]), (lab.client_ns, lab.client)):
            streams.Server(lab, namespace, address, SOURCE, "source", SIZE)
            streams.Server(lab, namespace, address, SINK, "sink", SIZE)
            streams.Server(lab, namespace, address, ENDLESS, "source", NO_END)
        peers = {"weir": lab.front, "Linux": lab.client}
        self.shared = {pair: [streams.Stream(host, peers[peer], ENDLESS, "down", NO_END, seconds=SHARING_S) for peer in pair]
                       for pair, host in [(pair, self._far(**BOTTLENECK, seed=5)) for pair in PAIRS]}
        self.lossy = {(way, peer): streams.Stream(self._far(**LOSSY, seed=11), peers[peer], port, way, SIZE)
                      for way, port in (("down", SOURCE), ("up", SINK)) for peer in peers}

    def _far(self, **link):
        self._hosts.append(links.FarHost(self._lab, f"198.18.0.{50 + len(self._hosts)}/24", **link))
        return self._hosts[-1]

    def check(self):
        for host in self._hosts:
            host.link.check()

    def close(self):
        for host in self._hosts:
            host.close()


@pytest.fixture(scope="module")
def experiments(running_lab):
    them = Experiments(running_lab)
    yield them
    them.close()


def shares_of(flows):
    """(rate of all, part of the first) from when all are under way."""
    for flow in flows:
        flow.wait()
    start = max(flow.seen[0][0] for flow in flows) + SETTLE_S
    end = min(flow.seen[-1][0] for flow in flows)
    sizes = [flow.bytes_between(start, end) for flow in flows]
    return mbit(sum(sizes) / (end - start)), sizes[0] / sum(sizes)


def test_sharing_a_bottleneck(lab, experiments):
    """Two flows of weir share it within 40:60. One of weir and one of Linux: printed, and neither starves."""
    results = {pair: shares_of(flows) for pair, flows in experiments.shared.items()}
    for (one, other), (total, part) in results.items():
        print(f"20 Mbit/s, 20 ms: {one} {part:.0%}, {other} {1 - part:.0%}, together {total:.1f} Mbit/s")
    assert all(total > 17 for total, _ in results.values()), results
    assert 0.4 <= results["weir", "weir"][1] <= 0.6, results
    assert 0.1 <= results["weir", "Linux"][1] <= 0.9, results


def test_one_percent_loss(lab, experiments):
    """At least 80% of what two Linux hosts with CUBIC reach: weir sending, and a Linux host sending to weir."""
    rates = {key: stream.wait() for key, stream in experiments.lossy.items()}
    shares = {way: rates[way, "weir"] / rates[way, "Linux"] for way in ("down", "up")}
    for way, who in (("down", "weir sends"), ("up", "Linux sends to weir")):
        print(f"{SIZE >> 20} MiB, 20 ms, 1% loss: {who} {mbit(rates[way, 'weir']):.2f} Mbit/s, "
              f"Linux to Linux {mbit(rates[way, 'Linux']):.2f}: {shares[way]:.0%}")
    experiments.check()
    assert shares["down"] >= 0.8 and shares["up"] >= 0.8, shares
