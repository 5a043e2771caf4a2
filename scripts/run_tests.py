# SPDX-License-Identifier: BSD-3-Clause
"""The steps of scripts/test: each is one command with a time limit, a log under build/test-logs and a way to read counts
out of what it left. A step that cannot run because an earlier one failed counts as failed, never as skipped."""
import argparse
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
import xml.etree.ElementTree as ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOGS = os.path.join(ROOT, "build", "test-logs")
RELEASE, TESTS, SANITIZED = "build", "build-test", "build-asan"  # the program; its tests; both with sanitizers
WEIR, WEIRCTL = "app/weir/weir", "app/weirctl/weirctl"
DEPTHS = ("quick", "plain", "nightly")
HEARTBEAT_S = 30
CPUS = len(os.sched_getaffinity(0))

SYNTHESIS = re.compile(r"Synthesis: Tested: (\d+) \| Passing: (\d+) \| Failing: (\d+) \| Crashing: (\d+)")
CRITERION_FAULT = re.compile(r"\[(?:FAIL|CRASH)\] ([\w:]+)|^.*?: Unexpected signal caught.*$")
SEEDS_LINE = re.compile(r"^(\d+) seeds from (\d+), (\d+) failed$", re.M)
LEAK = "LeakSanitizer: detected memory leaks"
COUNT_LINE = re.compile(r"(\d+) passed, (\d+) failed, (\d+) skipped")


class Tally:
    """What was counted so far, and where to read about each failure."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []  # (name, text that tells why)

    def add(self, passed=0, failed=0, skipped=0):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped

    def fail(self, name, why):
        self.failed += 1
        self.failures.append((name, why))

    def line(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def tail(text, lines=30):
    return "\n".join(text.splitlines()[-lines:])


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


class Step:
    """One running command: its own process group, output to a log, a line every half minute or every line of output."""

    number = 0

    def __init__(self, title, command, timeout_s, env=None, show=False):
        Step.number += 1
        self.title, self.command, self.timeout_s, self.show = title, command, timeout_s, show
        self.env = dict(os.environ, **(env or {}))
        self.log = os.path.join(LOGS, f"{Step.number:02d}-{re.sub(r'[^a-z0-9]+', '-', title.lower()).strip('-')}.log")
        self.timed_out = False
        self.last_line = ""

    def run(self):
        """True when the command ended with 0 in time."""
        started = time.monotonic()
        print(f"== {self.title}", flush=True)
        with open(self.log, "w", encoding="utf-8") as log:
            log.write("$ " + " ".join(self.command) + "\n")
            log.flush()
            process = subprocess.Popen(self.command, cwd=ROOT, env=self.env, stdin=subprocess.DEVNULL, text=True,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace",
                                       start_new_session=True)
            reader = threading.Thread(target=self._copy, args=(process, log), daemon=True)
            reader.start()
            try:
                self._wait(process, started)
            finally:
                self._end(process)
                reader.join(10)
        took = time.monotonic() - started
        ok = process.returncode == 0 and not self.timed_out
        result = "ok" if ok else f"stopped after its limit of {self.timeout_s} s" if self.timed_out \
            else f"exit status {process.returncode}"
        print(f"   {result}, {took:.0f} s", flush=True)
        return ok

    def _copy(self, process, log):
        for line in process.stdout:
            log.write(line)
            log.flush()
            self.last_line = line.strip()
            if self.show:
                print("   " + line.rstrip(), flush=True)

    def _wait(self, process, started):
        beat = started + HEARTBEAT_S
        while process.poll() is None:
            now = time.monotonic()
            if now - started > self.timeout_s:
                self.timed_out = True
                return
            if now > beat and not self.show:
                beat = now + HEARTBEAT_S
                print(f"   ... {now - started:.0f} s: {self.last_line[:100]}", flush=True)
            try:
                process.wait(0.5)
            except subprocess.TimeoutExpired:
                pass

    @staticmethod
    def _end(process):
        """Ask the whole group to stop (pytest takes its namespaces down), then insist."""
        for sig, patience_s in ((signal.SIGINT, 20), (signal.SIGKILL, 5)):
            if process.poll() is not None:
                break
            os.killpg(process.pid, sig)
            try:
                process.wait(patience_s)
            except subprocess.TimeoutExpired:
                pass

    def why(self, lines=30):
        prefix = f"stopped after its limit of {self.timeout_s} s; " if self.timed_out else ""
        return f"{prefix}{os.path.relpath(self.log, ROOT)} ends:\n{tail(read(self.log), lines)}"


# --- the steps ---

def build(tally, folder, options, timeout_s):
    """Configure and compile; True when all of it compiled. `ninja -k 0` builds what can be built, so that one broken
    module leaves the tests of the others standing."""
    made = os.path.exists(os.path.join(ROOT, folder, "meson-private", "coredata.dat"))
    setup = Step(f"configure {folder}", ["meson", "setup", *(["--reconfigure"] if made else []), folder, *options], 300)
    if not setup.run():
        tally.fail(f"configure {folder}", setup.why())
        return False
    compile_ = Step(f"compile {folder}", ["ninja", "-C", folder, "-j", str(CPUS), "-k", "0"], timeout_s)
    if not compile_.run():
        errors = [line for line in read(compile_.log).splitlines() if re.search(r"error:|undefined reference", line)]
        tally.fail(f"compile {folder}", "\n".join(errors[:20]) or compile_.why())
        return False
    tally.add(passed=1)
    return True


def count_script(tally, folder, name, output):
    """test_script says "FILE:LINE: case NAME: why" of each case that failed, and ends with a line of counts; without
    that line it did not come to its end."""
    found = COUNT_LINE.findall(output)
    passed, failed, _ = map(int, found[-1]) if found else (0, 1, 0)
    tally.add(passed, max(0, failed - 1))
    if failed:
        faults = [line for line in output.splitlines() if ": case " in line or "ERROR:" in line]
        tally.fail(f"{folder}: {name}", "\n".join(faults[:10]) + "\n" + tail(output, 40))


def count_meson_test(tally, folder, test):
    """One line of testlog.json: a Criterion program counts its tests, packet scripts their cases, any other program
    counts as one."""
    name, result, output = test["name"], test["result"], test.get("stdout", "") + test.get("stderr", "")
    if ":script / " in name:
        count_script(tally, folder, name, output)
        return
    found, seeds = SYNTHESIS.search(output), SEEDS_LINE.search(output)
    if seeds:  # a simulation over seeds is one test; how many it ran is worth a line
        print(f"   {name}: {seeds[0]}", flush=True)
    if result in ("OK", "EXPECTEDFAIL"):
        tally.add(passed=int(found[2]) if found else 1)
        if LEAK in output:  # of one of Criterion's children, whose exit status it does not look at
            tally.fail(f"{folder}: {name} leaks", tail(output[output.index(LEAK):], 40))
    elif result == "SKIP":
        tally.add(skipped=1)
    else:
        if found:
            tally.add(passed=int(found[2]), failed=max(0, int(found[3]) + int(found[4]) - 1))
        faults = [line for line in output.splitlines() if CRITERION_FAULT.search(line) or "ERROR:" in line]
        tally.fail(f"{folder}: {name} ({result.lower()})", "\n".join(faults[:10]) + "\n" + tail(output, 25))


def meson_tests(tally, folder, sanitized, timeout_s, depth):
    report = os.path.join(ROOT, folder, "meson-logs", "testlog.json")
    if os.path.exists(report):
        os.unlink(report)
    env = {"WEIR_TEST_DEPTH": depth}
    if sanitized:
        env |= {"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:strict_string_checks=1",
                "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}
    step = Step(f"unit, pair, script and simulation tests in {folder}",
                ["meson", "test", "-C", folder, "--no-rebuild", "--num-processes", str(CPUS),
                 "--timeout-multiplier", "5" if sanitized else "2"], timeout_s, env)
    step.run()
    tests = [json.loads(line) for line in read(report).splitlines() if line.strip()]
    for test in tests:
        count_meson_test(tally, folder, test)
    if not tests or step.timed_out:
        tally.fail(f"tests in {folder}", step.why())


def fuzz(tally, depth):
    """scripts/fuzz divides its time over the fuzzers and ends with a count line."""
    program, sources = os.path.join(ROOT, "scripts", "fuzz"), os.path.join(ROOT, "tests", "fuzz")
    if not os.path.exists(program):
        return
    fuzzers = sum(name.startswith("fuzz_") and name.endswith(".c") for name in os.listdir(sources))
    seconds = {"quick": 30, "plain": 60, "nightly": 600 * fuzzers}[depth]
    step = Step(f"{fuzzers} fuzzers, {seconds} s in all", [program, "--total", str(seconds)], 2 * seconds + 600)
    ok = step.run()
    found = COUNT_LINE.findall(read(step.log))
    if found:
        passed, failed, skipped = map(int, found[-1])
        tally.add(passed, max(0, failed - 1), skipped)
    if not ok or not found or failed:
        tally.fail("fuzzers", step.why())


def counted(tally, title, command, timeout_s, faults):
    """A command that ends with a line of counts; `faults` finds the lines of its output that tell of failures."""
    name = os.path.relpath(command[0], ROOT)
    step = Step(title, command, timeout_s)
    step.run()
    text = read(step.log)
    found = COUNT_LINE.findall(text)
    if not found:
        tally.fail(name, step.why())
        return
    passed, failed, skipped = map(int, found[-1])
    tally.add(passed, max(0, failed - 1), skipped)
    if failed:
        tally.fail(name, "\n".join(line for line in text.splitlines() if re.search(faults, line)))


def guard(tally, folder):
    """Instruction counts against the kept ones; one test a figure."""
    counted(tally, "instructions of hot functions and messages",
            [os.path.join(ROOT, "perf", "guard", "run"), "--build", folder], 600, r"^(FAIL|    )")


def mutants(tally):
    """Each defence taken out once: one test a defence."""
    counted(tally, "tests notice defences that are missing", [os.path.join(ROOT, "tests", "mutants", "run")], 3600,
            r"^\[\d+/\d+\].*(?<!: noticed)$")


def live(tally, folder, depth, sanitized, timeout_s, only):
    """pytest over tests/live against the weir of `folder`; counts from its junit report."""
    tests = os.path.join(ROOT, "tests", "live")
    if not any(name.startswith("test_") for name in (os.listdir(tests) if os.path.isdir(tests) else [])):
        return
    if not os.path.exists(os.path.join(ROOT, folder, WEIR)):
        tally.fail(f"live tests with {folder}", f"{folder}/{WEIR} was not built")
        return
    report = os.path.join(LOGS, f"live-{folder}.xml")
    if os.path.exists(report):
        os.unlink(report)
    step = Step(f"live tests with {folder}, depth {depth}",
                ["/usr/bin/python3", "-m", "pytest", "tests/live", "-v", "--tb=short", "-p", "no:cacheprovider",
                 "--depth", depth, "--build", folder, f"--junitxml={report}", *(["-k", only] if only else [])],
                timeout_s, {"WEIR_LIVE_SANITIZED": "1" if sanitized else ""}, show=True)
    step.run()
    if not os.path.exists(report):
        tally.fail(f"live tests with {folder}", step.why())
        return
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        faults = case.findall("failure") + case.findall("error")
        if faults:
            name = f"{folder}: {case.get('classname').split('.')[-1]}::{case.get('name')}"
            tally.fail(name, tail(faults[0].text or faults[0].get("message", ""), 40))
        elif case.find("skipped") is not None:
            tally.add(skipped=1)
        else:
            tally.add(passed=1)


def simple(tally, title, command, timeout_s, show=False):
    step = Step(title, command, timeout_s, show=show)
    if step.run():
        tally.add(passed=1)
    else:
        tally.fail(title, step.why())


def layers(tally):
    step = Step("rules of the house", [os.path.join(ROOT, "scripts", "check-layers")], 60)
    step.run()
    text = read(step.log)
    found = COUNT_LINE.findall(text)
    if not found:
        tally.fail("check-layers", step.why())
        return
    passed, failed, _ = map(int, found[-1])
    tally.add(passed)
    if failed:
        tally.add(failed=failed - 1)
        tally.fail("check-layers", "\n".join(line for line in text.splitlines() if line.startswith(("FAIL", "     "))))


class Leftovers:
    """What must be the same before and after: a run leaves nothing on the machine. Processes are recognised by an
    environment variable that all children of this run inherit, so that others at work here do not count."""

    def __init__(self):
        self.tag = uuid.uuid4().hex
        os.environ["WEIR_TEST_RUN"] = self.tag
        self.before = self._things()

    def _things(self):
        things = {f"network interface {name}" for name in os.listdir("/sys/class/net")
                  if name.startswith(("weir", "dtap", "tap", "lb"))}
        mounts = [line.split() for line in read("/proc/mounts").splitlines()]
        for folder in (mount[1] for mount in mounts if mount[2] == "hugetlbfs"):
            things |= {f"hugepage file {folder}/{name}" for name in os.listdir(folder)}
        things.add(f"vm.nr_hugepages = {read('/proc/sys/vm/nr_hugepages').strip()}")
        return things

    def _processes(self):
        for pid in filter(str.isdigit, os.listdir("/proc")):
            if int(pid) == os.getpid():
                continue
            try:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    ours = f"WEIR_TEST_RUN={self.tag}".encode() in file.read()
                if ours:
                    yield f"process {pid}: {read(f'/proc/{pid}/cmdline').replace(chr(0), ' ')}"
            except OSError:
                continue  # it ended meanwhile

    @staticmethod
    def _namespaces():
        sys.path.insert(0, os.path.join(ROOT, "tests", "live"))
        try:
            import netns  # only where the live tests exist
        except ImportError:
            return []
        return [f"network namespace {name}" for name in netns.left_by_the_dead()]

    def check(self, tally):
        print("== nothing is left behind", flush=True)
        deadline = time.monotonic() + 10
        while True:
            left = sorted(self._things() - self.before) + list(self._processes()) + self._namespaces()
            if not left or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        if left:
            tally.fail("nothing is left behind", "\n".join(left))
        else:
            tally.add(passed=1)
        print(f"   {'ok' if not left else 'left: ' + '; '.join(left)}", flush=True)


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/test", description="Builds weir and runs everything that tests it.")
    depth = parser.add_mutually_exclusive_group()
    depth.add_argument("--quick", dest="depth", action="store_const", const="quick", help="no sanitizers, no instruction counts, less depth; under 5 minutes")
    depth.add_argument("--nightly", dest="depth", action="store_const", const="nightly", help="full depth, hours")
    parser.add_argument("--only", action="append", choices=["layers", "unit", "guard", "asan", "fuzz", "live", "live-asan", "demo", "mutants"],
                        help="only these parts (may be given several times)")
    parser.add_argument("-k", dest="select", metavar="EXPRESSION", help="only the live tests that match, as pytest -k")
    parser.set_defaults(depth="plain")
    return parser.parse_args()


def run(options, tally):
    depth = options.depth
    level = DEPTHS.index(depth)
    quick, thorough = ["layers", "unit", "fuzz", "live", "demo"], ["guard", "asan", "live-asan"]
    wanted = set(options.only or quick + thorough * (level > 0) + ["mutants"] * (level > 1))
    if "layers" in wanted:
        layers(tally)
    if wanted & {"live", "demo"}:
        build(tally, RELEASE, ["--buildtype=release", "-Db_lto=true", "-Dwerror=true"], 1500)
    if "unit" in wanted:
        # Without LTO: a hundred small programs would each link all of it again.
        build(tally, TESTS, ["--buildtype=release", "-Db_lto=false", "-Dwerror=true", "-Dtests=true",
                             f"-Dbenchmarks={'false' if depth == 'quick' else 'true'}"], 900)
        meson_tests(tally, TESTS, False, (300, 600, 7200)[level], depth)
    if "mutants" in wanted:
        mutants(tally)
    if "guard" in wanted:  # builds what it counts where that is not done yet
        guard(tally, TESTS)
    if wanted & {"asan", "live-asan"}:
        build(tally, SANITIZED, ["--buildtype=debugoptimized", "-Db_lto=false", "-Dwerror=true", "-Dtests=true",
                                 "-Db_sanitize=address,undefined"], 1200)
    if "asan" in wanted:
        meson_tests(tally, SANITIZED, True, (600, 900, 14400)[level], depth)
    if "fuzz" in wanted:
        fuzz(tally, depth)
    if "live" in wanted:
        live(tally, RELEASE, depth, False, (600, 1500, 7200)[level], options.select)
    if "live-asan" in wanted:
        live(tally, SANITIZED, ("quick", "broad", "plain")[level], True, (600, 900, 7200)[level], options.select)
    if "demo" in wanted:
        if os.path.exists(os.path.join(ROOT, "scripts", "demo")):
            simple(tally, "scripts/demo", ["scripts/demo", "--no-build"], 180, show=True)
            if level > 0:
                simple(tally, "scripts/demo --port af_xdp --one-arm",
                       ["scripts/demo", "--no-build", "--port", "af_xdp", "--one-arm"], 180, show=True)


def main():
    options = arguments()
    if os.geteuid() != 0:
        print("scripts/test: run it as root: it makes network namespaces and TAP and AF_XDP ports", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.chdir(ROOT)
    os.makedirs(LOGS, exist_ok=True)
    started = time.monotonic()
    tally = Tally()
    leftovers = Leftovers()
    try:
        run(options, tally)
    except KeyboardInterrupt:
        tally.fail("interrupted", "the steps after this one did not run")
    leftovers.check(tally)
    for name, why in tally.failures:
        print(f"\n-- FAILED: {name}\n{why}")
    if tally.failures:
        print("\nfailed:\n" + "\n".join(f"  {name}" for name, _ in tally.failures))
    print(f"\n{(time.monotonic() - started) / 60:.1f} minutes, depth {options.depth}; logs in build/test-logs")
    print(tally.line(), flush=True)
    return 1 if tally.failed else 0


sys.exit(main())
