# SPDX-License-Identifier: BSD-3-Clause
"""Thousands of connections at once through weir that open, exchange, half-close in either direction, close and reset in an
order drawn from a seed. Every byte and every end is checked at both ends, and nothing is held afterwards."""
import json
import os
import subprocess

import netns
from lab import wait_for

MATRIX = "ends"
COUNT = {"quick": 1000, "plain": 5000, "nightly": 5000}
ROUNDS = {"quick": 1, "plain": 2, "nightly": 10}
PORT = 9300
SEED = 1


def configure(config, lab):
    config["pools"].append({"name": "churn", "policy": "round-robin",
                            "servers": [{"name": "churn", "address": f"{lab.brokers[2]}:{PORT}"}]})
    config["listeners"].append({"name": "churn", "address": f"{lab.front}:{PORT}", "mode": "tcp", "pool": "churn"})


class Churn:
    """One end; the result is what it prints last."""

    def __init__(self, lab, namespace, *words):
        self.path = os.path.join(lab.folder, f"churn-{words[0]}.out")
        with open(self.path, "w", encoding="utf-8") as out:
            self.process = namespace.popen(lab.tool("churn/churn"), *map(str, words), stdout=out, stderr=subprocess.STDOUT)
        lab.keep(self)

    def text(self):
        with open(self.path, encoding="utf-8") as file:
            return file.read()

    def result(self, timeout_s):
        assert self.process.wait(timeout_s) == 0, self.text()
        return json.loads(self.text().splitlines()[-1])

    def close(self):
        netns.end(self.process)


def test_churn(lab, depth):
    count, rounds = COUNT[depth], ROUNDS[depth]
    baseline = lab.metrics()
    server = Churn(lab, lab.broker_ns, "server", lab.brokers[2], PORT)
    wait_for("the server to listen", lambda: "listening" in server.text())
    try:
        client = Churn(lab, lab.client_ns, "client", lab.front, PORT, count, rounds, SEED)
        ours = client.result(200)
        lab.wait_quiet(baseline)
    finally:
        server.process.terminate()
    theirs = server.result(10)
    print(ours, theirs)
    for side in (ours, theirs):
        assert side["faults"] == 0 and side["left_open"] == 0, (ours, theirs)
    assert ours["peak_open"] == count <= theirs["peak_open"], "the servers may learn of an end after the next beginning"
    assert ours["verified"] == theirs["verified"] and sum(ours["verified"].values()) == count * rounds
    assert all(n > count * rounds / 10 for n in ours["verified"].values()), "every kind of end"
