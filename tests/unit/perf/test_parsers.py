#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What perf's scripts read from other programs, on recorded output of the real ones: Pktgen 23.03 and dperf against
weir, a callgrind 3.19 profile; and the CSV of figures."""
import importlib.machinery
import importlib.util
import os
import shutil
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
RECORDED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "recorded")
sys.path.append(os.path.join(ROOT, "perf"))
sys.path.append(os.path.join(ROOT, "perf", "e2e", "compare_lib"))
sys.dont_write_bytecode = True

import figures  # noqa: E402 (the path above comes first)
import verdict  # noqa: E402


def script(path):
    """A script of perf/ as a module; it has no .py at its end."""
    loader = importlib.machinery.SourceFileLoader(path.replace("/", "_"), os.path.join(ROOT, "perf", path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def recorded(name):
    with open(os.path.join(RECORDED, name), encoding="utf-8") as file:
        return file.read()


class Verdict(unittest.TestCase):
    """compare_lib/verdict.py: is a build worse by more than 3%?"""

    def test_too_few(self):
        self.assertIsNone(verdict.bounds([1.0] * 6))

    def test_bounds(self):
        """Ranks as in tables of the signed-rank test: one-sided 1% is 0 of 7 values and 5 of 10."""
        self.assertEqual([round(bound, 9) for bound in verdict.bounds([1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6])], [1.0, 1.6])
        powers = [2.0**i for i in range(10)]  # means of pairs: 0, 0.5, 1, 1, 1.5, 1.5, ... and the same from 9 down
        self.assertEqual([round(bound, 9) for bound in verdict.bounds(powers)], [round(2**1.5, 9), round(2**7.5, 9)])

    def test_judgement(self):
        for low, high, found in ((0.98, 1.10, verdict.NOT_WORSE), (0.80, 0.96, verdict.IS_WORSE), (0.96, 1.02, verdict.OPEN)):
            self.assertEqual(verdict.judge("messages_per_s", low, high), found)
            self.assertEqual(verdict.judge("cpu_per_message", 2 - high, 2 - low), found)


class Pktgen(unittest.TestCase):
    def setUp(self):
        self.run_script = script("pktgen/run")

    def test_latency(self):
        found = {(name, metric): value for name, metric, value in self.run_script.parse(os.path.join(RECORDED, "pktgen"))}
        slow, fast = "pktgen latency 64 B at 0.1%", "pktgen latency 64 B at 1%"
        self.assertEqual(found[slow, "rx_pps"], 15168)
        self.assertEqual(found[slow, "samples"], 137)
        self.assertEqual(found[fast, "samples"], 143)
        self.assertAlmostEqual(found[slow, "p50_us"], 30.21, 2)
        self.assertAlmostEqual(found[slow, "p99_9_us"], found[slow, "max_us"], 2)
        self.assertLessEqual(found[slow, "p50_us"], found[slow, "p99_us"])

    def test_scenario_that_failed(self):
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "figures")
            for text in ("", "pktgen throughput 64 B\trx_pps\t1\n", "failed: no such port\n"):
                with open(out, "w", encoding="utf-8") as file:
                    file.write(text)
                with self.assertRaisesRegex(self.run_script.Failure, "did not come to its end"):
                    self.run_script.parse(out)

    def test_percentile(self):
        hundred = list(range(1, 101))
        self.assertEqual([self.run_script.percentile(hundred, share) for share in (0.5, 0.99, 0.999, 0)], [50, 99, 100, 1])
        self.assertEqual(self.run_script.percentile([7], 0.5), 7)


class Dperf(unittest.TestCase):
    def setUp(self):
        self.run_script = script("dperf/run")

    def test_connections(self):
        found = dict(self.run_script.parse(recorded("dperf-cps.txt"), "cps", 4))
        self.assertEqual(found["connections_per_s"], 1000)
        self.assertGreater(found["round_trip_us"], 0)
        self.assertEqual([found[name] for name in self.run_script.TROUBLE], [0] * len(self.run_script.TROUBLE))

    def test_totals(self):
        seconds, total = self.run_script.blocks(recorded("dperf-cps.txt"))
        self.assertEqual(len(seconds), 16)
        self.assertEqual((total["skOpen"], total["rtt(us)"], total["bitsTx"]), (23400, 460.5, 53914608))

    def test_run_that_broke_off(self):
        text = recorded("dperf-cps.txt")
        for broken in (text[:text.index("Total Numbers")], text[:2000], "dpdk init fail\n"):
            with self.assertRaisesRegex(self.run_script.Failure, "broke off"):
                self.run_script.parse(broken, "cps", 4)


class Micro(unittest.TestCase):
    def test_profile(self):
        profile = script("micro/run").profile(os.path.join(RECORDED, "callgrind.1"))
        self.assertEqual(profile, ("instructions", 32, "tcp_output 64 B copied, 32 flows", 28062, 228 + 177, 92))


class Figures(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = os.path.join(self.folder, "deep", "figures.csv")

    def test_newest_wins_and_others_stay(self):
        old = dict(commit="a", dirty="no", date="1", machine="m, 2 cores", options="o")
        figures.merge(self.path, old, [("push, 64 B", "cycles", 10), ("pop", "cycles", 20)])
        figures.merge(self.path, dict(old, commit="b"), [("pop", "cycles", 12.5)])
        rows = figures.read(self.path)
        self.assertEqual({key: (row["commit"], float(row["value"])) for key, row in rows.items()},
                         {("push, 64 B", "cycles"): ("a", 10), ("pop", "cycles"): ("b", 12.5)})
        self.assertEqual(rows["pop", "cycles"]["machine"], "m, 2 cores")

    def test_no_file(self):
        self.assertEqual(figures.read(self.path), {})


if __name__ == "__main__":
    unittest.main()
