# SPDX-License-Identifier: BSD-3-Clause
"""What is compared: each scenario is a load for weir-load and the figures taken from its answer."""
import collections

# figure: (unit, what it is, is more better)
Figure = collections.namedtuple("Figure", "unit text more_is_better")
FIGURES = {
    "connects_per_s": Figure("1/s", "TLS handshakes with CONNECT a second", True),
    "connect_p50": Figure("us", "SYN to CONNACK, median", False),
    "connect_p99": Figure("us", "SYN to CONNACK, p99", False),
    "messages_per_s": Figure("1/s", "messages a second", True),
    "bytes_per_s": Figure("MB/s", "payload a second", True),
    "latency_p50": Figure("us", "latency, median", False),
    "latency_p99": Figure("us", "latency, p99", False),
    "latency_p999": Figure("us", "latency, p99.9", False),
    "cpu_per_message": Figure("us", "CPU a message", False),
    "cpu_per_connect": Figure("us", "CPU a connection", False),
    "cpu_per_mb": Figure("us", "CPU a megabyte", False),
    "bytes_per_connection": Figure("B", "memory an idle TLS connection", False),
    "connections_per_gb": Figure("1/GB", "idle TLS connections a GB", True),
    "memory_at_start": Figure("MB", "memory before the first connection", False),
    "memory_held": Figure("MB", "memory with all connections", False),
}

CONNECTS = ("connects_per_s", "connect_p50", "connect_p99", "cpu_per_connect")
ROUND_TRIPS = ("messages_per_s", "latency_p50", "latency_p99", "latency_p999", "cpu_per_message")
MESSAGES = ("messages_per_s", "cpu_per_message")
BULK = ("bytes_per_s", "cpu_per_mb")
MEMORY = ("bytes_per_connection", "connections_per_gb", "memory_at_start", "memory_held")


class Scenario(collections.namedtuple("Scenario", "name title certificate load figures own_receive")):
    """load: arguments of weir-load; None stands for the common rate. figures: names, the first is what it is about.
    own_receive: the balancer's receive work is put on its own CPU (cpus.py)."""

    @property
    def weir_alone(self):
        return self.name.startswith("idle-")

    @property
    def connections(self):
        return self.load[self.load.index("--connections") + 1]

    @property
    def is_memory(self):
        return self.figures is MEMORY

    @property
    def needs_rate(self):
        return None in self.load


COMMON_RATE_OF = "qos1-1000"  # a common rate is a share of what the slowest did here
COMMON_SHARE = 0.7

CAPACITY = 8000  # connections that all are set up for; open files end near 20,000 on many machines, and each takes two


def _handshakes(name, title, certificate, *more):
    return Scenario(name, f"{title} + CONNECT", certificate,
                    ("--traffic", "churn", "--connections", 200, "--connect-window", 32, *more), CONNECTS, False)


def _messages(name, title, traffic, connections, size, figures, *more, own=False):
    return Scenario(name, f"{title}, {size:,} B, {connections:,} connections", "ecdsa",
                    ("--traffic", traffic, "--connections", connections, "--size", size, *more), figures, own)


def _round_trips(name, connections, title="QoS 1 round trips, closed loop", own=False):
    return _messages(name, title, "qos1", connections, 64, ROUND_TRIPS, "--window", 1, own=own)


def _idle(name, connections):
    return Scenario(name, f"{connections:,} idle TLS connections", "ecdsa",
                    ("--traffic", "idle", "--connections", connections), MEMORY, False)


def scenarios(quick):
    """All there are, in the order in which they run."""
    return [
        _handshakes("handshakes-ecdsa", "full handshakes, ECDSA P-256", "ecdsa"),
        _handshakes("handshakes-rsa", "full handshakes, RSA-2048", "rsa"),
        _handshakes("resumed", "resumed handshakes", "ecdsa", "--resume"),
        _round_trips("qos1-50", 50),
        _round_trips("qos1-50-own", 50, "the same with receive work on the balancer's CPU", own=True),
        _round_trips(COMMON_RATE_OF, 1000),
        _messages("qos1-common", "QoS 1 round trips, one rate for all", "qos1", 1000, 64, ROUND_TRIPS, "--rate", None),
        _messages("qos0-common", "QoS 0 one way, one rate for all", "qos0", 1000, 64, ROUND_TRIPS, "--rate", None),
        _messages("qos0-64", "QoS 0 as fast as it goes, a record each", "qos0", 100, 64, MESSAGES, own=True),
        _messages("qos0-64-1000", "the same from more connections", "qos0", 1000, 64, MESSAGES, own=True),
        _messages("qos0-1024", "QoS 0 as fast as it goes, a record each", "qos0", 100, 1024, MESSAGES, own=True),
        _messages("bulk", "bulk", "bulk", 16, 16384, BULK, own=True),
        _idle("idle", 2000 if quick else CAPACITY),
        *([] if quick else [_idle("idle-100000", 100000)]),
    ]
