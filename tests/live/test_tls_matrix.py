# SPDX-License-Identifier: BSD-3-Clause
"""weir's TLS against clients of seven makers: a covering set of versions, suites, certificates, groups, resumption, client
certificates, fragments and sizes of records. Each case carries bytes both ways, and both sides say what was agreed on: the
client in its own words, weir by its counters. All pairs of factors in a quick run, triples in a plain one, quadruples in a
nightly one."""

import covering
import http_echo
import peers
import tls_clients

MATRIX = "one"
FACTORS = {
    "peer": list(tls_clients.ALL),
    "record": [1, 16, 100, 1400, 16384],
    "clients": ["off", "optional", "shown", "required"],  # `optional` shows none, `shown` shows one that is optional
    "suite": list(tls_clients.TLS13),
    "group": list(tls_clients.SPELLINGS),
    "fragment": [0, 512, 4096],
    "version": ["1.3", "1.2"],
    "certificate": ["ecdsa", "rsa"],
    "session": ["full", "resumed"],
}
MODES = ["off", "optional", "required"]
CERTIFICATES = FACTORS["certificate"]
WEB = 8081


def allowed(row):
    peer, fragment, group = row.get("peer"), row.get("fragment", 0), row.get("group")
    # Mbed TLS 2.28 speaks 1.2 alone, and takes no handshake message in several records, as a certificate would be.
    if peer == "mbedtls" and (row.get("version") == "1.3" or fragment == 512):
        return False
    if peer in ("mosquitto", "python", "curl") and fragment:  # they have no way to ask
        return False
    # mosquitto's clients keep no sessions; curl wants no tickets in 1.2, and weir keeps no sessions but in tickets.
    if row.get("session") == "resumed" and (peer == "mosquitto" or peer == "curl" and row.get("version") == "1.2"):
        return False
    # The certificate's own curve must be on offer, and weir prefers that one to P-384.
    return not (row.get("version") == "1.2" and row.get("certificate") == "ecdsa" and group == "P-384")


def port_of(certificate, mode, kind):
    return 7300 + 10 * (CERTIFICATES.index(certificate) * len(MODES) + MODES.index(mode)) + kind


KINDS = [("echo", "echo", None), ("mqtt", "mqtt", "brokers"), ("web", "tcp", "web")]
KIND_OF = {"mosquitto": 1, "curl": 2}


def configure(config, lab):
    for kind in CERTIFICATES:
        lab.certs.make(f"device-{kind}", kind, ["device"])
    config["pools"].append({"name": "web", "policy": "round-robin",
                            "servers": [{"name": "web", "address": f"{lab.brokers[3]}:{WEB}"}]})
    for certificate in CERTIFICATES:
        for mode in MODES:
            name = f"{certificate}-{mode}"
            config["tls"].append(
                {"name": name, "certificate": lab.certs.certificate(certificate), "key": lab.certs.key(certificate),
                 "client_certificates": mode} | ({"client_ca": lab.certs.ca} if mode != "off" else {}))
            for number, (kind, weir_mode, pool) in enumerate(KINDS):
                config["listeners"].append(
                    {"name": f"{name}-{kind}", "address": f"{lab.front}:{port_of(certificate, mode, number)}",
                     "mode": weir_mode, "tls": name} | ({"pool": pool} if pool else {}))


def prepare(lab):
    peers.two_mosquittos(lab)
    http_echo.HttpEcho(lab, lab.broker_ns, lab.brokers[3], WEB)


def pytest_generate_tests(metafunc):
    if "row" in metafunc.fixturenames:
        strength = {"plain": 3, "nightly": 4}.get(metafunc.config.getoption("depth"), 2)
        rows = covering.rows(FACTORS, allowed, strength)
        metafunc.parametrize("row", rows, ids=["-".join(str(level) for level in row.values()) for row in rows])


COUNTERS = ["handshakes_done", "handshakes_resumed", "handshakes_tls12", "handshakes_failed", "taken_over", "libssl_records"]


def counters(lab):
    now = lab.metrics()
    return {name: now.get(f"weir_tls_{name}_total") for name in COUNTERS} | \
        {"opened": now.get("weir_tls_bytes_opened_total"), "sealed": now.get("weir_tls_bytes_sealed_total")}


def test_case(lab, row):
    record = row["record"]
    if row["peer"] == "gnutls" and row["fragment"]:  # of more than fits one it sends the beginning and forgets the rest
        record = min(record, row["fragment"])
    case = tls_clients.Case(row["version"], row["suite"], row["group"], row["certificate"], row["session"] == "resumed",
                            f"device-{row['certificate']}" if row["clients"] in ("shown", "required") else None,
                            row["fragment"], record)
    mode = "optional" if row["clients"] == "shown" else row["clients"]
    port = port_of(row["certificate"], mode, KIND_OF.get(row["peer"], 0))
    before = counters(lab)
    agreed = tls_clients.ALL[row["peer"]](lab, case, port)
    after = counters(lab)
    grown = {name: after[name] - before[name] for name in after}

    connections = 2 if case.resumed else 1
    assert {name: grown[name] for name in COUNTERS} == {
        "handshakes_done": connections, "handshakes_resumed": connections - 1,
        "handshakes_tls12": connections if case.version == "1.2" else 0, "handshakes_failed": 0, "taken_over": connections,
        "libssl_records": 0}, (grown, agreed)
    least = case.record if row["peer"] == "mosquitto" else case.record * tls_clients.writes(case)
    assert grown["opened"] >= least and grown["sealed"] >= least, grown
    assert agreed.version in (None, case.version), agreed
    assert agreed.suite in (None, case.suite, tls_clients.suite_name(case)), agreed
    assert agreed.group in (None, *tls_clients.SPELLINGS[case.group]), agreed
    assert agreed.resumed in (None, case.resumed), agreed
