# SPDX-License-Identifier: BSD-3-Clause
"""Two builds of weir on a machine that others use too: both are up, each with a generator of its own, and while one works the
other stands still (SIGSTOP), half a second each.

What others take of the CPUs comes and goes by the second. Runs that follow each other meet different amounts of it, and their
ratio says more about that than about the builds; turns of half a second meet the same.

Nothing may notice that it stood still. A generator (weir-load --by-turns) therefore lets what is under way come to its end, the
last delayed ACK too, before it stops itself, and its clock stands still as well; weir is stopped when it has nothing to do, with
no timer running but those of idle connections. These rests are taken off what is measured."""
import contextlib
import math
import os
import signal
import time

import cpus
import lab as laboratory
import measure
from scenarios import CAPACITY

TURN_S = 0.5
PATIENCE_S = 60


class Side:
    """One build: its weir and its generator, which stand still from here on."""

    def __init__(self, stack, system, scenario, timing, rate, build_folder):
        self.scenario, self.system = scenario, system
        lab = stack.enter_context(laboratory.Lab(scenario.connections, build_folder=build_folder))
        self.place = measure.Place(lab, system, scenario.own_receive)
        self.server = system(lab, scenario.certificate, CAPACITY)
        stack.callback(self.server.stop)
        self.load = stack.enter_context(lab.load(*measure.load_arguments(scenario, timing, rate), "--by-turns", quiet=True))
        stack.callback(self._wake)
        self.turns = 0
        self.first = math.ceil(timing.warmup_s / TURN_S)  # turns that the generator measures from beginning to end
        self.last = self.first + max(1, int(timing.duration_s / TURN_S) - 1) - 1
        self.used = {"at": 0.0, "server": 0.0, "receive": 0.0, "softirq": 0.0}
        self._wait_rest()
        self._signal_server(signal.SIGSTOP)

    @property
    def done(self):
        return self.load.process.poll() is not None

    def _signal_server(self, number):
        for pid in self.server.pids():
            os.kill(pid, number)

    def _wake(self):
        """Whoever stands still cannot end."""
        with contextlib.suppress(ProcessLookupError):
            self._signal_server(signal.SIGCONT)
        if not self.done:
            self.load.process.send_signal(signal.SIGCONT)

    def _rests(self):
        with open(f"/proc/{self.load.process.pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "T"

    def _wait_rest(self):
        deadline = time.monotonic() + PATIENCE_S
        while not self.done and not self._rests():
            if time.monotonic() > deadline:
                raise laboratory.Failure(f"weir-load did not come to rest within {PATIENCE_S} s")
            time.sleep(0.0005)

    def _reading(self):
        return {"at": time.monotonic(), "softirq": cpus.cpu_times(laboratory.SERVER_CPU)["softirq"],
                "receive": sum(map(cpus.run_seconds, self.place.threads))}

    def turn(self):
        """Half a second of work."""
        self._signal_server(signal.SIGCONT)
        if self.turns == self.first:
            self.used["server"] -= self.server.cpu_seconds()
        begin = self._reading()
        self.load.process.send_signal(signal.SIGCONT)
        time.sleep(TURN_S)
        if not self.done:
            self.load.process.send_signal(signal.SIGUSR1)
            self._wait_rest()
        if self.first <= self.turns <= self.last:
            for key, value in cpus.difference(begin, self._reading()).items():
                self.used[key] += value
        if self.turns == self.last:
            self.used["server"] += self.server.cpu_seconds()
        self.turns += 1
        self._signal_server(signal.SIGSTOP)

    def figures(self):
        """As measure.traffic() has them."""
        self._signal_server(signal.SIGCONT)
        result = self.load.result(measure.LOAD_TIMEOUT_S)
        self.server.check()
        rests = result["rests"]
        used = self.used | {"at": self.used["at"] - (self.last - self.first + 1) * rests["seconds"] / rests["n"]}
        return measure.figures(self.scenario, result, self.system.cpu_share(used))


def traffic(systems, scenario, timing, rate, build_folder):
    """{system's name: {metric: value}} of one run of each, side by side."""
    with contextlib.ExitStack() as stack:
        sides = [Side(stack, system, scenario, timing, rate, build_folder) for system in systems]
        while not all(side.done for side in sides):
            for side in sides:
                if not side.done:
                    side.turn()
        return {side.system.name: side.figures() for side in sides}
