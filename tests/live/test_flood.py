# SPDX-License-Identifier: BSD-3-Clause
"""SYN floods from made-up addresses while real clients connect, and floods of what belongs to no connection."""
import concurrent.futures
import json
import subprocess

import pytest

import clients
import mqtt
import netns
import peers
from lab import wait_for

MATRIX = "later"
FLOOD = {"quick": 100_000, "plain": 2_000_000, "nightly": 2_000_000}
CLIENTS = {"quick": 100, "plain": 1000, "nightly": 1000}
RSS_SLACK_KB = 2048  # of pools and stacks, a page here and there


def configure(config, lab):
    config["memory"]["max_connections"] = 4000  # a backlog that even a small share of the flood fills
    config["ports"][0]["gateway"] = lab.client  # the way back to 198.19.0.0/16, where nobody is
    # The link in front of weir loses most of what the flood and the clients send, so that their retransmissions back off.
    config["timeouts"] |= {"handshake_s": 60, "mqtt_connect_s": 60}


def prepare(lab):
    peers.two_mosquittos(lab)


def weir_mac(lab):
    """As the clients' kernel knows it."""
    lab.connect(9000).close()
    return json.loads(lab.client_ns.ip("-j", "neigh", "show", lab.front).stdout)[0]["lladdr"]


class Flood:
    """syn_flood, running."""

    def __init__(self, lab, port, count, *kind):
        self.process = lab.client_ns.popen(lab.tool("flood/syn_flood"), "eth0", weir_mac(lab), lab.front, str(port), str(count), *kind,
                                           stdout=subprocess.PIPE, text=True)
        lab.keep(self)

    def running(self):
        return self.process.poll() is None

    def result(self):
        out, _ = self.process.communicate(timeout=120)
        assert self.process.returncode == 0
        return json.loads(out)

    def close(self):
        netns.end(self.process)


def rss_kb(lab):
    with open(f"/proc/{lab.weir.process.pid}/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


def served(lab, number):
    """A client that connects over TLS, speaks MQTT and stays."""
    sock = lab.connect_tls(8883, timeout_s=90)
    sock.sendall(mqtt.connect(f"real-{number}"))
    answer = mqtt.read(sock)
    assert answer and answer[0] == mqtt.CONNACK and answer[2][1] == 0, answer
    clients.ping(sock)
    return sock


def longest_turn(lab, seconds):
    """weirctl cycles over the next so many seconds, running."""
    return subprocess.Popen([lab.binary("weirctl"), "-s", lab.socket_path(), "cycles", "--json", "-i", str(seconds)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def sanitized(lab):
    with open(f"/proc/{lab.weir.process.pid}/maps", encoding="utf-8") as maps:
        return "libasan" in maps.read()


def storm(lab, syns, count):
    """So many SYNs, and clients that connect meanwhile. Returns (what syn_flood says, clients served during it)."""
    flood = Flood(lab, 8883, syns)
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        jobs = [pool.submit(served, lab, number) for number in range(count)]
        socks, during = [], 0
        for job in concurrent.futures.as_completed(jobs):
            socks.append(job.result())
            during += flood.running()
    for sock in socks:
        clients.ping(sock)
        clients.leave(sock)
    return flood.result(), during


def test_syn_flood(lab, depth):
    at_rest = lab.metrics()
    storm(lab, 100_000, CLIENTS[depth])  # touches the pages that so many connections and half-open flows take
    lab.wait_metric("weir_tcp_half_open", lambda value: value == 0, 60)
    lab.wait_quiet(at_rest)
    before, rss = lab.metrics(), rss_kb(lab)
    cycles = longest_turn(lab, 5 if depth == "quick" else 30)
    sent, during = storm(lab, FLOOD[depth], CLIENTS[depth])
    now = lab.metrics()

    def new(name):
        return now.get(name) - before.get(name)

    print(f"{sent['sent']} SYNs in {sent['seconds']:.1f} s, {new('weir_tcp_syns_in_total'):.0f} reached weir, "
          f"{new('weir_tcp_cookies_sent_total'):.0f} cookies, {new('weir_tcp_cookies_accepted_total'):.0f} of them came back; "
          f"{during} of {CLIENTS[depth]} clients served during it; drops {now.drops('tcp')}")
    answer, complaint = cycles.communicate(timeout=120)
    assert cycles.returncode == 0, complaint
    for worker in json.loads(answer)["workers"]:
        exactly = "" if worker["longest_turn_exact"] else "at most "
        print(f"worker {worker['worker']}: longest turn {exactly}{worker['longest_turn_us']:.0f} us")
    lab.wait_metric("weir_tcp_half_open", lambda value: value == 0, 60)
    lab.wait_quiet(at_rest)
    grown = rss_kb(lab) - rss
    print(f"resident memory grew by {grown} KB")
    if not sanitized(lab):  # AddressSanitizer keeps what is freed for a while, and shadows all of it
        assert grown < RSS_SLACK_KB
    assert new("weir_tcp_cookies_sent_total") > 0
    if depth != "quick":
        assert new("weir_tcp_cookies_accepted_total") > 0
        assert during >= CLIENTS[depth] / 2, f"only {during} clients were served while the flood went on"


@pytest.mark.parametrize("port,kind,reason", [(8883, "ack", "cookie"), (9999, "syn", "no_flow_limit")])
def test_flood_of_strays(lab, depth, port, kind, reason):
    """Bare ACKs while cookies are out, and SYNs to a closed port: answered at a limited rate, nothing is kept."""
    before = lab.metrics()
    flood = Flood(lab, port, FLOOD[depth] // 10, kind)
    clients.leave(served(lab, f"{kind}-beside"))
    flood.result()
    counted = before.drops("tcp").get(reason, 0)
    wait_for("the strays to be counted", lambda: lab.metrics().drops("tcp").get(reason, 0) > counted)
    now, resets = lab.metrics(), "weir_tcp_resets_out_total"
    print(f"{kind}: {now.drops('tcp')}, resets {now.get(resets) - before.get(resets):.0f}")
    clients.leave(served(lab, f"{kind}-after"))
    lab.wait_quiet(before)
