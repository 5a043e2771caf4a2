# SPDX-License-Identifier: BSD-3-Clause
"""kill -9 under load, then start again: nothing that was left behind is in the way, and every client is served again."""
import contextlib
import threading

import pytest

import clients
import mqtt
import peers
from lab import wait_for

MATRIX = "all"
CLIENTS = 40


def prepare(lab):
    peers.two_mosquittos(lab)


class Device(threading.Thread):
    """Publishes without pause, reconnects when it must."""

    def __init__(self, lab, number):
        super().__init__(daemon=True)
        self.lab, self.number = lab, number
        self.acknowledged = self.connects = self.resets = 0
        self.stopped = threading.Event()

    def run(self):
        while not self.stopped.is_set():
            try:
                with clients.open_mqtt(self.lab, f"device-{self.number}", 8883 if self.number % 4 == 0 else 1883,
                                       self.number % 4 == 0) as sock:
                    self.connects += 1
                    self._publish(sock)
            except ConnectionResetError:
                self.resets += 1
            except (OSError, AssertionError):
                self.stopped.wait(0.1)  # refused while weir is away

    def _publish(self, sock):
        sock.settimeout(10)
        while not self.stopped.is_set():
            sock.sendall(mqtt.publish(f"device/{self.number}", b"x" * 300, 1, 1 + self.acknowledged % 60000))
            if not mqtt.read(sock):
                return
            self.acknowledged += 1
            self.stopped.wait(0.01)


@pytest.mark.parametrize("round_", [1, 2])
def test_kill_under_load(lab, round_):
    devices = [Device(lab, number) for number in range(CLIENTS)]
    for device in devices:
        device.start()
    try:
        wait_for("all devices to publish", lambda: all(device.acknowledged >= 5 for device in devices), 60)
        lab.restart(hard=True)
        marks = [device.acknowledged for device in devices]
        wait_for("all devices to be served again",
                 lambda: all(device.acknowledged >= mark + 5 for device, mark in zip(devices, marks)), 90)
        assert all(device.connects >= 2 for device in devices)
        # Segments of flows that the new weir does not know: answered with RST, as far as its limit allows.
        drops = lab.metrics().drops("tcp")
        assert drops.get("no_flow", 0) + drops.get("no_flow_limit", 0) > 0, drops
    finally:
        for device in devices:
            device.stopped.set()
        for device in devices:
            device.join(30)


def test_unknown_flows_are_reset(lab):
    """A connection from before the kill learns by RST that it is over."""
    with lab.connect(7) as sock:
        sock.sendall(b"before")
        assert sock.recv(10) == b"before"
        lab.restart(hard=True)
        sock.settimeout(60)
        with pytest.raises(ConnectionResetError):
            while True:
                sock.sendall(b"after")
                assert sock.recv(10) == b"", "an unknown flow was answered with data"
                raise AssertionError("FIN in place of RST")


def test_start_after_start(lab):
    """A clean stop and start, a few times, leaves nothing in the way either."""
    for _ in range(3):
        lab.restart()
        with contextlib.closing(lab.connect(7)) as sock:
            sock.sendall(b"here")
            assert sock.recv(10) == b"here"
