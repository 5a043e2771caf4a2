# SPDX-License-Identifier: BSD-3-Clause
"""Whose CPU handles a frame that crosses a veth pair, and how much of a CPU was used.

A veth hands a frame to its peer by raising the peer's receive work on the CPU that SENT it. Left alone, the generator's core
does the balancer's receive work: XDP redirect for weir, all of IP and TCP input and its wake-ups for the kernel's sockets. So
receive work of the balancer's two interfaces is put on the balancer's CPU, each system by what is cheapest for it:

  weir           threaded NAPI: a kernel thread a queue, pinned, at a real-time priority so that it preempts as an interrupt does
                 (at normal priority it waits behind a polling process for a scheduler slice, some 3 ms)
  kernel TCP     receive packet steering (rps_cpus), which raises a soft interrupt there; GRO stays where the frame comes from,
                 as if a NIC did it

What the balancer sends raises the generator's receive work (XDP redirect) on the balancer's CPU: that is left so, alike for
all, in place of the driver's share of sending that a NIC would cost.

QoS 1 round trips of 64 B over 50 connections a second, when this was decided (Linux 6.18, a virtual machine, two CPUs):

                                                   weir     HAProxy   NGINX     weir/HAProxy
    receive work on the sender's CPU               196,000   62,000             3.2
    ... on the balancer's: threaded NAPI           123,000   27,000    26,000   4.5
    ... on the balancer's: packet steering            -      33,000    32,000   3.7 (against threaded weir)
    all four ends threaded                         114,000   21,000             5.4

Steering costs kernel TCP less than a thread does, so it gets that. Scenario qos1-50-sender measures the first line in every
run, so that nobody has to take our word for it."""
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


def thread_receive(namespace, interfaces, cpu):
    """Receive work of these on that CPU, by kernel threads. Returns their pids; they live as long as the interfaces."""
    before = set(napi_threads(interfaces))  # of somebody else's laboratory
    for interface in interfaces:
        namespace.run("ethtool", "-K", interface, "gro", "on")  # NAPI even before XDP comes
        namespace.run("sh", "-c", f"echo 1 >/sys/class/net/{interface}/threaded")
    threads = {pid: interface for pid, interface in napi_threads(interfaces).items() if pid not in before}
    if sorted(threads.values()) != sorted(interfaces):
        raise RuntimeError(f"threaded NAPI: wanted a thread for each of {interfaces}, found {sorted(threads.values())}")
    for pid in threads:
        os.sched_setaffinity(pid, {cpu})
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(PRIORITY))
    return list(threads)


def steer_receive(namespace, interfaces, cpu):
    """The same by receive packet steering, for who uses the kernel's sockets."""
    for interface in interfaces:
        namespace.run("ethtool", "-K", interface, "gro", "on")
        namespace.run("sh", "-c", f"echo {1 << cpu:x} >/sys/class/net/{interface}/queues/rx-0/rps_cpus")


def run_seconds(pid):
    """What all threads of a process (or a kernel thread) have run, exact to the scheduler's clock."""
    total = 0
    for path in glob.glob(f"/proc/{pid}/task/[0-9]*/schedstat"):
        with contextlib.suppress(OSError):
            total += int(_read(path).split()[0])
    return total / 1e9


def cpu_times(cpu):
    """Seconds of a CPU since boot: {"idle", "softirq", "stolen"}. Idle is exact (the tick stops), the others are sampled by
    the tick."""
    for line in _read("/proc/stat").splitlines():
        words = line.split()
        if words[0] == f"cpu{cpu}":
            times = [int(word) / os.sysconf("SC_CLK_TCK") for word in words[1:9]]
            return {"idle": times[3] + times[4], "softirq": times[5] + times[6], "stolen": times[7]}
    raise RuntimeError(f"/proc/stat has no cpu{cpu}")


def reading(server, server_cpu, load_cpu, threads, others):
    """Seconds so far, by owner: what lies between two readings is what a piece of work cost.

    at: the clock. server: what the server says of itself (its cpu_seconds()). receive: threads. softirq, idle: of its CPU.
    all_idle, stolen: of both CPUs. ours: all processes that take part; others: pids of those beside the server."""
    here, there = cpu_times(server_cpu), cpu_times(load_cpu)
    return {"at": time.monotonic(), "server": server.cpu_seconds(), "receive": sum(map(run_seconds, threads)),
            "softirq": here["softirq"], "idle": here["idle"], "all_idle": here["idle"] + there["idle"],
            "stolen": here["stolen"] + there["stolen"],
            "ours": sum(map(run_seconds, [*server.pids(), *threads, *others, os.getpid()]))}


def difference(begin, end):
    return {key: end[key] - begin[key] for key in begin}


def foreign_share(used):
    """Share of both CPUs' time that went to processes which take no part, or to other guests of the host."""
    both = 2 * used["at"]
    return max(0.0, both - used["all_idle"] - used["ours"]) / both
