# SPDX-License-Identifier: BSD-3-Clause
"""What HAProxy and NGINX have in common: processes on the kernel's TCP, in the same namespace and on the same links as weir."""
import os
import re
import signal
import socket
import subprocess
import time

import cpus
import lab as laboratory
import netns

READY_S, STOP_S = 15, 10


class KernelServer:
    """One running server. Subclasses say how it is configured and started."""

    name = title = program = ""
    on_kernel = True

    def __init__(self, lab, certificate, connections):
        """Started and accepting. certificate: ecdsa or rsa; connections: as many as it must be able to hold."""
        self.lab, self.certificate, self.connections = lab, certificate, connections
        self.front, self.port = laboratory.FRONT, laboratory.TLS_PORT
        self.brokers = [f"{address}:{laboratory.BROKER_PORT}" for address in lab.broker_addresses()]
        self.config_path = self.path("conf")
        lab.kernel_addresses()
        # As weir's: NewReno. The kernel's default may be BBR, whose pacing costs timers; a namespace may not take CUBIC.
        lab.weir_ns.run("sysctl", "-q", "-w", "net.ipv4.tcp_congestion_control=reno", "net.ipv4.tcp_tw_reuse=1")
        for interface in ("front", "back"):  # as a NIC would have it: segments are cut and joined below TCP
            lab.weir_ns.run("ethtool", "-K", interface, "gso", "on", "gro", "on")
        with open(self.config_path, "w", encoding="utf-8") as file:
            file.write(self.configure())
        with open(self.path("log"), "w", encoding="utf-8") as log:
            self.process = lab.start(*self.command(), stdout=log, stderr=log)
        try:
            self._wait_ready()
        except BaseException:
            self.stop()
            raise

    def path(self, suffix):
        return os.path.join(self.lab.folder, f"{self.name}.{suffix}")

    def configure(self):
        raise NotImplementedError

    def command(self):
        raise NotImplementedError

    @staticmethod
    def first_match(command, pattern):
        if not os.path.exists(command[0]):
            return "(absent)"
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        match = re.search(pattern, done.stdout + done.stderr)
        return match[1] if match else "?"

    def _wait_ready(self):
        """Until it accepts: from inside its namespace, so that no frame leaves."""
        deadline = time.monotonic() + READY_S
        while True:
            self.check()
            with self.lab.weir_ns.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                if probe.connect_ex((self.front, self.port)) == 0:
                    return
            if time.monotonic() > deadline:
                raise laboratory.Failure(f"{self.title} does not accept connections:\n{self.log()}")
            time.sleep(0.05)

    def log(self):
        with open(self.path("log"), encoding="utf-8", errors="replace") as file:
            return file.read()[-2000:]

    def check(self):
        if self.process.poll() is not None:
            raise laboratory.Failure(f"{self.title} ended with {self.process.returncode}:\n{self.log()}")

    def pids(self):
        """It and its children, the oldest first."""
        pids = [self.process.pid]
        for pid in pids:
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
                pids += [int(child) for child in file.read().split()]
        return pids

    def cpu_seconds(self):
        return sum(cpus.run_seconds(pid) for pid in self.pids())

    @staticmethod
    def cpu_share(used):
        """Of its CPU: all that was not idle, so the process and soft interrupts, wherever they struck. Where that is more than
        the process's time and the soft interrupts together (which overlap), somebody else was there."""
        return min(used["at"] - used["idle"], used["server"] + used["softirq"]) / used["at"]

    def stop(self):
        """SIGTERM ends both at once, connections and all."""
        netns.end(self.process, signal.SIGTERM, STOP_S)
        self.lab.kernel_addresses(False)
