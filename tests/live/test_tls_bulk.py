# SPDX-License-Identifier: BSD-3-Clause
"""64 MiB each way in every suite that is taken over, at 1% loss, each on a link of its own and all at once: what comes back
is compared byte by byte. In TLS 1.3 the client updates its keys after every MiB and asks weir for the same."""
import subprocess

import pytest

import certs
import links
import tls_clients

MATRIX = "one"
ECDSA = 7007
UPDATE_EVERY = 1 << 20
LOSSY = {"delay_ms": 1, "loss": 1}
CASES = [tls_clients.Case(version, suite, "X25519", "ecdsa", False, None, 0, 16000)
         for version in ("1.2", "1.3") for suite in tls_clients.TLS13]
PATIENCE_S = 240


@pytest.fixture(scope="module")
def size(request):
    return (4 if request.config.getoption("depth") in ("quick", "broad") else 64) << 20


@pytest.fixture(scope="module")
def streams(running_lab, size):
    """{case: (client, link)} of all that are under way."""
    lab, started = running_lab, {}
    program = lab.tool("tls_peer/tls_peer_openssl")
    hosts = []
    for number, case in enumerate(CASES):
        host = links.FarHost(lab, f"198.18.0.{50 + number}/24", seed=31 + number, **LOSSY)
        hosts.append(host)
        updates = ["--key-update-every", str(UPDATE_EVERY)] if case.version == "1.3" else []
        started[case] = host, host.ns.popen(
            program, "--address", lab.front, "--port", str(ECDSA), "--version", case.version, "--name", certs.SERVER_NAME,
            "--ca", lab.certs.ca, "--suite", tls_clients.suite_name(case), "--record", str(case.record), "--bytes", str(size),
            *updates, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    yield started
    for _, client in started.values():
        client.kill()
        client.wait(10)
    for host in hosts:
        host.close()


@pytest.fixture(scope="module")
def before(running_lab):
    return running_lab.metrics()


@pytest.mark.parametrize("case", CASES, ids=[f"{case.version}-{case.suite}" for case in CASES])
def test_the_same_comes_back(lab, before, streams, case, size):
    host, client = streams[case]
    said, told = client.communicate(timeout=PATIENCE_S)
    assert client.returncode == 0, told
    words = dict(word.split("=", 1) for word in said.split())
    assert words["version"] == f"TLSv{case.version}" and words["suite"] == tls_clients.suite_name(case)
    assert int(words["bytes"]) == size
    link = host.link.check()
    assert link["there"]["lost"] > 0 and link["back"]["lost"] > 0, link


def test_keys_were_updated(lab, before, streams, size):
    """The clients' as often as they asked, ours at most so often: what they ask for in one go gets one. IPsec-MB carried it all."""
    now = lab.metrics()
    expected = sum(case.version == "1.3" for case in CASES) * (size // UPDATE_EVERY - 1)
    taken, sent = (now.get(name) - before.get(name)
                   for name in ("weir_tls_key_updates_in_total", "weir_tls_key_updates_out_total"))
    assert taken >= expected, (taken, expected)
    assert expected // 4 <= sent <= taken, (sent, expected, taken)
    assert now.get("weir_tls_libssl_records_total") == before.get("weir_tls_libssl_records_total")
    assert now.get("weir_tls_bytes_opened_total") - before.get("weir_tls_bytes_opened_total") >= len(CASES) * size
