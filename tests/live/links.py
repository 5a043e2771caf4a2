# SPDX-License-Identifier: BSD-3-Clause
"""Hosts behind an emulated link: a namespace of their own, joined to a bridge of the laboratory through emulink (link/), which
delays, throttles, loses, doubles, corrupts and reorders from a seed. Any number of them at once, each with its own link.

    far host (F)        switch
    eth0  ---------  far  == emulink ==  emu  ----  port of the bridge"""
import json
import os
import signal
import subprocess

import netns
from lab import wait_for

BROKEN = ("pool_empty", "too_long", "tx_failed", "kernel_drops")  # then the emulator was at fault, not the link


class Emulink:
    """One emulink between two interfaces of a namespace. Options by their names: delay_ms=10, loss=(1, 0), ..."""

    def __init__(self, lab, namespace, first, second, seconds=600, **options):
        self.path = os.path.join(lab.folder, f"emulink-{first}.out")
        words = ["--realtime", "--seconds", str(seconds)]
        for name, value in options.items():
            both = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words += [f"--{name.replace('_', '-')}", both]
        with open(self.path, "w", encoding="utf-8") as out:
            self.process = namespace.popen(lab.tool("link/emulink"), *words, first, second, stdout=out,
                                           stderr=subprocess.STDOUT)
        self.counters = None
        wait_for(lambda: f"emulink: {self._text()}", self._ready)

    def _text(self):
        with open(self.path, encoding="utf-8") as file:
            return file.read()

    def _ready(self):
        assert self.process.poll() is None, f"emulink ended with {self.process.returncode}: {self._text()}"
        return "emulink: ready" in self._text()

    def stop(self):
        """{"there": counters from the first interface to the second, "back": ...}; the link is cut."""
        if self.counters is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(10) == 0, self._text()
            self.counters = json.loads(self._text().splitlines()[-1])
        return self.counters

    def check(self):
        """stop(), and that the emulator kept its promises."""
        for way, counters in self.stop().items():
            faults = {name: counters[name] for name in BROKEN if counters[name]}
            assert not faults, f"emulink, {way}: {faults}"
        return self.counters

    def close(self):
        netns.end(self.process)


class FarHost:
    """`address` (with prefix length; None: the kernel gets none) behind an emulated link; "there" in the link's counters is
    away from this host. close() removes all of it."""

    count = 0

    def __init__(self, lab, address, bridge="front", **link):
        FarHost.count += 1
        number = FarHost.count
        self.address = address.split("/")[0] if address else None
        self.ns = netns.Namespace("f")
        self._switch, self._names = lab.switch_ns, (f"far{number}", f"emu{number}")
        far, emu = self._names
        self._switch.veth(far, self.ns, "eth0")
        self._switch.veth(emu, self._switch, f"port{number}")
        self._switch.ip("link", "set", f"port{number}", "master", bridge)
        if address:
            # The next host of this address must not wait for neighbours to forget the MAC of this one.
            mac = "02:66:" + ":".join(f"{int(byte):02x}" for byte in self.address.split("."))
            self.ns.ip("link", "set", "eth0", "address", mac)
            self.ns.ip("addr", "add", address, "dev", "eth0")
        # What one connection has learned about the path must not help the next one.
        self.ns.run("sysctl", "-q", "-w", "net.ipv4.tcp_no_metrics_save=1", check=False)
        self.link = Emulink(lab, self._switch, far, emu, **link)
        lab.keep(self)

    def socket(self, **more):
        return self.ns.socket(**more)

    def knows(self, address, namespace, interface="eth0"):
        """The MAC of that namespace's interface, without asking."""
        mac = json.loads(namespace.ip("-j", "link", "show", interface).stdout)[0]["address"]
        self.ns.ip("neigh", "replace", address, "lladdr", mac, "dev", "eth0", "nud", "permanent")

    def close(self):
        self.link.close()
        for name in self._names:
            netns.run("ip", "-n", self._switch.name, "link", "del", name, check=False)
        self.ns.remove()
