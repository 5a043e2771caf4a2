# SPDX-License-Identifier: BSD-3-Clause
"""The front port as net_virtio_user: weir | vhost-user socket | testpmd: net_vhost <-> net_tap | bridge | clients. One
publish over TLS arrives. Needs hugepages, which it takes and gives back."""
import contextlib
import os
import subprocess

import pytest

import clients
import netns
import peers
from lab import wait_for

MATRIX = "one"
HUGEPAGES = "/proc/sys/vm/nr_hugepages"
WANTED = 640  # of 2 MB: two processes with small pools


def read_number(path):
    with open(path, encoding="utf-8") as file:
        return int(file.read())


@pytest.fixture(scope="module")
def hugepages():
    before = read_number(HUGEPAGES)
    with open(HUGEPAGES, "w", encoding="utf-8") as file:
        file.write(str(max(before, WANTED)))
    try:
        assert read_number(HUGEPAGES) >= WANTED, f"the kernel reserved only {read_number(HUGEPAGES)} hugepages"
        yield
    finally:
        with open(HUGEPAGES, "w", encoding="utf-8") as file:
            file.write(str(before))


class Bridge:
    """testpmd as the other end of the virtio port, forwarding to a TAP interface named weir0, which the lab puts into its bridge."""

    def __init__(self, lab):
        self.path = os.path.join(lab.folder, "testpmd.log")
        self.socket = os.path.join(lab.folder, "vhost.sock")
        cpus = sorted(os.sched_getaffinity(0))
        lcores = f"0@{cpus[0]},1@{cpus[0]}"  # it spins: not on the CPU of weir's worker
        with open(self.path, "w", encoding="utf-8") as log:
            self.process = lab.weir_ns.popen(
                "stdbuf", "-oL", "dpdk-testpmd", "--lcores", lcores, "--in-memory", "--no-pci", "--no-telemetry", "-m", "256",
                "--file-prefix", os.path.basename(lab.folder), "--vdev", f"net_vhost0,iface={self.socket},queues=1",
                "--vdev", "net_tap7,iface=weir0", "--", "--forward-mode=io", "--auto-start", "--total-num-mbufs=8192",
                "--no-lsc-interrupt", "--disable-link-check", stdin=subprocess.PIPE, stdout=log, stderr=log)
        lab.keep(self)

    def log(self):
        with open(self.path, encoding="utf-8", errors="replace") as file:
            return file.read()[-3000:]

    def ready(self):
        assert self.process.poll() is None, f"testpmd ended with {self.process.returncode}:\n{self.log()}"
        return os.path.exists(self.socket) and "Press enter to exit" in self.log()

    def close(self):
        if self.process.poll() is None:
            with contextlib.suppress(OSError):
                self.process.stdin.write(b"\n")
                self.process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
            netns.end(self.process)


def test_one_publish(hugepages, empty_lab):
    lab = empty_lab
    peers.two_mosquittos(lab)
    testpmd = Bridge(lab)
    wait_for(lambda: f"testpmd:\n{testpmd.log()}", testpmd.ready, 60)
    config = lab.config()
    config["memory"] = {"max_connections": 1000, "hugepages": "required"}
    config["ports"][0]["device"] = f"net_virtio_user0,path={testpmd.socket},queue_size=1024"
    try:
        weir = lab.start(config)
        lab.wait_servers_up("brokers")
        ids = clients.ids_by_server(lab, ["b1", "b2"], 2)["b1"]
        subscriber = clients.Subscriber(lab, ids[0], "weir/virtio", 1).wait_ready()
        clients.publish(lab, ids[1], "weir/virtio", ["through a ring"])
        assert subscriber.wait_end() == 0, subscriber.text()
        assert subscriber.payloads() == ["through a ring"]
        weir.check()
        weir.stop()
    finally:
        # Hugepages can be given back only once nobody uses them.
        if lab.runs:
            lab.weir.kill()
        testpmd.close()
