# SPDX-License-Identifier: BSD-3-Clause
"""Seeing inside: /metrics and /healthz, weirctl, DPDK's telemetry, captures."""
import glob
import json
import os
import re
import socket
import ssl
import subprocess
import threading

import pytest

import clients
import netns
import peers
from lab import wait_for

MATRIX = "ends"
LINE = re.compile(r'^(# (HELP|TYPE) .*|[a-z_][a-z0-9_]*(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? -?[0-9.e+-]+|)$')
NAMES = ["weir_port_rx_packets_total", "weir_port_tx_bytes_total", "weir_drops_total", "weir_tcp_segs_in_total",
         "weir_tcp_flows", "weir_tls_handshakes_done_total", "weir_tls_ssl_objects", "weir_tls_alerts_total",
         "weir_listener_connections_total",
         "weir_listener_open", "weir_server_connections_total", "weir_server_up", "weir_mbufs_in_use",
         "weir_worker_turns_total", "weir_worker_busy_seconds_total", "weir_worker_idle_seconds_total",
         "weir_memory_bytes_per_connection", "weir_sessions", "weir_timers_armed"]


def prepare(lab):
    peers.two_mosquittos(lab)


@pytest.fixture
def held(lab):
    """A few open connections to look at."""
    socks = [clients.open_mqtt(lab, f"seen-{number}", 8883, tls=True) for number in range(6)]
    yield socks
    for sock in socks:
        clients.leave(sock)


def test_healthz(lab):
    status, body = lab.http("/healthz")
    assert status == 200, body


def test_unknown_path(lab):
    assert lab.http("/nothing-here")[0] == 404


def test_metrics_text(lab, held):
    _, body = lab.http("/metrics")
    bad = [line for line in body.splitlines() if not LINE.match(line)]
    assert not bad, bad[:5]
    missing = [name for name in NAMES if not re.search(rf"^{name}[{{ ]", body, re.MULTILINE)]
    assert not missing, missing


def test_metrics_count_what_happened(lab):
    wait_for("the connections of the test before to end",
             lambda: lab.metrics().get("weir_listener_open", listener="mqtts") == 0)
    before = lab.metrics()
    for number in range(10):
        clients.leave(clients.open_mqtt(lab, f"counted-{number}", 8883, tls=True))

    def grown(name, **labels):
        return lab.metrics().get(name, **labels) - before.get(name, **labels)

    wait_for("the connections to be counted", lambda: grown("weir_listener_connections_total", listener="mqtts") == 10)
    assert grown("weir_server_connections_total", pool="brokers") == 10
    assert grown("weir_tls_handshakes_done_total") == 10
    wait_for("the ends to be counted", lambda: grown("weir_listener_closed_total", listener="mqtts") == 10)


def test_alerts_by_name(lab):
    """What a client has against the handshake can be told from anything else."""
    before = lab.metrics().get("weir_tls_alerts_total", direction="in", alert="unknown_ca")
    with lab.connect(8883) as sock, pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(sock, server_hostname="weir.test")
    lab.wait_metric("weir_tls_alerts_total", lambda value: value == before + 1, direction="in", alert="unknown_ca")
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode, old.maximum_version = False, ssl.CERT_NONE, ssl.TLSVersion.TLSv1_2
    old.set_ciphers("AES128-SHA")
    with lab.connect(8883) as sock, pytest.raises(ssl.SSLError, match="(?i)handshake.failure"):
        old.wrap_socket(sock)
    lab.wait_metric("weir_tls_alerts_total", lambda value: value >= 1, direction="out", alert="handshake_failure")
    text = lab.weirctl("stats", "alerts")
    assert re.search(r"alerts_total +in unknown_ca \d+ +\d", text), text
    assert re.search(r"alerts_total +out handshake_failure \d+ +\d", text), text
    assert "decrypt_error" not in text, "zeros are left out"


def test_weirctl_stats(lab, held):
    text = lab.weirctl("stats")
    for word in ("front", "mqtts", "b1", "b2"):
        assert word in text, text
    json.loads(lab.weirctl("stats", "--json"))


def test_weirctl_flows(lab, held):
    text = lab.weirctl("flows")
    for sock in held:
        address, port = sock.getsockname()
        assert re.search(rf"{re.escape(address)}:{port}\b", text), text
    assert "ESTAB" in text.upper() and "cwnd" in text.lower()
    assert len(json.dumps(json.loads(lab.weirctl("flows", "--json")))) > 100


def test_weirctl_servers_and_drain(lab):
    assert "b1" in lab.weirctl("servers")
    lab.wait_servers_up("brokers")
    found = clients.ids_by_server(lab, ["b1", "b2"], 1, "drain-")
    lab.weirctl("drain", "brokers/b1")
    try:
        wait_for("b1's client to move", lambda: clients.server_of(lab, found["b1"][0]) == "b2")
        assert clients.server_of(lab, found["b2"][0]) == "b2"
        assert "drain" in lab.weirctl("servers").lower()
    finally:
        lab.weirctl("ready", "brokers/b1")
    wait_for("b1's client to come back", lambda: clients.server_of(lab, found["b1"][0]) == "b1")


def test_weirctl_errors(lab):
    for words in (["drain", "brokers/nobody"], ["nonsense"], ["capture", "noport", "-w", f"{lab.folder}/x", "-c", "1"]):
        done = lab.weirctl(*words, check=False)
        assert done.returncode != 0 and done.stderr, (words, done)
    done = subprocess.run([lab.binary("weirctl"), "-s", "/nonexistent.sock", "stats"], capture_output=True, text=True,
                          check=False, timeout=30)
    assert done.returncode != 0 and "/nonexistent.sock" in done.stderr


def test_capture(lab):
    path = os.path.join(lab.folder, "front.pcapng")
    capture = subprocess.Popen([lab.binary("weirctl"), "-s", lab.socket_path(), "capture", "front", "-w", path, "-c", "20"],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=netns.die_with_parent)
    stop = threading.Event()
    pings = threading.Thread(target=_ping_until, args=(lab, stop), daemon=True)
    pings.start()
    try:
        assert capture.wait(60) == 0, capture.stdout.read()
    finally:
        stop.set()
        pings.join(30)
        capture.kill()
    listing = netns.run("tshark", "-n", "-r", path, "-T", "fields", "-e", "ip.src", "-e", "ip.dst", "-e", "icmp.type")
    rows = [line.split("\t") for line in listing.stdout.splitlines()]
    assert len(rows) == 20, listing.stdout
    assert [lab.client, lab.front, "8"] in rows and [lab.front, lab.client, "0"] in rows, listing.stdout


def _ping_until(lab, stop):
    while not stop.is_set():
        netns.run("ip", "netns", "exec", lab.client_ns.name, "ping", "-c", "5", "-i", "0.02", lab.front, check=False)


def telemetry(lab):
    """A connection to the telemetry socket of this weir: it says its pid first."""
    for path in glob.glob("/var/run/dpdk/*/dpdk_telemetry.v2*"):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.settimeout(10)
        try:
            sock.connect(path)
            if json.loads(sock.recv(16384))["pid"] == lab.weir.process.pid:
                return path, sock
        except OSError:
            pass
        sock.close()
    raise AssertionError("no telemetry socket under /var/run/dpdk belongs to weir")


def test_telemetry(lab, held):
    path, sock = telemetry(lab)
    with sock:
        sock.send(b"/")
        commands = json.loads(sock.recv(65536))["/"]
        ours = [name for name in commands if name.startswith("/weir/")]
        assert ours, commands
        for name in ours:
            sock.send(name.encode())
            json.loads(sock.recv(1 << 20))
    # The program that comes with DPDK finds it by its prefix.
    prefix = path.split("/")[-2]
    done = netns.run("dpdk-telemetry.py", "-f", prefix, input=f"{ours[0]}\nquit\n", check=False)
    assert ours[0] in done.stdout, done.stdout + done.stderr
