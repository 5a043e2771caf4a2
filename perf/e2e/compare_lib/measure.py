# SPDX-License-Identifier: BSD-3-Clause
"""One run: a server started, loaded, watched, ended; and the figures it gave."""
import collections
import os
import re
import time

import cpus
import lab as laboratory
import memory
from scenarios import CONNECTS, ROUND_TRIPS

Timing = collections.namedtuple("Timing", "warmup_s duration_s hold_s")
FULL = Timing(1.0, 4.0, 4.0)
QUICK = Timing(0.5, 2.0, 3.0)
MEBI, GIBI = 2**20, 2**30
SMALL = 100           # connections of the set-up that memory is compared with
LOAD_TIMEOUT_S = 300  # beyond what a run should take

# weir-load says a line a second while it measures; this is how such a line begins, by traffic.
_MEASURING = re.compile(r"^\s*(publishing|holding|connect)", re.MULTILINE)


class Place:
    """The laboratory with its four interfaces' receive work put where it belongs."""

    def __init__(self, lab):
        self.lab = lab
        server, load = laboratory.SERVER_CPU, laboratory.LOAD_CPU
        self.threads = cpus.thread_receive({(lab.weir_ns, "front"): server, (lab.weir_ns, "back"): server,
                                            (lab.load_ns, "clients"): load, (lab.load_ns, "brokers"): load})
        self.meter = cpus.Meter(self.threads, server, load)


def load_arguments(scenario, timing, rate):
    words = [rate if word is None else word for word in scenario.load]
    words += ["--tls", "aes128"]
    if scenario.is_memory:
        return [*words, "--hold", timing.hold_s]
    return [*words, "--warmup", timing.warmup_s, "--duration", timing.duration_s]


def _wait_measuring(load, timeout_s, word):
    """Until the generator says that it measures."""
    deadline = time.monotonic() + timeout_s
    while load.process.poll() is None:
        with open(load.log_path, encoding="utf-8", errors="replace") as file:
            if any(match[1] == word for match in _MEASURING.finditer(file.read())):
                return
        if time.monotonic() > deadline:
            raise laboratory.Failure(f"weir-load did not get to measuring within {timeout_s} s")
        time.sleep(0.01)


def _failures(result):
    return "; ".join(result.get("failures", []))


def traffic(place, system, scenario, timing, rate=None):
    """{metric: value} of one run. Metrics beside those of FIGURES: generator_share, foreign_share (CPU that went to
    processes which have no part in this), failed (1 where not all that was asked happened)."""
    lab = place.lab
    server = system(lab, scenario.certificate, scenario.connections)
    try:
        with lab.load(*load_arguments(scenario, timing, rate), quiet=True) as load:
            churn = "churn" in scenario.load
            _wait_measuring(load, 60 + timing.warmup_s, "connect" if churn else "publishing")
            begin = _reading(place, server, load)
            time.sleep(max(0.5, timing.duration_s - 1.3))
            end = _reading(place, server, load)
            result = load.result(LOAD_TIMEOUT_S)
        server.check()
    finally:
        server.stop()
    return _figures(scenario, result, cpus.difference(begin, end))


def _reading(place, server, load):
    """The meter's, and what of the two CPUs' time went to processes that have no part in this."""
    cpus_of_ours = {laboratory.SERVER_CPU, laboratory.LOAD_CPU}
    ours = [*server.pids(), load.process.pid, os.getpid(), *place.threads]
    busy = sum(cpus.cpu_times(cpu)[0] for cpu in cpus_of_ours) - sum(cpus.run_seconds(pid) for pid in ours)
    return place.meter.read(server) | {"foreign": busy / len(cpus_of_ours)}


def _figures(scenario, result, used):
    seconds = used["at"]
    share = min(1.0, (used["server"] + used["receive"] + used["softirq"]) / seconds)
    found = result["traffic"]
    per_s = found["per_s"]
    if not per_s:
        raise laboratory.Failure(f"{scenario.name}: nothing came through; weir-load says: {_failures(result)}")
    latency = found["latency_us"]
    figures = {"generator_share": min(1.0, result["generator"]["busy_share"] + used["load_receive"] / seconds),
               "server_share": share, "receive_share": used["receive"] / seconds,
               "foreign_share": max(0.0, used["foreign"] + used["stolen"] / 2) / seconds,
               "failed": float(result["exit_status"] != 0)}
    if scenario.figures is CONNECTS:
        figures |= {"connects_per_s": per_s, "connect_p50": latency["p50"], "connect_p99": latency["p99"],
                    "cpu_per_connect": share / per_s * 1e6}
    elif "bytes_per_s" in scenario.figures:
        figures |= {"bytes_per_s": found["bytes_per_s"] / 1e6, "cpu_per_mb": share / found["bytes_per_s"] * 1e12}
    else:
        figures |= {"messages_per_s": per_s, "cpu_per_message": share / per_s * 1e6}
        if scenario.figures is ROUND_TRIPS:
            figures |= {f"latency_{name}": latency[name] for name in ("p50", "p99", "p999")}
    return figures


def idle(place, system, scenario, timing):
    """Memory of that many idle connections: everything, less what the same program takes when it is set up for a handful
    of them and has none. So what is set aside at start for connections to come counts as theirs."""
    lab, count = place.lab, scenario.connections
    server = system(lab, scenario.certificate, SMALL)
    try:
        small = memory.reading(lab.weir_ns, server)
    finally:
        server.stop()
    server = system(lab, scenario.certificate, count)
    try:
        start = memory.reading(lab.weir_ns, server)
        with lab.load(*load_arguments(scenario, timing, None), quiet=True) as load:
            _wait_measuring(load, 60 + count / 200, "holding")
            time.sleep(timing.hold_s / 2)
            held = memory.reading(lab.weir_ns, server)
            result = load.result(LOAD_TIMEOUT_S)
        server.check()
    finally:
        server.stop()
    if result["exit_status"] != 0:
        raise laboratory.Failure(f"{scenario.name}: {_failures(result)}")
    each = memory.growth(small, held, count)
    return {"bytes_per_connection": each["total"], "connections_per_gb": GIBI / each["total"],
            "memory_at_start": _own(start) / MEBI, "memory_held": (_own(held) + _kernel(held) - _kernel(small)) / MEBI,
            "process_bytes_per_connection": each["pss"] + each["huge"],
            "kernel_bytes_per_connection": each["slab"] + each["buffers"]}


def _own(reading):
    return reading["pss"] + reading["huge"]


def _kernel(reading):
    return reading["slab"] + reading["buffers"]
