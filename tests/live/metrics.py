# SPDX-License-Identifier: BSD-3-Clause
"""What weir says about itself: its HTTP server, and the Prometheus text format."""
import http.client
import re

_LINE = re.compile(r'^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)')
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

# A port's own frames come and go (a burst under way, an ARP question): this much is nobody's connection.
SLACK = {"mbufs": 192}


def get(namespace, address, port, path, timeout_s=10):
    """GET over a socket made inside `namespace`. Returns (status, body)."""
    connection = http.client.HTTPConnection(address, port, timeout=timeout_s)
    connection.sock = namespace.socket()
    connection.sock.settimeout(timeout_s)
    try:
        connection.sock.connect((address, port))
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


class Metrics:
    """One scrape. Series are picked by name and any of their labels."""

    def __init__(self, text):
        self.values = {}
        for line in text.splitlines():
            match = _LINE.match(line)
            if match:
                labels = tuple(sorted(_LABEL.findall(match[2] or "")))
                self.values[match[1], labels] = float(match[3])

    def series(self, name, **labels):
        """{labels: value} of those that match."""
        wanted = {(key, str(value)) for key, value in labels.items()}
        return {key: value for (found, key), value in self.values.items() if found == name and wanted <= set(key)}

    def get(self, name, **labels):
        """The sum over all series that match; 0 where none does."""
        return sum(self.series(name, **labels).values())

    def by(self, name, label, **labels):
        """{value of `label`: sum}."""
        sums = {}
        for key, value in self.series(name, **labels).items():
            group = dict(key).get(label)
            sums[group] = sums.get(group, 0) + value
        return sums

    def drops(self, layer):
        """{reason: count} of a layer, over all workers, without zeros."""
        return {reason: n for reason, n in self.by("weir_drops_total", "reason", layer=layer).items() if n}

    def closed(self, listener=None):
        labels = {"listener": listener} if listener else {}
        return {reason: n for reason, n in self.by("weir_listener_closed_total", "reason", **labels).items() if n}

    def quiet(self):
        """The gauges that must go back when all connections are over. TIME-WAIT holds no buffer and ends by itself."""
        flows = self.by("weir_tcp_flows", "state")
        return {
            "flows": sum(n for state, n in flows.items() if state.upper() != "TIME_WAIT"),
            "sessions": self.get("weir_sessions"),
            "ssl objects": self.get("weir_tls_ssl_objects"),
            "mbufs": self.get("weir_mbufs_in_use"),
            "open": self.get("weir_listener_open"),
            "open to servers": self.get("weir_server_open"),
        }
