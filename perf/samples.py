# SPDX-License-Identifier: BSD-3-Clause
"""Programs of a build directory that print figures, run on the last CPU, and a figure's samples over several runs."""
import os
import statistics
import subprocess
import sys

from command import fail

CPU = max(os.sched_getaffinity(0))
TIMEOUT_S = 300
PROGRAMS = ["path/path_floor", "path/path_memif", "path/path_message", "micro/bench_tls_record"]
ONLY = {"micro/bench_tls_record": "B, AES_128_GCM"}  # of its operations
UNITS = {"micro/bench_tls_record": "cycles/record"}  # of all others: cycles


def run(command, env):
    try:
        done = subprocess.run(command, env=dict(os.environ, **env), capture_output=True, text=True, timeout=TIMEOUT_S,
                              check=False, preexec_fn=lambda: os.sched_setaffinity(0, {CPU}))
    except subprocess.TimeoutExpired:
        fail(f"{' '.join(command)}: not done after {TIMEOUT_S} s")
    if done.returncode:
        fail(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
    print(done.stderr, end="", file=sys.stderr, flush=True)  # figures of which no sample ran undisturbed
    return done.stdout.splitlines()


def samples(folder, program, quick):
    """[(figure, unit, best, median)] of one run of a program."""
    path = os.path.join(folder, "perf", program)
    if program.startswith("micro/"):
        env = {"WEIR_BENCH": "warm", "WEIR_BENCH_ONLY": ONLY.get(program, ""), "WEIR_BENCH_QUICK": "1" if quick else ""}
        rows = (line.rsplit(None, 2) for line in run([path], env))
        return [(name, UNITS.get(program, "cycles"), float(best), float(median)) for name, best, median in rows]
    rows = (line.split(",") for line in run([path, "--csv", *(["--quick"] if quick else [])], {}))
    return [(name, unit, float(best), float(median)) for name, unit, best, median, _ in rows]


class Figure:
    """One figure over all runs. A rate's best is the largest, a cost's the least."""

    def __init__(self, unit):
        self.rate = unit.endswith("/s")
        self.unit, self.bests, self.medians = unit, [], []

    @property
    def best(self):
        return max(self.bests) if self.rate else min(self.bests)

    @property
    def median(self):
        return statistics.median(self.medians)

    @property
    def spread(self):
        return (max(self.medians) - min(self.medians)) / self.median

    def share_of(self, floor):
        """How much of the floor's rate this reaches."""
        return self.best / floor.best if self.rate else floor.best / self.best
