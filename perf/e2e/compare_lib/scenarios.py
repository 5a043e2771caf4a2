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


class Scenario(collections.namedtuple("Scenario", "name title certificate connections load figures")):
    """load: arguments of weir-load; None stands for the common rate. figures: names, the first is what it is about."""

    @property
    def weir_alone(self):
        return self.name.startswith("idle-")

    @property
    def is_memory(self):
        return self.figures is MEMORY

    @property
    def needs_rate(self):
        return None in self.load


COMMON_RATE_OF = "qos1-1000"  # a common rate is a share of what the slowest did here
COMMON_SHARE = 0.7

_CHURN = ("--traffic", "churn", "--connections", 200, "--connect-window", 32)


def _idle(name, connections):
    return Scenario(name, f"{connections:,} idle TLS connections", "ecdsa", connections,
                    ("--traffic", "idle", "--connections", connections), MEMORY)


def scenarios(quick):
    return [
        Scenario("handshakes-ecdsa", "full handshakes + CONNECT, ECDSA P-256", "ecdsa", 1000, _CHURN, CONNECTS),
        Scenario("handshakes-rsa", "full handshakes + CONNECT, RSA-2048", "rsa", 1000, _CHURN, CONNECTS),
        Scenario("resumed", "resumed handshakes + CONNECT", "ecdsa", 1000, (*_CHURN, "--resume"), CONNECTS),
        Scenario("qos1-50", "QoS 1 round trips, 64 B, 50 connections, closed loop", "ecdsa", 50,
                 ("--traffic", "qos1", "--connections", 50, "--size", 64, "--window", 1), ROUND_TRIPS),
        Scenario(COMMON_RATE_OF, "QoS 1 round trips, 64 B, 1,000 connections, closed loop", "ecdsa", 1000,
                 ("--traffic", "qos1", "--connections", 1000, "--size", 64, "--window", 1), ROUND_TRIPS),
        Scenario("qos1-common", "QoS 1 round trips, 64 B, 1,000 connections, one rate for all", "ecdsa", 1000,
                 ("--traffic", "qos1", "--connections", 1000, "--size", 64, "--rate", None), ROUND_TRIPS),
        Scenario("qos0-64", "QoS 0, 64 B, one message a record, 100 connections", "ecdsa", 100,
                 ("--traffic", "qos0", "--connections", 100, "--size", 64), MESSAGES),
        Scenario("qos0-1024", "QoS 0, 1,024 B, one message a record, 100 connections", "ecdsa", 100,
                 ("--traffic", "qos0", "--connections", 100, "--size", 1024), MESSAGES),
        Scenario("bulk", "bulk, 16 KB records, 16 connections", "ecdsa", 16,
                 ("--traffic", "bulk", "--connections", 16, "--size", 16384), BULK),
        # Open files end near 20,000 on many machines: 8,000 is what a proxy on the kernel's sockets holds of them.
        _idle("idle", 2000 if quick else 8000),
        *([] if quick else [_idle("idle-100000", 100000)]),
    ]
