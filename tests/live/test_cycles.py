# SPDX-License-Identifier: BSD-3-Clause
"""Where cycles go: `weirctl cycles` and its counters, with real TLS MQTT traffic."""
import json
import re
import socket
import subprocess

import pytest

import clients
import netns
import peers
from lab import wait_for

MATRIX = "ends"
STAGES = ["rx", "handoff", "ip", "udp", "tcp_in", "session", "handshake", "tls_open", "mqtt", "lb", "tls_seal", "tcp_out", "tx",
          "timers", "control", "idle"]
PINGS = 40


def prepare(lab):
    peers.two_mosquittos(lab)


def report(lab, *words):
    return json.loads(lab.weirctl("cycles", "--json", *words))


def cycles(worker):
    return {line["stage"]: line["cycles"] for line in worker["stages"]}


def traffic(lab, number):
    """A client that comes, says something and goes; and a datagram that comes back."""
    sock = clients.open_mqtt(lab, f"cycles-{number}", 8883, tls=True)
    for _ in range(PINGS):
        clients.ping(sock)
    clients.leave(sock)
    with lab.client_ns.socket(kind=socket.SOCK_DGRAM) as udp:
        udp.settimeout(10)
        udp.sendto(b"datagram", (lab.front, 7))
        assert udp.recv(100) == b"datagram"


def measure_all(lab):
    """Drive weir until every stage was among the turns that were measured."""
    wanted = set(STAGES) - ({"handoff"} if lab.variant.workers == 1 else set())
    missing, number = wanted, 0

    def round_of_traffic():
        nonlocal missing, number
        for _ in range(10):
            number += 1
            traffic(lab, number)
        seen = {stage for worker in report(lab)["workers"] for stage, n in cycles(worker).items() if n > 0}
        missing = wanted - seen
        return not missing

    wait_for(lambda: f"stages to be measured: {sorted(missing)}", round_of_traffic, 120, 0)


@pytest.fixture(scope="module")
def driven(running_lab):
    measure_all(running_lab)
    return running_lab


def test_every_stage_is_measured_and_they_add_up(driven, lab):
    before, answer, after = lab.metrics(), report(lab), lab.metrics()
    assert answer["since_start"] and len(answer["workers"]) == lab.variant.workers
    for worker in answer["workers"]:
        assert [line["stage"] for line in worker["stages"]] == STAGES
        assert worker["turns"] > worker["busy_turns"] >= worker["measured_busy_turns"] > 0, worker
        spent = cycles(worker)
        idle, busy = spent.pop("idle"), worker["busy"]["cycles"]
        assert sum(spent.values()) == pytest.approx(busy, rel=1e-9)
        assert sum(line["of_time"] for line in worker["stages"]) == pytest.approx(1, rel=1e-9)
        assert worker["busy_share"] == pytest.approx(busy / (busy + idle), rel=1e-9)
        # The same time as the exact counters have, which only grow.
        for share, name in ((worker["busy_share"], "busy"), (1 - worker["busy_share"], "idle")):
            seconds, of = share * worker["seconds"], {"worker": worker["worker"]}
            metric = f"weir_worker_{name}_seconds_total"
            assert before.get(metric, **of) - 1e-6 <= seconds <= after.get(metric, **of) + 1e-6, (name, worker)


def test_about_one_turn_in_128(driven, lab):
    for worker in report(lab)["workers"]:
        measured = worker["measured_busy_turns"] + worker["measured_empty_turns"]
        assert worker["turns"] / 192 - 1 <= measured <= worker["turns"] / 64 + 1, worker


def test_costs_are_spread_over_what_happened(driven, lab):
    def totals():
        workers = report(lab)["workers"]
        return {key: sum(worker[key] for worker in workers) for key in ("packets", "records", "messages")}

    sock = clients.open_mqtt(lab, "counted", 8883, tls=True)
    clients.ping(sock)
    before = totals()
    for _ in range(PINGS):
        clients.ping(sock)
    after = totals()
    clients.leave(sock)
    assert after["messages"] - before["messages"] == 2 * PINGS  # there and back, a record each
    assert after["records"] - before["records"] == 2 * PINGS
    assert after["packets"] - before["packets"] >= 2 * PINGS
    for worker in report(lab)["workers"]:
        for work, cost in (("packets", "per_packet"), ("records", "per_record"), ("messages", "per_message")):
            for line in [worker["busy"], *worker["stages"][:-1]]:
                if worker[work]:
                    assert line[cost] * worker[work] == pytest.approx(line["cycles"], rel=1e-9)


def test_interval(driven, lab):
    answer = report(lab, "--interval", "0.5")
    assert not answer["since_start"]
    for worker in answer["workers"]:
        assert 0.4 < worker["seconds"] < 5 and worker["turns"] > 0, worker


def test_watch(driven, lab):
    watch = subprocess.Popen([lab.binary("weirctl"), "-s", lab.socket_path(), "cycles", "--watch", "-i", "0.2"],
                             stdout=subprocess.PIPE, text=True, preexec_fn=netns.die_with_parent)
    try:
        seen = 0
        while seen < 3 * lab.variant.workers:
            line = watch.stdout.readline()
            assert line, "weirctl ended"
            seen += bool(re.match(r"worker \d+: busy [\d.]+% of \d", line))
        assert watch.poll() is None
    finally:
        watch.kill()
        watch.wait()
        watch.stdout.close()


def test_table(driven, lab):
    text = lab.weirctl("cycles")
    assert re.search(r"^worker 0: busy [\d.]+% of [\d.]+ s, \d+ turns, \d+ of them measured", text, re.MULTILINE), text
    for stage in ("tcp in", "session", "busy"):
        assert re.search(rf"^  {stage} +[\d.]+% +[\d.]+% +\d+ +[\d.]+ ", text, re.MULTILINE), text


def test_metrics(driven, lab):
    by_stage = lab.metrics().by("weir_worker_stage_cycles_total", "stage")
    assert set(by_stage) == set(STAGES) - {"idle"}
    assert lab.metrics().get("weir_worker_measured_turns_total") > 0


def test_errors(lab):
    done = subprocess.run([lab.binary("weirctl"), "-s", "/nonexistent.sock", "cycles"], capture_output=True, text=True,
                          check=False, timeout=30)
    assert done.returncode == 1 and "/nonexistent.sock" in done.stderr and "is weir running" in done.stderr
    assert lab.weirctl("cycles", "--interval", "0", check=False).returncode == 2
