# SPDX-License-Identifier: BSD-3-Clause
"""Which pictures a comparison gets."""
import os

from draw import SYSTEMS, Bars, draw

CONNECTS = [("handshakes-ecdsa", "full, ECDSA"), ("handshakes-rsa", "full, RSA"), ("resumed", "resumed")]
TRIPS = [("qos1-50", "QoS 1\\n50 conns"), ("qos1-1000", "QoS 1\\n1,000 conns")]
ONE_WAY = [("qos0-64", "QoS 0\\n64 B"), ("qos0-64-1000", "64 B,\\n1,000 conns"), ("qos0-1024", "QoS 0\\n1,024 B")]
EACH = [("qos0-common", "QoS 0\\none rate"), ("qos1-common", "QoS 1\\none rate"), *TRIPS]
QUANTILES = [("latency_p50", "p50"), ("latency_p99", "p99"), ("latency_p999", "p99.9")]


def _by_scenario(results, scenarios, metric, scale=1.0):
    return [(label, _values(results, name, metric, scale)) for name, label in scenarios]


def _values(results, scenario, metric, scale=1.0):
    medians = {system: results.median(scenario, system, metric) for system in SYSTEMS}
    values = {system: value * scale for system, value in medians.items() if value}
    return values | {(system, "mark"): True for system in values if results.limited(scenario, system)}


def _latency(results, scenario):
    return [(label, _values(results, scenario, metric)) for metric, label in QUANTILES]


def overview(results):
    return [
        Bars("QoS 0 messages a second", "1/s", _by_scenario(results, ONE_WAY, "messages_per_s")),
        Bars("QoS 1 round trips a second", "1/s", _by_scenario(results, TRIPS, "messages_per_s")),
        Bars("CPU a message", "microseconds", _by_scenario(results, EACH, "cpu_per_message")),
        Bars("QoS 1 round trip, one rate for all", "microseconds", _latency(results, "qos1-common"), log=True),
        Bars("TLS handshakes + CONNECT a second", "1/s", _by_scenario(results, CONNECTS, "connects_per_s")),
        Bars("Bulk, 16 KB records", "Gbit/s", [("", _values(results, "bulk", "bytes_per_s", 8e-3))]),
        Bars("Memory an idle TLS connection", "KB", [("", _values(results, "idle", "bytes_per_connection", 1 / 1024))]),
        Bars("Idle TLS connections a GB", "connections", [("", _values(results, "idle", "connections_per_gb"))]),
    ]


def times_better(results):
    """Ratios: how many times better than each of the others; 1 is a draw."""
    figures = [("qos0-64", "messages_per_s", "QoS 0\\n64 B"), ("qos0-1024", "messages_per_s", "QoS 0\\n1,024 B"),
               ("qos1-50", "messages_per_s", "QoS 1\\n50"), ("qos1-1000", "messages_per_s", "QoS 1\\n1,000"),
               ("qos1-common", "latency_p99", "p99"), ("qos1-common", "cpu_per_message", "CPU"),
               ("handshakes-ecdsa", "connects_per_s", "ECDSA"), ("handshakes-rsa", "connects_per_s", "RSA"),
               ("resumed", "connects_per_s", "resumed"), ("bulk", "bytes_per_s", "bulk"),
               ("idle", "connections_per_gb", "conns\\na GB")]
    groups = [(label, {over: results.better(scenario, metric, over) for over in ("haproxy", "nginx")})
              for scenario, metric, label in figures]
    return Bars("How many times better weir is (1: no difference)", "times", groups, ("haproxy", "nginx"), log=True, line=1)


def draw_all(results, versions, folder):
    """Returns the files."""
    def path(name):
        return os.path.join(folder, f"compare-{name}.svg")

    who = f"weir, HAProxy {versions['haproxy']} and NGINX {versions['nginx']} stream, one core each, over veth"
    note = ""
    if any(results.limited(name, system) for name, system, metric in results.values if metric == "generator_share"):
        note = "* the generator was busy enough to be the limit"
    draw(path("overview"), who, overview(results), 4, width=1480, note=note)
    draw(path("ratios"), who, [times_better(results)], 1, height=440, series=("haproxy", "nginx"), note=note)
    draw(path("latency"), who, [Bars(title, "microseconds", _latency(results, name), log=True) for name, title in (
        ("qos1-common", "QoS 1, 1,000 connections, one rate for all"), ("qos1-50", "QoS 1, 50 connections, closed loop"),
        ("qos1-1000", "QoS 1, 1,000 connections, closed loop"))], 3, height=420, note=note)
    draw(path("memory"), who, [
        Bars("Memory an idle TLS connection", "bytes", [("", _values(results, "idle", "bytes_per_connection"))], log=True),
        Bars("Idle TLS connections a GB", "connections", [("", _values(results, "idle", "connections_per_gb"))], log=True)],
         2, width=800, height=420)
    return [path(name) for name in ("overview", "ratios", "latency", "memory")]
