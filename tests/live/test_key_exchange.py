# SPDX-License-Identifier: BSD-3-Clause
"""Key exchanges and suites that a configuration has to name before they are there: static RSA, DHE, and pre-shared keys in
all their forms with records that are taken over whatever the key exchange; CBC, whose records stay with libssl. Against the
libraries that devices use, and never with the defaults."""
import collections
import os

import pytest

import certs
import tls_clients

MATRIX = "one"
NAMED, PSK, CBC, DEFAULT = 7401, 7402, 7403, 7008  # the last: `echos-rsa`, the defaults
KEY, IDENTITY = "000102030405060708090a0b0c0d0e0f", "device-1"
BYTES = 300_000

# A suite as OpenSSL, Mbed TLS and GnuTLS call it. None: that one does not have it, or (GnuTLS 3.7.9 with PSK and a key
# exchange) comes down in its own handshake.
Suite = collections.namedtuple("Suite", "port openssl mbedtls gnutls")
SUITES = {
    "rsa": Suite(NAMED, "AES128-GCM-SHA256", "TLS-RSA-WITH-AES-128-GCM-SHA256", ("RSA", "AES-128-GCM")),
    "rsa-256": Suite(NAMED, "AES256-GCM-SHA384", "TLS-RSA-WITH-AES-256-GCM-SHA384", ("RSA", "AES-256-GCM")),
    "dhe": Suite(NAMED, "DHE-RSA-AES128-GCM-SHA256", "TLS-DHE-RSA-WITH-AES-128-GCM-SHA256", ("DHE-RSA", "AES-128-GCM")),
    "dhe-chacha": Suite(NAMED, "DHE-RSA-CHACHA20-POLY1305", "TLS-DHE-RSA-WITH-CHACHA20-POLY1305-SHA256",
                        ("DHE-RSA", "CHACHA20-POLY1305")),
    "psk": Suite(PSK, "PSK-AES128-GCM-SHA256", "TLS-PSK-WITH-AES-128-GCM-SHA256", ("PSK", "AES-128-GCM")),
    "psk-256": Suite(PSK, "PSK-AES256-GCM-SHA384", "TLS-PSK-WITH-AES-256-GCM-SHA384", ("PSK", "AES-256-GCM")),
    "psk-chacha": Suite(PSK, "PSK-CHACHA20-POLY1305", "TLS-PSK-WITH-CHACHA20-POLY1305-SHA256",
                        ("PSK", "CHACHA20-POLY1305")),
    "ecdhe-psk": Suite(PSK, "ECDHE-PSK-CHACHA20-POLY1305", "TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256", None),
    "dhe-psk": Suite(PSK, "DHE-PSK-AES128-GCM-SHA256", "TLS-DHE-PSK-WITH-AES-128-GCM-SHA256", None),
    "rsa-psk": Suite(PSK, "RSA-PSK-AES128-GCM-SHA256", "TLS-RSA-PSK-WITH-AES-128-GCM-SHA256", ("RSA-PSK", "AES-128-GCM")),
    "cbc": Suite(CBC, "ECDHE-RSA-AES256-SHA", "TLS-ECDHE-RSA-WITH-AES-256-CBC-SHA", ("ECDHE-RSA", "AES-256-CBC")),
    "cbc-sha384": Suite(CBC, "ECDHE-RSA-AES256-SHA384", "TLS-ECDHE-RSA-WITH-AES-256-CBC-SHA384", None),
}


def names(port):
    return ":".join(suite.openssl for suite in SUITES.values() if suite.port == port)


def configure(config, lab):
    psk_file = os.path.join(lab.folder, "devices.psk")
    with open(psk_file, "w", encoding="utf-8") as file:
        file.write(f"{IDENTITY}:{KEY}\n")
    os.chmod(psk_file, 0o600)
    pair = {"certificate": lab.certs.certificate("rsa"), "key": lab.certs.key("rsa")}
    for port, name, more in ((NAMED, "named", {}), (PSK, "psk", {"psk_file": psk_file}), (CBC, "cbc", {})):
        config["tls"].append(pair | more | {"name": name, "ciphers": names(port)})
        config["listeners"].append({"name": name, "address": f"{lab.front}:{port}", "mode": "echo", "tls": name})


def peer(lab, library, suite, port, *words):
    """What tls_peer says of its connection, or of why there is none."""
    mine = suite.openssl if library != "mbedtls" else suite.mbedtls
    trust = ["--psk", KEY, "--psk-identity", IDENTITY] if suite.port == PSK else []
    if suite.port != PSK or "RSA-PSK" in suite.openssl:
        trust += ["--name", certs.SERVER_NAME, "--ca", lab.certs.ca]
    done = lab.client_ns.run(lab.tool(f"tls_peer/tls_peer_{library}"), "--address", lab.front, "--port", str(port),
                             "--version", "1.2", "--suite", mine, "--record", "5000", "--bytes", str(BYTES), *trust, *words,
                             check=False, timeout_s=60)
    return done.returncode, done.stdout + done.stderr


def grown(lab, before):
    return {name: lab.metrics().get(f"weir_tls_{name}_total") - before.get(f"weir_tls_{name}_total")
            for name in ("taken_over", "handshakes_resumed", "libssl_records", "handshakes_failed")}


def check_who_carried(lab, before, suite, connections):
    counts = grown(lab, before)
    assert counts["handshakes_failed"] == 0, counts
    if suite.port == CBC:
        assert counts["taken_over"] == 0 and counts["libssl_records"] >= 2 * BYTES // 16384, counts
    else:
        assert counts["taken_over"] == connections and counts["libssl_records"] == 0, counts


@pytest.mark.parametrize("resumed", [False, True], ids=["full", "resumed"])
@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
@pytest.mark.parametrize("library", ["openssl", "mbedtls"])
def test_library(lab, library, suite, resumed):
    before = lab.metrics()
    status, said = peer(lab, library, suite, suite.port, *(["--resume"] if resumed else []))
    assert status == 0, said
    words = dict(word.split("=", 1) for word in said.splitlines()[-1].split())
    assert words["suite"] in (suite.openssl, suite.mbedtls) and words["resumed"] == str(int(resumed)), said
    check_who_carried(lab, before, suite, 2 if resumed else 1)
    assert grown(lab, before)["handshakes_resumed"] == int(resumed)


@pytest.mark.parametrize("suite", [suite for suite in SUITES.values() if suite.gnutls],
                         ids=[name for name, suite in SUITES.items() if suite.gnutls])
def test_gnutls(lab, suite):
    exchange, cipher = suite.gnutls
    mac = "+SHA1" if "CBC" in cipher else "+AEAD"
    words = ["--pskusername", IDENTITY, "--pskkey", KEY] if suite.port == PSK else []
    before = lab.metrics()
    log = os.path.join(lab.folder, "gnutls.log")
    client = tls_clients.Pipe(
        lab, "gnutls-cli", "--logfile", log, "--port", str(suite.port), "--x509cafile", lab.certs.ca, "--priority",
        f"NONE:+VERS-TLS1.2:+{cipher}:{mac}:+SIGN-ALL:+{exchange}:+GROUP-ALL:+CTYPE-ALL", "--verify-hostname",
        certs.SERVER_NAME, *words, lab.front)
    case = tls_clients.Case("1.2", None, None, None, False, None, 0, 1000)
    try:
        client.echo(case)
    finally:
        said = client.close()
    with open(log, encoding="utf-8") as file:
        said += file.read()
    assert f"({cipher})" in said, said
    counts = grown(lab, before)
    assert counts["handshakes_failed"] == 0 and counts["taken_over"] == (suite.port != CBC), counts


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
def test_not_by_default(lab, suite):
    before = lab.metrics().get("weir_tls_handshakes_failed_total")
    status, said = peer(lab, "openssl", suite, DEFAULT)
    assert status != 0 and "handshake failure" in said, said
    assert lab.metrics().get("weir_tls_handshakes_failed_total") == before + 1


def test_a_wrong_key_is_refused(lab):
    for library in ("openssl", "mbedtls"):
        before = lab.metrics().drops("tls").get("hs_psk", 0)
        status, said = peer(lab, library, SUITES["ecdhe-psk"], PSK, "--psk", KEY[::-1])
        assert status != 0, said
        lab.wait_metric("weir_drops_total", lambda value, least=before: value > least, layer="tls", reason="hs_psk")
