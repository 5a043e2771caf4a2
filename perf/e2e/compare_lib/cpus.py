# SPDX-License-Identifier: BSD-3-Clause
"""Whose CPU handles a frame that crosses a veth pair, and how much of a CPU was used.

A veth hands a frame to its peer by raising the peer's receive work on the CPU that SENT it. Left alone ("sender"), the
generator's core does the balancer's receive work: XDP redirect for weir; all of IP and TCP input and its wake-ups for the
kernel's sockets, which is more. The balancer's core in turn does the generator's XDP redirect for what it sends, alike for all,
about what a NIC's driver would cost it.

It can be put on the balancer's CPU ("own"), each system by what is cheapest for it:

  weir           threaded NAPI: a kernel thread a queue, pinned, at a real-time priority so that it preempts as an interrupt does
                 (at normal priority it waits behind a polling process for a scheduler slice, some 3 ms)
  kernel TCP     receive packet steering (rps_cpus), which raises a soft interrupt there; GRO stays where the frame comes from,
                 as if a NIC did it

QoS 1 round trips of 64 B over 50 connections, thousands a second (Linux 6.18, a virtual machine with two CPUs, which were not
quiet):
                                                       weir   HAProxy   NGINX   weir/HAProxy
    sender                                             211    65        -       3.2
    own: weir by threads, the others by steering       134    33        32      4.1
    own: threads for all                               123    27        26      4.5
    own: threads for all, and at the generator's ends  114    21        -       5.4
    own: timers (napi_defer_hard_irqs, 50 us)          99     30        -       3.3

In a virtual machine each thread switch, interrupt between CPUs or timer costs 5 to 15 us, several times the work it moves: 17,000
round trips a second took weir 16 us of CPU each with "sender" and 49 with "own". That is this machine's cost, not a balancer's.
So handshakes and round trips are measured with "sender", the steadiest, and where it is unfair it is so to weir, whose
competitors get more of their work done by the other core; qos1-50-own shows the other way beside it. Streams keep the receiver
awake, so that moving the work costs little, while leaving it would make the generator the limit: they are measured with "own".
`perf/e2e/compare --receive sender` (or own) measures everything one way."""
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
