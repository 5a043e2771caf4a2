# SPDX-License-Identifier: BSD-3-Clause
"""weir's congestion control and loss recovery beside Linux's over the same emulated links with the same seeds: 20 ms and 1%
loss, each way; and how two flows share a bottleneck.

The size is for a test that a change must pass; 64 MiB each way:

    scripts/test --nightly --only live -k throughput"""
import pytest

import links
import streams

MATRIX = "one"
SIZE = {"quick": 2 << 20, "plain": 16 << 20, "nightly": 64 << 20}
SOURCE, SINK = 9100, 9101
LOSSY = {"delay_ms": 10, "loss": 1}
# 20 Mbit/s, 20 ms, a queue of one bandwidth-delay product.
BOTTLENECK = {"delay_ms": 10, "rate_mbit": (0, 20), "queue_bytes": (0, 50000)}
SHARING_S, SETTLE_S = 24, 4
ENDLESS = 1 << 30


def configure(config, lab):
    for name, port in (("source", SOURCE), ("sink", SINK), ("endless", SOURCE + 100)):
        config["pools"].append({"name": name, "policy": "round-robin",
                                "servers": [{"name": name, "address": f"{lab.brokers[2]}:{port}"}]})
        config["listeners"].append({"name": name, "address": f"{lab.front}:{port}", "mode": "tcp", "pool": name})


@pytest.fixture(scope="module")
def size(depth):
    return SIZE[depth]


@pytest.fixture(scope="module")
def servers(running_lab, size):
    """The same servers behind weir, and as Linux hosts on the clients' network."""
    lab = running_lab
    for namespace, address in ((lab.broker_ns, lab.brokers[2]), (lab.client_ns, lab.client)):
        streams.Server(lab, namespace, address, SOURCE, "source", size)
        streams.Server(lab, namespace, address, SINK, "sink", size)
        streams.Server(lab, namespace, address, SOURCE + 100, "source", ENDLESS)
    return lab


@pytest.fixture
def far(running_lab):
    hosts = []

    def make(**link):
        hosts.append(links.FarHost(running_lab, f"198.18.0.{50 + len(hosts)}/24", **link))
        return hosts[-1]

    yield make
    for host in hosts:
        host.link.check()
        host.close()


def mbit(rate):
    return rate * 8 / 1e6


def test_one_percent_loss(lab, servers, far, size):
    """At least 80% of what two Linux hosts with CUBIC reach: weir sending, and a Linux host sending to weir."""
    ports = {"down": SOURCE, "up": SINK}
    transfers = {}
    for way, port in ports.items():
        for peer, address in (("linux", lab.client), ("weir", lab.front)):
            host = far(**LOSSY, seed=11)
            transfers[peer, way] = streams.Stream(host, address, port, way, size)
    rates = {key: transfer.wait() for key, transfer in transfers.items()}
    shares = {way: rates["weir", way] / rates["linux", way] for way in ports}
    for way, sender in (("down", "weir"), ("up", "Linux towards weir")):
        print(f"{size >> 20} MiB, 20 ms, 1% loss: {sender} sends {mbit(rates['weir', way]):.2f} Mbit/s, "
              f"Linux to Linux {mbit(rates['linux', way]):.2f}: {shares[way]:.0%}")
    assert shares["down"] >= 0.8 and shares["up"] >= 0.8, shares


def shares_of(flows):
    """Parts of the bottleneck, once both are under way."""
    start = max(flow.seen[0][0] for flow in flows) + SETTLE_S
    end = min(flow.seen[-1][0] for flow in flows)
    sizes = [flow.bytes_between(start, end) for flow in flows]
    print(f"{[f'{mbit(part / (end - start)):.2f} Mbit/s' for part in sizes]} over {end - start:.1f} s")
    return [part / sum(sizes) for part in sizes], mbit(sum(sizes) / (end - start))


def sharing(lab, far, addresses):
    host = far(**BOTTLENECK, seed=5)
    flows = [streams.Stream(host, address, SOURCE + 100, "down", ENDLESS, seconds=SHARING_S) for address in addresses]
    return host, flows


def test_sharing_a_bottleneck(lab, servers, far):
    """Two flows of weir share it within 40:60. One of weir and one of Linux: printed, and neither starves."""
    setups = {"weir and weir": sharing(lab, far, [lab.front] * 2),
              "weir and Linux": sharing(lab, far, [lab.front, lab.client]),
              "Linux and Linux": sharing(lab, far, [lab.client] * 2)}
    results = {}
    for name, (_, flows) in setups.items():
        for flow in flows:
            flow.wait()
        print(name, end=": ")
        results[name] = shares_of(flows)
    for name, (parts, total) in results.items():
        assert total > 17, f"{name}: the bottleneck of 20 Mbit/s carried {total:.1f}"
    assert 0.4 <= results["weir and weir"][0][0] <= 0.6, results
    assert 0.1 <= results["weir and Linux"][0][0] <= 0.9, results
