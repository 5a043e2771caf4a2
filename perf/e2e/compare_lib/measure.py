# SPDX-License-Identifier: BSD-3-Clause
"""One run: a server started, loaded, watched, ended; and the figures it gave."""
import collections
import re
import time

import cpus
import lab as laboratory
import memory
from scenarios import CAPACITY, CONNECTS, ROUND_TRIPS

Timing = collections.namedtuple("Timing", "warmup_s duration_s hold_s")
FULL = Timing(0.7, 3.0, 4.0)
QUICK = Timing(0.3, 1.7, 2.0)
BY_TURNS = Timing(1.0, 6.0, 4.0)  # turns.py
MEBI, GIBI = 2**20, 2**30
SMALL = 100           # connections of the set-up that memory is compared with
LOAD_TIMEOUT_S = 300  # beyond what a run should take

# weir-load says a line a second while it measures; this is how such a line begins, by traffic.
_MEASURING = re.compile(r"^\s*(publishing|holding|connect)", re.MULTILINE)


class Place:
    """The laboratory; own_receive puts the balancer's receive work on its own CPU, as its kind needs it (cpus.py)."""

    def __init__(self, lab, system, own_receive=False):
        self.lab, self.threads = lab, []
        ends = (lab.weir_ns, ["front", "back"], laboratory.SERVER_CPU)
        if own_receive and system.on_kernel:
            cpus.steer_receive(*ends)
        elif own_receive:
            self.threads = cpus.thread_receive(*ends)

    def reading(self, server, load):
        return cpus.reading(server, laboratory.SERVER_CPU, laboratory.LOAD_CPU, self.threads, [load.process.pid])


def load_arguments(scenario, timing, rate):
    words = [rate if word is None else word for word in scenario.load]
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
    server = system(lab, scenario.certificate, CAPACITY)
    try:
        with lab.load(*load_arguments(scenario, timing, rate), quiet=True) as load:
            churn = "churn" in scenario.load
            _wait_measuring(load, 60 + timing.warmup_s, "connect" if churn else "publishing")
            begin = place.reading(server, load)
            time.sleep(max(0.5, timing.duration_s - 1.3))
            end = place.reading(server, load)
            result = load.result(LOAD_TIMEOUT_S)
        server.check()
    finally:
        server.stop()
    used = cpus.difference(begin, end)
    return figures(scenario, result, system.cpu_share(used)) | {"foreign_share": cpus.foreign_share(used)}


def figures(scenario, result, share):
    """What weir-load's result comes to where the server used that share of its CPU."""
    found = result["traffic"]
    per_s = found["per_s"]
    if not per_s:
        raise laboratory.Failure(f"{scenario.name}: nothing came through; weir-load says: {_failures(result)}")
    latency = found["latency_us"]
    known = {"generator_share": result["generator"]["busy_share"], "server_share": share,
             "failed": float(result["exit_status"] != 0)}
    if scenario.figures is CONNECTS:
        known |= {"connects_per_s": per_s, "connect_p50": latency["p50"], "connect_p99": latency["p99"],
                  "cpu_per_connect": share / per_s * 1e6}
    elif "bytes_per_s" in scenario.figures:
        known |= {"bytes_per_s": found["bytes_per_s"] / 1e6, "cpu_per_mb": share / found["bytes_per_s"] * 1e12}
    else:
        known |= {"messages_per_s": per_s, "cpu_per_message": share / per_s * 1e6}
        if scenario.figures is ROUND_TRIPS:
            known |= {f"latency_{name}": latency[name] for name in ("p50", "p99", "p999")}
    return known


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
    grown = memory.growth(small, held, count)
    own, kernel = grown["pss"] + grown["huge"], grown["slab"] + grown["buffers"]
    each = (own + kernel) / count
    return {"bytes_per_connection": each, "connections_per_gb": GIBI / each,
            "memory_at_start": (start["pss"] + start["huge"]) / MEBI,
            "memory_held": (held["pss"] + held["huge"] + kernel) / MEBI,
            "process_bytes_per_connection": own / count, "kernel_bytes_per_connection": kernel / count}
