# SPDX-License-Identifier: BSD-3-Clause
"""A small device as the peer: lwIP, which has no SACK and no timestamps, keeps few segments out of order and retransmits by
slow timers; as Debian builds it, and with small segments and a window of two of them. Over clean and lossy links it talks
through weir to a server that checks every byte (churn), and to mosquitto."""
import json
import os
import subprocess

import pytest

import links
import netns
import peers
from lab import wait_for
from test_churn import Churn

MATRIX = "later"
PORT = 9500
PROFILES = {"as built": (1500, 0), "two small segments": (576, 2 * 536)}  # MTU, window
LINKS = {"clean": {"delay_ms": 1},
         "lossy": {"delay_ms": 5, "loss": 1, "duplicate": 1, "reorder": 1, "reorder_ms": 3, "seed": 6}}
# Where a reset may be lost, one that ends an idle connection may go unnoticed for long, and rightly so.
KINDS = {"clean": ["client_first", "server_first", "both_at_once", "client_resets", "server_resets"],
         "lossy": ["client_first", "server_first", "both_at_once", "client_resets"]}
UP, DOWN = 40_000, 150_000
MESSAGES, MESSAGE = 12, 3000


def configure(config, lab):
    config["pools"].append({"name": "checks", "policy": "round-robin",
                            "servers": [{"name": "checks", "address": f"{lab.brokers[2]}:{PORT}"}]})
    config["listeners"].append({"name": "checks", "address": f"{lab.front}:{PORT}", "mode": "tcp", "pool": "checks"})


def prepare(lab):
    peers.two_mosquittos(lab)


class Device:
    """One device with a link of its own."""

    def __init__(self, lab, number, link, profile, port, *job):
        self.name = f"{profile}, {' '.join(map(str, job))}"
        self.host = links.FarHost(lab, None, **link)
        mtu, window = PROFILES[profile]
        self.path = os.path.join(lab.folder, f"device-{number}.out")
        with open(self.path, "w", encoding="utf-8") as out:
            self.process = self.host.ns.popen(lab.tool("lwip/device"), "eth0", f"198.18.0.{100 + number}", lab.front, str(port),
                                              str(mtu), str(window), *map(str, job), stdout=out, stderr=subprocess.STDOUT)

    def fault(self, timeout_s=150):
        """What was not as it should be; "" where all was."""
        self.process.wait(timeout_s)
        with open(self.path, encoding="utf-8") as file:
            text = file.read()
        try:
            return json.loads(text)["fault"]
        except ValueError:
            return text or f"ended with {self.process.returncode}"

    def close(self):
        netns.end(self.process)
        self.host.close()


@pytest.mark.parametrize("link", list(LINKS))
def test_lwip(lab, link):
    """All devices of a link at the same time."""
    before = lab.metrics()
    server = Churn(lab, lab.broker_ns, "server", lab.brokers[2], PORT)
    wait_for("the server to listen", lambda: "listening" in server.text())
    devices = []
    try:
        for profile in PROFILES:
            for kind in KINDS[link]:
                number = len(devices)
                devices.append(Device(lab, number, LINKS[link], profile, PORT, "exchange", kind, number, UP, DOWN))
            devices.append(Device(lab, len(devices), LINKS[link], profile, 1883, "mqtt", f"device-{len(devices)}", MESSAGES,
                                  MESSAGE))
        faults = {device.name: fault for device in devices if (fault := device.fault())}
        assert not faults
        lab.wait_quiet(before)
        for device in devices:
            device.host.link.check()
    finally:
        for device in devices:
            device.close()
        server.process.terminate()
    seen = server.result(10)
    assert seen["faults"] == 0 and seen["left_open"] == 0, seen
    assert seen["verified"] == {kind: len(PROFILES) if kind in KINDS[link] else 0 for kind in KINDS["clean"]}
