# SPDX-License-Identifier: BSD-3-Clause
"""Whose CPU handles a frame that crosses a veth pair, and how much of a CPU was used.

A veth hands a frame to its peer by raising the peer's receive work on the CPU that SENT it: left alone, the generator's core
would pay for the balancer's IP and TCP input (or XDP redirect), and the balancer's core for the generator's. So receive work
of all four interfaces is put on the CPU of whoever receives, the same way for every system:

  - GRO is on at every end. It makes the veth receive by NAPI whether an XDP program is attached (weir) or not, and it gives
    the kernel's TCP what a NIC would give it.
  - NAPI is threaded (/sys/class/net/IF/threaded): a kernel thread a queue, pinned to the receiver's CPU, at a real-time
    priority, so that it preempts what runs there at once, as an interrupt does. Left at normal priority it waits behind a
    polling process for up to a scheduler slice, 3 ms.

A kernel thread's CPU time is exact (schedstat), while soft interrupts are known only from the samples of the timer tick."""
import contextlib
import glob
import os
import re
import time

PRIORITY = 50
_NAPI = re.compile(r"napi/(\w+)-\d+$")


def _read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def napi_threads(interfaces):
    """{pid: interface} of NAPI threads, of any namespace."""
    found = {}
    for path in glob.glob("/proc/[0-9]*/comm"):
        with contextlib.suppress(OSError):
            match = _NAPI.match(_read(path).strip())
            if match and match[1] in interfaces:
                found[int(path.split("/")[2])] = match[1]
    return found


def thread_receive(places):
    """places: {(namespace, interface): cpu}. Returns {pid of the NAPI thread: its CPU}."""
    names = {interface for _, interface in places}
    before = set(napi_threads(names))  # of somebody else's laboratory
    for namespace, interface in places:
        namespace.run("ethtool", "-K", interface, "gro", "on")
        namespace.run("sh", "-c", f"echo 1 >/sys/class/net/{interface}/threaded")
    threads = {pid: interface for pid, interface in napi_threads(names).items() if pid not in before}
    if sorted(threads.values()) != sorted(names):
        raise RuntimeError(f"threaded NAPI: wanted a thread for each of {sorted(names)}, found {sorted(threads.values())}")
    cpus = {interface: cpu for (_, interface), cpu in places.items()}
    for pid, interface in threads.items():
        os.sched_setaffinity(pid, {cpus[interface]})
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(PRIORITY))
    return {pid: cpus[interface] for pid, interface in threads.items()}


def run_seconds(pid):
    """What all threads of a process (or a kernel thread) have run, exact to the scheduler's clock."""
    total = 0
    for path in glob.glob(f"/proc/{pid}/task/[0-9]*/schedstat"):
        with contextlib.suppress(OSError):
            total += int(_read(path).split()[0])
    return total / 1e9


def cpu_times(cpu):
    """(busy, soft interrupts, stolen) seconds of a CPU since boot. Idle time is exact (the tick stops), the rest sampled."""
    for line in _read("/proc/stat").splitlines():
        words = line.split()
        if words[0] == f"cpu{cpu}":
            user, nice, system, _idle, _iowait, irq, softirq, steal = (int(w) / os.sysconf("SC_CLK_TCK") for w in words[1:9])
            return user + nice + system + irq + softirq, irq + softirq, steal
    raise RuntimeError(f"/proc/stat has no cpu{cpu}")


class Meter:
    """CPU seconds by owner; the difference of two readings is what a piece of work cost."""

    def __init__(self, threads, server_cpu, load_cpu):
        self.threads, self.server_cpu, self.load_cpu = threads, server_cpu, load_cpu

    def _receive(self, cpu):
        return sum(run_seconds(pid) for pid, where in self.threads.items() if where == cpu)

    def read(self, server):
        busy, softirq, stolen = cpu_times(self.server_cpu)
        return {"at": time.monotonic(), "server": server.cpu_seconds(), "receive": self._receive(self.server_cpu),
                "softirq": softirq, "cpu_busy": busy, "stolen": stolen + cpu_times(self.load_cpu)[2],
                "load_receive": self._receive(self.load_cpu)}


def difference(begin, end):
    return {key: end[key] - begin[key] for key in begin}
