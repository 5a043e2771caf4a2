# SPDX-License-Identifier: BSD-3-Clause
"""A handshake core shakes hands in both directions, with clients and with brokers, and carries the records of suites that
stay with libssl. What goes between is as whole as with workers that do it themselves."""
import hashlib
import os
import socket
import ssl
import struct

import pytest

import lab as laboratory
import peers
from lab import wait_for
from tls_server import TlsServer, end, server_context

MATRIX = "ends"
SIZE = 2 << 20
CBC = "ECDHE-RSA-AES256-SHA384"
CLIENTS_CBC = "ECDHE-ECDSA-AES256-SHA384"
CUT = 3002
POOLS = {"ours": (3000, {}, "1.3"), "libssl": (3001, {"ciphers": CBC}, "1.2")}  # who carries the records


def configure(config, lab):
    certs = lab.certs
    config["tls"].append({"name": "libssl", "certificate": certs.certificate("ecdsa"), "key": certs.key("ecdsa"),
                          "ciphers": CLIENTS_CBC})
    certs.make("broker", "rsa", names=("broker.test",), addresses=lab.brokers)
    config["cores"]["handshake"] = [laboratory.CPUS[-1]]
    for name, (port, more, _) in POOLS.items():
        config["pools"].append({"name": name, "policy": "round-robin", "tls": {"ca": certs.ca} | more,
                                "servers": [{"name": "s", "address": f"{lab.brokers[3]}:{port}"}]})
        config["listeners"].append({"name": name, "mode": "tcp", "tls": "default", "pool": name,
                                    "address": f"{lab.front}:{port}"})


    for number, (tls, pool) in enumerate((tls, pool) for tls in ("default", "libssl") for pool in POOLS):
        config["listeners"].append({"name": f"cut-{tls}-{pool}", "mode": "tcp", "tls": tls, "pool": pool,
                                    "address": f"{lab.front}:{CUT + number}"})


@pytest.mark.parametrize("pool", POOLS)
def test_brokers(lab, pool):
    """Both directions at once, compared by their hashes; a worker resumes all but its first."""
    def serve(tls):
        suite, sha = tls.cipher()[0], peers.exchange(tls, down, SIZE, 60)
        tls.settimeout(60)
        end(tls)
        came.append((suite, sha))

    port, _, version = POOLS[pool]
    up, down, came = os.urandom(SIZE), os.urandom(SIZE), []
    server = TlsServer(lab, lab.brokers[3], port, server_context(lab, "broker", version), serve)
    before = lab.metrics().get("weir_tls_libssl_records_total")
    for number in range(6):
        with lab.connect_tls(port) as sock:
            assert peers.exchange(sock, up, SIZE, 60) == hashlib.sha256(down).hexdigest()
            sock.settimeout(60)
            end(sock)
        wait_for(lambda: f"the server to have it all; {server.faults}", lambda: len(came) > number)
    assert {sha for _, sha in came} == {hashlib.sha256(up).hexdigest()}
    assert (lab.metrics().get("weir_tls_libssl_records_total") > before) == (pool == "libssl")
    assert all((suite == CBC) == (pool == "libssl") for suite, _ in came)
    now = lab.metrics()
    assert now.get("weir_server_tls_handshakes_total", pool=pool) == len(came) == 6
    assert now.get("weir_server_tls_resumed_total", pool=pool) == sum(server.resumed) >= 6 - lab.variant.workers
    assert now.get("weir_server_tls_failures_total", pool=pool) == 0
    server.close()


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("tls", ["default", "libssl"])
@pytest.mark.parametrize("ending", ["FIN", "RST"])
def test_last_words(lab, tls, pool, ending):
    """A client that sends its last records and ends TCP at once, without close_notify: the server gets all of them, and
    no orderly end."""
    def serve(sock):
        got = bytearray()
        try:
            while data := sock.recv(65536):
                got += data
                begun.append(data)
            ended.append("in order")
        except OSError:
            ended.append("cut")
        came.append(bytes(got))

    (port, _, version), begun, came, ended = POOLS[pool], [], [], []
    number = [(t, p) for t in ("default", "libssl") for p in POOLS].index((tls, pool))
    changes = {"maximum_version": ssl.TLSVersion.TLSv1_2, "ciphers": CLIENTS_CBC} if tls == "libssl" else {}
    server = TlsServer(lab, lab.brokers[3], port, server_context(lab, "broker", version), serve)
    for turn in range(5):
        begun.clear()
        sock = lab.connect_tls(CUT + number, **changes)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a reset throws away what waits for an ACK
        sock.sendall(b"first")
        wait_for("the session to flow", lambda: begun)
        parts = [os.urandom(700) for _ in range(6)]
        for part in parts:
            sock.sendall(part)
        raw = socket.socket(fileno=sock.detach())
        if ending == "RST":
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.close()
        wait_for("the server's end", lambda: len(came) > turn)
        assert came[-1] == b"first" + b"".join(parts)
        assert ended[-1] == "cut"
    server.close()


def test_nothing_is_left(lab):
    wait_for("SSL objects to go", lambda: lab.metrics().get("weir_tls_ssl_objects") == 0)
    wait_for("TLS states to go", lambda: lab.metrics().get("weir_tls_connections") == 0)
