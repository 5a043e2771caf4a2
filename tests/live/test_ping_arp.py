# SPDX-License-Identifier: BSD-3-Clause
"""Below TCP: ARP, ICMP echo, unreachables, as the kernel's stack sees them."""
import re
import socket

import pytest

from lab import wait_for

MATRIX = "all"


def neighbour(lab):
    listing = lab.client_ns.ip("neigh", "show", "to", lab.front).stdout
    found = re.search(r"lladdr (\S+) (\S+)", listing)
    return found and found[1]


def test_arp_answers(lab):
    lab.client_ns.ip("neigh", "flush", "dev", "eth0")
    lab.client_ns.run("ping", "-c", "1", "-W", "5", lab.front)
    first = neighbour(lab)
    assert first, "no neighbour entry after a ping"
    lab.client_ns.ip("neigh", "flush", "dev", "eth0")
    lab.client_ns.run("ping", "-c", "1", "-W", "5", lab.front)
    assert neighbour(lab) == first


def test_arp_is_silent_for_others(lab):
    done = lab.client_ns.run("ping", "-c", "1", "-W", "1", "198.18.0.77", check=False)
    assert done.returncode != 0
    assert "lladdr" not in lab.client_ns.ip("neigh", "show", "to", "198.18.0.77").stdout


@pytest.mark.parametrize("size", [0, 18, 56, 1000, 1472])
def test_ping(lab, size):
    done = lab.client_ns.run("ping", "-q", "-c", "30", "-i", "0.02", "-W", "5", "-M", "do", "-s", str(size), lab.front,
                             check=False)
    assert " 0% packet loss" in done.stdout, done.stdout


def test_ping_from_the_brokers_side(lab):
    done = lab.broker_ns.run("ping", "-q", "-c", "10", "-i", "0.02", "-W", "5", lab.back, check=False)
    assert " 0% packet loss" in done.stdout, done.stdout


def test_closed_udp_port_is_unreachable(lab):
    with lab.client_ns.socket(kind=socket.SOCK_DGRAM) as sock:
        sock.connect((lab.front, 4444))
        sock.settimeout(0.3)

        def refused():
            try:
                sock.send(b"anybody?")
                sock.recv(100)
            except ConnectionRefusedError:
                return True
            except TimeoutError:
                pass  # rate-limited: ask again
            return False

        wait_for("port unreachable", refused, interval_s=0)


def test_closed_tcp_port_refuses(lab):
    with pytest.raises(ConnectionRefusedError):
        lab.connect(4444)


def test_port_counters_grow(lab):
    before = lab.metrics()
    lab.client_ns.run("ping", "-q", "-c", "10", "-i", "0.02", "-W", "5", lab.front)
    for name in ("rx_packets", "tx_packets", "rx_bytes", "tx_bytes"):
        full = f"weir_port_{name}_total"
        lab.wait_metric(full, lambda value, full=full: value >= before.get(full, port="front") + 10, port="front")
