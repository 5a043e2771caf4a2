# SPDX-License-Identifier: BSD-3-Clause
"""TLS towards brokers: mosquitto with and without client certificates, in both versions; who is not the right server is
named and counted, and brought back by probes that verify; sessions are resumed; ends and cuts of the stream cross weir in
both directions; a reload that is refused keeps the CA of before.

Each worker judges servers, probes them and keeps sessions to resume by itself: what holds for one has to hold for each."""
import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import ssl
import time

import pytest

import clients
import mqtt
import peers
import streams
from lab import wait_for
from tls_server import TlsServer, end, server_context

MATRIX = "ends"
SIZE = 16 << 20
NAME = "broker.test"
FAULTS = ["untrusted", "name", "expired"]


def mosquitto(lab, name, number, certificate, port, more=""):
    certs = lab.certs
    text = f"cafile {certs.ca}\ncertfile {certs.certificate(certificate)}\nkeyfile {certs.key(certificate)}\n{more}"
    return lab.keep(peers.Mosquitto(lab, name, lab.brokers[number], port=port, more=text).start())


# One pool a case; listeners begin at this port, plain and TLS.
POOLS = {"any": 2000, "strict": 2001, "mutual": 2002, "stranger": 2003, "certless": 2004, "untrusted": 2005, "name": 2006,
         "expired": 2007, "silent": 2008, "plainly": 2009, "spare": 2010}
TLS_CLIENTS = 20000  # to be added
TCP_POOLS = {"bulk": 3000, "half": 3001, "cut": 3002, "proxy": 3003, "again": 3004, "reload": 3005, "cbc": 3006,
             "again12": 3007}
# Those that IPsec-MB takes over: a pool of each name that offers it alone, at the same distance from both ports.
SUITES = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
          "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"]
SUITE_PORT, SUITE_SERVER_PORT, SUITE_SIZE = 3100, 8200, 4 << 20


def make_certificates(lab):
    certs = lab.certs
    addresses = lab.brokers
    certs.make("broker", "ecdsa", names=(NAME,), addresses=addresses)
    certs.make("brokerrsa", "rsa", names=(NAME,), addresses=addresses)
    certs.make("named", "ecdsa", names=(NAME,), addresses=("198.18.9.9",))
    certs.make("old", "ecdsa", names=(NAME,), addresses=addresses, days=-1)
    certs.make("weir", "ecdsa", names=("weir-1",), addresses=())
    certs.authority("other")
    certs.make("foreign", "ecdsa", names=(NAME,), addresses=addresses, issuer="other")
    shutil.copy(certs.ca, os.path.join(lab.folder, "reload-ca.crt"))


def configure(config, lab):
    make_certificates(lab)
    certs, b = lab.certs, lab.brokers
    ca = {"ca": certs.ca}
    own = {"certificate": certs.certificate("weir"), "key": certs.key("weir")}
    config["timeouts"]["connect_s"] = 2
    mqtt_pools = {"any": (8000, ca), "strict": (8000, ca | {"min_version": "1.3"}), "mutual": (8001, ca | own),
                  "stranger": (8001, ca | {"certificate": certs.certificate("foreign"), "key": certs.key("foreign")}),
                  "certless": (8001, ca), "untrusted": (8002, ca), "name": (8003, ca), "expired": (8004, ca),
                  "silent": (8005, ca), "plainly": (8006, ca)}
    tcp_pools = {"bulk": (8100, ca), "half": (8101, ca), "cut": (8102, ca), "proxy": (8103, ca | {"server_name": NAME}),
                 "again": (8104, ca), "again12": (8107, ca),
                 "reload": (8105, {"ca": os.path.join(lab.folder, "reload-ca.crt")}),
                 "cbc": (8106, ca | {"ciphers": "ECDHE-RSA-AES256-SHA384"})}
    for names, ports, mode in (mqtt_pools, POOLS, "mqtt"), (tcp_pools, TCP_POOLS, "tcp"):
        for name, (port, tls) in names.items():
            config["pools"].append({"name": name, "policy": "round-robin", "tls": tls,
                                    "servers": [{"name": "s", "address": f"{b[3]}:{port}"}]})
            for tls_front in (False, True):
                config["listeners"].append(
                    {"name": f"{name}{'-tls' * tls_front}", "mode": mode, "pool": name,
                     "address": f"{lab.front}:{ports[name] + TLS_CLIENTS * tls_front}"}
                    | ({"tls": "default"} if tls_front else {}))
    for number, suite in enumerate(SUITES):
        key = "ciphersuites" if suite.startswith("TLS_") else "ciphers"
        config["pools"].append({"name": suite, "policy": "round-robin", "tls": ca | {key: suite},
                                "servers": [{"name": "s", "address": f"{b[3]}:{SUITE_SERVER_PORT + number}"}]})
        config["listeners"].append({"name": suite, "mode": "tcp", "pool": suite, "tls": "default",
                                    "address": f"{lab.front}:{SUITE_PORT + number}"})
    pools = {pool["name"]: pool for pool in config["pools"]}
    pools["proxy"]["proxy_protocol"] = "v2"
    # The first is not the right one; the second is.
    config["pools"].append({"name": "spare", "policy": "round-robin", "tls": ca, "servers": [
        {"name": "bad", "address": f"{b[3]}:8003"},
        {"name": "good", "address": f"{b[3]}:8000"}]})
    config["listeners"].append({"name": "spare", "mode": "mqtt", "pool": "spare", "address": f"{lab.front}:2010"})


def prepare(lab):
    lab.broker_any = mosquitto(lab, "any", 3, "broker", 8000)
    mosquitto(lab, "mutual", 3, "broker", 8001, "require_certificate true\n")
    mosquitto(lab, "untrusted", 3, "foreign", 8002)
    mosquitto(lab, "name", 3, "named", 8003)
    mosquitto(lab, "expired", 3, "old", 8004)
    lab.silent = lab.broker_ns.socket()
    lab.silent.bind((lab.brokers[3], 8005))
    lab.silent.listen(64)
    lab.keep(lab.silent)
    lab.keep(peers.Mosquitto(lab, "plainly", lab.brokers[3], port=8006).start())


def failures(lab, pool):
    return {reason: n for reason, n in
            lab.metrics().by("weir_server_tls_failures_total", "reason", pool=pool).items() if n}


def handshakes(lab, pool):
    now = lab.metrics()
    return [now.get(f"weir_server_tls_{what}_total", pool=pool) for what in ("handshakes", "resumed")]


def refused(lab, pool, client_id):
    """A client that the pool cannot serve gets CONNACK 3 (server unavailable)."""
    with lab.connect(POOLS[pool]) as sock:
        sock.sendall(mqtt.connect(client_id))
        answer = mqtt.read(sock)
        assert answer and answer[0] == mqtt.CONNACK and answer[2][1] == 3, f"{pool}: {answer}"


def server_line(lab, pool):
    return next(line for line in lab.weirctl("servers").splitlines() if line.split()[0] == pool)


def states(lab, pool):
    """What each worker thinks of the pool's server."""
    servers = json.loads(lab.weirctl("--json", "servers"))["servers"]
    return next(server["states"] for server in servers if server["pool"] == pool)


def connect_failures(lab, pool):
    return lab.metrics().get("weir_server_connect_failures_total", pool=pool)


def refused_until_down(lab, pool):
    """Clients are refused until every worker has had its three failures in a row; one that has had them asks no more."""
    for number in range(64):
        if states(lab, pool) == ["down"] * lab.variant.workers:
            return
        refused(lab, pool, f"down-{number}")
    raise AssertionError(f"{pool}: its server is {states(lab, pool)}")


def worker_of(lab, sock):
    """Which worker serves a client's connection."""
    peer = "{}:{}".format(*sock.getsockname())
    flows = json.loads(lab.weirctl("--json", "flows"))["flows"]
    return next(flow["worker"] for flow in flows if flow["peer"] == peer)


def by_worker(lab, times, visit):
    """{worker: what came of its visits, in order}, once each has had so many. visit(number): (worker, what came of it)."""
    seen = {worker: [] for worker in range(lab.variant.workers)}
    for number in range(64):
        if min(map(len, seen.values())) >= times:
            return seen
        worker, outcome = visit(number)
        seen[worker].append(outcome)
    raise AssertionError(f"connections do not spread over the workers: {seen}")


def mqtt_visit(lab, pool):
    """For by_worker: a client that is let in, and leaves."""
    def visit(number):
        sock = clients.open_mqtt(lab, f"{pool}-{number}", POOLS[pool])
        try:
            return worker_of(lab, sock), number
        finally:
            clients.leave(sock)
    return visit


# --- who is the right server ---

@pytest.mark.parametrize("tls", [False, True], ids=["plain clients", "TLS clients"])
@pytest.mark.parametrize("pool", ["any", "strict", "mutual"])
def test_mosquitto(lab, pool, tls):
    before = handshakes(lab, pool)[0]
    port = POOLS[pool] + TLS_CLIENTS * tls
    with clients.open_mqtt(lab, f"{pool}-{tls}", port, tls=tls) as sock:
        sock.sendall(mqtt.subscribe(f"t/{pool}"))
        assert mqtt.read(sock)[0] == mqtt.SUBACK
        sock.sendall(mqtt.publish(f"t/{pool}", b"x" * 40_000))
        kind, _, body = mqtt.read(sock)
        assert kind == mqtt.PUBLISH and body.endswith(b"x" * 40_000)
        suite = [row for row in lab.weirctl("flows").splitlines() if f"{pool}/s" in row]
        assert suite, "weirctl flows shows no connection of the pool"
        clients.leave(sock)
    lab.wait_metric("weir_server_tls_handshakes_total", lambda n: n > before, pool=pool)
    assert not failures(lab, pool)


@pytest.mark.parametrize("pool", FAULTS)
def test_wrong_server(lab, pool):
    refused(lab, pool, f"wrong-{pool}")
    assert failures(lab, pool) == {pool: failures(lab, pool)[pool]}
    assert lab.metrics().get("weir_listener_closed_total", listener=pool, reason="server_unverified") >= 1
    assert lab.metrics().get("weir_server_tls_handshakes_total", pool=pool) == 0
    words = {"untrusted": "not of a CA that is trusted", "name": "for another name", "expired": "has expired"}[pool]
    assert words in server_line(lab, pool)


def test_wrong_server_goes_down_and_probes_verify(lab):
    """Three in a row; then probes shake hands and find the same."""
    refused_until_down(lab, "expired")
    assert connect_failures(lab, "expired") == 3 * lab.variant.workers
    before = failures(lab, "expired")["expired"]
    wait_for("a probe to find the certificate expired", lambda: failures(lab, "expired")["expired"] > before)
    wait_for("the log to name the reason", lambda: "expired/s is down" in lab.weir.log(400))
    assert "has expired" in next(line for line in lab.weir.log(400).splitlines() if "expired/s is down" in line)


def test_next_server(lab):
    """The wrong one costs a client nothing: the right one is tried, and in the end alone."""
    visits = sum(map(len, by_worker(lab, 6, mqtt_visit(lab, "spare")).values()))
    now = lab.metrics()
    assert now.get("weir_server_connect_failures_total", pool="spare", server="bad") == 3 * lab.variant.workers
    assert now.by("weir_server_tls_failures_total", "reason", pool="spare")["name"] >= 3 * lab.variant.workers
    assert now.get("weir_server_tls_handshakes_total", pool="spare", server="good") == visits


def test_server_that_speaks_no_tls(lab):
    refused(lab, "plainly", "plainly")
    assert set(failures(lab, "plainly")) <= {"protocol", "closed"} and failures(lab, "plainly")


def test_server_that_is_silent(lab):
    began = time.monotonic()
    refused(lab, "silent", "silent")
    assert time.monotonic() - began >= 1.9
    assert failures(lab, "silent") == {"timeout": 1}
    assert lab.metrics().get("weir_listener_closed_total", listener="silent", reason="server_tls_timeout") == 1


@pytest.mark.parametrize("pool", ["certless", "stranger"])
def test_broker_refuses_our_certificate(lab, pool):
    """In TLS 1.3 that comes once the handshake is complete on our side."""
    before = connect_failures(lab, pool)
    with lab.connect(POOLS[pool]) as sock:
        sock.sendall(mqtt.connect(pool))
        with contextlib.suppress(ConnectionError):
            answer = mqtt.read(sock)
            assert answer is None or answer[2][1] == 3
    lab.wait_metric("weir_server_tls_failures_total", lambda n: n >= 1, pool=pool, reason="alert")
    lab.wait_metric("weir_server_connect_failures_total", lambda n: n > before, pool=pool)
    said = {"certless": "certificate_required", "stranger": "unknown_ca"}[pool]
    assert "it ended TLS with an alert" in lab.weirctl("servers") and f"({said})" in lab.weirctl("servers")
    assert lab.metrics().get("weir_tls_alerts_total", direction="in", alert=said) >= 1
    wait_for(lambda: f"the session's end; {lab.metrics().closed(pool)}", lambda: lab.metrics().closed(pool).get("server_tls_alert", 0) >= 1)


# --- resumption ---

@pytest.mark.parametrize("pool,port,version", [("again", 8104, "1.3"), ("again12", 8107, "1.2")])
def test_resumption(lab, pool, port, version):
    """Tickets reach weir before the first byte of the server, and each worker's next connection resumes: both sides say
    so."""
    def serve(tls):
        while data := tls.recv(100):
            tls.sendall(data)
        end(tls)

    def visit(number):
        with lab.connect(TCP_POOLS[pool]) as sock:
            sock.sendall(b"hello")
            assert sock.recv(100) == b"hello"
            assert len(server.resumed) == number + 1
            worker = worker_of(lab, sock)
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(100) == b""
        return worker, server.resumed[number]

    server = TlsServer(lab, lab.brokers[3], port, server_context(lab, "broker", version), serve)
    lab.wait_servers_up(pool)
    seen = by_worker(lab, 3, visit)
    for worker, resumed in seen.items():
        assert resumed == [False] + [True] * (len(resumed) - 1), f"worker {worker}: {seen}"
    made = len(server.resumed)
    assert handshakes(lab, pool) == [made, made - lab.variant.workers]
    assert not failures(lab, pool)


# --- bytes and ends ---

def test_bulk_both_ways(lab):
    """16 MiB each way, at once, compared by their hash; the records are IPsec-MB's."""
    payload = os.urandom(SIZE)
    sha, hashes = hashlib.sha256(payload).hexdigest(), []
    TlsServer(lab, lab.brokers[3], 8100, server_context(lab, "brokerrsa"),
              lambda tls: hashes.append(peers.exchange(tls, payload, SIZE, 60)))
    before = lab.metrics()
    for tls in (False, True):
        with lab.connect_tls(TCP_POOLS["bulk"] + TLS_CLIENTS) if tls else lab.connect(TCP_POOLS["bulk"]) as sock:
            assert peers.exchange(sock, payload, SIZE, 60) == sha
            wait_for("the server to have it all", lambda: len(hashes) == 1 + tls)
    assert hashes == [sha, sha]
    now = lab.metrics()
    assert now.get("weir_tls_bytes_sealed_total") - before.get("weir_tls_bytes_sealed_total") >= 3 * SIZE
    assert now.get("weir_tls_libssl_records_total") == before.get("weir_tls_libssl_records_total")


@pytest.mark.parametrize("suite", SUITES)
def test_suite(lab, suite):
    """4 MiB each way in each suite that is taken over; both ends have the other's bytes, and libssl carried none."""
    def serve(tls):
        agreed.append((tls.version(), tls.cipher()[0]))
        hashes.append(peers.exchange(tls, payload, SUITE_SIZE, 60))

    number, agreed, hashes = SUITES.index(suite), [], []
    version = "1.3" if suite.startswith("TLS_") else "1.2"
    payload, answer = os.urandom(SUITE_SIZE), os.urandom(SUITE_SIZE)
    server = TlsServer(lab, lab.brokers[3], SUITE_SERVER_PORT + number, server_context(lab, "brokerrsa", version), serve)
    before = lab.metrics()
    with lab.connect_tls(SUITE_PORT + number) as sock:
        assert peers.exchange(sock, answer, SUITE_SIZE, 60) == hashlib.sha256(payload).hexdigest()
    wait_for(lambda: f"the server to have it all; {server.faults}", lambda: hashes)
    assert agreed == [(f"TLSv{version}", suite)] and hashes == [hashlib.sha256(answer).hexdigest()]
    now = lab.metrics()
    assert now.get("weir_tls_bytes_sealed_total") - before.get("weir_tls_bytes_sealed_total") >= 2 * SUITE_SIZE
    assert now.get("weir_tls_libssl_records_total") == before.get("weir_tls_libssl_records_total")


def test_suite_of_libssl(lab):
    """CBC, only where it is configured: records stay with libssl, with the same result."""
    def serve(tls):
        streams.send(tls, 200_000)
        hashes.append(streams.receive(tls, 200_000))
        end(tls)

    hashes = []
    TlsServer(lab, lab.brokers[3], 8106, server_context(lab, "brokerrsa", "1.2"), serve)
    with lab.connect(TCP_POOLS["cbc"]) as sock:
        assert streams.receive(sock, 200_000) == streams.expected_sha(200_000)
        streams.send(sock, 200_000)
        assert sock.recv(1) == b""
    assert hashes == [streams.expected_sha(200_000)]


def test_half_close_of_the_client(lab):
    """FIN becomes close_notify; what the server says after it still comes, and its end is an end."""
    def serve(tls):
        tls.sendall(b"heard " + streams.receive(tls, SIZE).encode())
        end(tls)

    TlsServer(lab, lab.brokers[3], 8101, server_context(lab, "broker"), serve)
    with lab.connect(TCP_POOLS["half"]) as sock:
        streams.send(sock, 100_000)
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(100, socket.MSG_WAITALL) == b"heard " + streams.expected_sha(100_000).encode()
    wait_for("an orderly end", lambda: lab.metrics().closed("half").get("client_closed", 0) == 1)


@pytest.mark.parametrize("how", ["FIN", "RST"])
def test_cut_stream_of_the_server(lab, how):
    """TCP ends without close_notify: what came before reaches the client, then a reset tells of the cut."""
    def serve(tls):
        streams.send(tls, 50_000)
        tls.recv(2)
        if how == "RST":
            peers.reset(tls)
        else:
            socket.socket.shutdown(tls, socket.SHUT_RDWR)

    server = TlsServer(lab, lab.brokers[3], 8102, server_context(lab, "broker"), serve)
    reason = {"FIN": "server_tls_truncated", "RST": "server_reset"}[how]
    try:
        with lab.connect(TCP_POOLS["cut"]) as sock:
            assert streams.receive(sock, 50_000) == streams.expected_sha(50_000)
            sock.sendall(b"ok")
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
        wait_for(reason, lambda: lab.metrics().closed("cut").get(reason, 0) == 1)
    finally:
        server.close()


def test_client_cut_resets_the_server(lab):
    """A client's reset arrives as one: no close_notify that would say that this was all."""
    heard = []

    def serve(tls):
        heard.append(tls.recv(5))
        heard.append(tls.recv(1))

    server = TlsServer(lab, lab.brokers[3], 8102, server_context(lab, "broker"), serve)
    sock = lab.connect(TCP_POOLS["cut"])
    sock.sendall(b"hello")
    wait_for("the server to hear it", lambda: heard)
    peers.reset(sock)
    wait_for(lambda: f"the server to see a cut; it heard {heard}", lambda: server.faults)
    assert heard == [b"hello"] and isinstance(server.faults[0], (ConnectionResetError, ssl.SSLEOFError))
    assert lab.metrics().closed("cut").get("client_reset", 0) == 1
    server.close()


def test_proxy_header_in_front_of_tls(lab):
    """Version 2, in the clear, before the ClientHello; the certificate is asked for by name."""
    def serve(tls):
        tls.sendall(tls.recv(100))
        end(tls)

    context, asked = server_context(lab, "named"), []
    context.sni_callback = lambda sock, name, ctx: asked.append(name)
    server = TlsServer(lab, lab.brokers[3], 8103, context, serve, skip=28)
    with lab.connect(TCP_POOLS["proxy"]) as sock:
        sock.sendall(b"hello")
        assert sock.recv(100) == b"hello"
        port = sock.getsockname()[1]
    assert peers.split_proxy_v2(server.heads[0])[0] == (lab.client, port)
    assert asked == [NAME]


# --- restarts and reloads ---

def test_broker_restart(lab):
    """A broker that comes back is found again by each worker, whatever session it knew before."""
    by_worker(lab, 1, mqtt_visit(lab, "any"))
    before = connect_failures(lab, "any")
    lab.broker_any.stop()
    refused_until_down(lab, "any")
    assert connect_failures(lab, "any") == before + 3 * lab.variant.workers
    lab.broker_any.start()
    lab.wait_servers_up("any")
    by_worker(lab, 1, mqtt_visit(lab, "any"))


def test_reload_with_a_bad_ca_keeps_the_old(lab):
    def serve(tls):
        while data := tls.recv(100):
            tls.sendall(data)

    path = os.path.join(lab.folder, "reload-ca.crt")
    TlsServer(lab, lab.brokers[3], 8105, server_context(lab, "broker"), serve)

    def visit(number):
        with lab.connect(TCP_POOLS["reload"]) as sock:
            sock.sendall(b"hello")
            assert sock.recv(100) == b"hello", f"visit {number}"
            return worker_of(lab, sock), number

    def works():
        with lab.connect(TCP_POOLS["reload"]) as sock, contextlib.suppress(ConnectionError):
            sock.sendall(b"hello")
            return sock.recv(100) == b"hello"
        return False

    live = lab.connect(TCP_POOLS["reload"])
    live.sendall(b"one")
    assert live.recv(100) == b"one"
    with open(path, "w", encoding="utf-8") as file:
        file.write("nothing of the kind\n")
    lab.weir.signal(signal.SIGHUP)
    lab.wait_metric("weir_pool_certificate_refusals_total", lambda n: n >= 1, pool="reload")
    assert "reload-ca.crt" in lab.weir.log(400)
    by_worker(lab, 1, visit)
    # Another authority's: the next handshake fails, who is connected stays.
    shutil.copy(lab.certs.certificate("other"), path)
    reloads = lab.metrics().get("weir_pool_certificate_reloads_total", pool="reload")
    lab.weir.signal(signal.SIGHUP)
    lab.wait_metric("weir_pool_certificate_reloads_total", lambda n: n > reloads, pool="reload")
    with lab.connect(TCP_POOLS["reload"]) as sock:
        with contextlib.suppress(ConnectionError):
            assert sock.recv(100) == b""
    assert failures(lab, "reload").get("untrusted", 0) >= 1
    live.sendall(b"two")
    assert live.recv(100) == b"two"
    live.close()
    shutil.copy(lab.certs.ca, path)
    wait_for("the watch to see the right one again", works)


def test_nothing_is_left(lab):
    wait_for("SSL objects to go", lambda: lab.metrics().get("weir_tls_ssl_objects") == 0)
    wait_for("TLS states to go", lambda: lab.metrics().get("weir_tls_connections") == 0)
