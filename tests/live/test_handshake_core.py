# SPDX-License-Identifier: BSD-3-Clause
"""A handshake core shakes hands in both directions, with clients and with brokers, and carries the records of suites that
stay with libssl. What goes between is as whole as with workers that do it themselves."""
import hashlib
import os

import pytest

import lab as laboratory
import peers
from lab import wait_for
from tls_server import TlsServer, end, server_context

MATRIX = "ends"
SIZE = 2 << 20
CBC = "ECDHE-RSA-AES256-SHA384"
POOLS = {"ours": (3000, {}, "1.3"), "libssl": (3001, {"ciphers": CBC}, "1.2")}  # who carries the records


def configure(config, lab):
    certs = lab.certs
    certs.make("broker", "rsa", names=("broker.test",), addresses=lab.brokers)
    config["cores"]["handshake"] = [laboratory.CPUS[-1]]
    for name, (port, more, _) in POOLS.items():
        config["pools"].append({"name": name, "policy": "round-robin", "tls": {"ca": certs.ca} | more,
                                "servers": [{"name": "s", "address": f"{lab.brokers[3]}:{port}"}]})
        config["listeners"].append({"name": name, "mode": "tcp", "tls": "default", "pool": name,
                                    "address": f"{lab.front}:{port}"})


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


def test_nothing_is_left(lab):
    wait_for("SSL objects to go", lambda: lab.metrics().get("weir_tls_ssl_objects") == 0)
    wait_for("TLS states to go", lambda: lab.metrics().get("weir_tls_connections") == 0)
