# SPDX-License-Identifier: BSD-3-Clause
"""What cannot work is said at start, with file, line, key or device at fault; exit status 1."""
import copy
import re

import pytest

MATRIX = "one"
RUN_S = 60


@pytest.fixture(scope="module")
def good(empty_lab):
    return empty_lab.config()


def run(lab, config, *words):
    """Exit status and everything weir said. `config` is a dictionary or a file's text."""
    if isinstance(config, str):
        path = f"{lab.folder}/bad.yaml"
        with open(path, "w", encoding="utf-8") as file:
            file.write(config)
    else:
        path = lab.write_config(config, "bad.yaml")
    done = lab.weir_ns.run(lab.binary("weir"), "-c", path, *words, timeout_s=RUN_S, check=False)
    return done.returncode, done.stdout + done.stderr


def fails(lab, config, *patterns, words=()):
    status, text = run(lab, config, *words)
    assert status == 1, f"exit status {status}, 1 expected:\n{text}"
    assert "weir: ready" not in text
    for pattern in patterns:
        assert re.search(pattern, text, re.IGNORECASE), f"nothing like '{pattern}' in:\n{text}"
    return text


def changed(config, change):
    config = copy.deepcopy(config)
    change(config)
    return config


def test_check_prints_memory(empty_lab, good):
    status, text = run(empty_lab, good, "--check")
    assert status == 0, text
    for word in ("flow", "session", "tls", "mbuf", "total"):
        assert word in text.lower(), text


def test_help_and_version(empty_lab):
    done = empty_lab.weir_ns.run(empty_lab.binary("weir"), "--help")
    assert "--check" in done.stdout and "-c" in done.stdout


CONFIG = [  # what, change, patterns
    ("unknown key", lambda c: c["cores"].update(wrokers=[1]), [r"bad\.yaml:\d+", "wrokers"]),
    ("wrong type", lambda c: c["memory"].update(max_connections="many"), [r"bad\.yaml:\d+", "max_connections"]),
    ("out of range", lambda c: c["memory"].update(max_connections=0), [r"bad\.yaml:\d+", "max_connections"]),
    ("no such pool", lambda c: c["listeners"][0].update(pool="brokrs"), [r"bad\.yaml:\d+", r"listeners\[0\]\.pool", "brokrs"]),
    ("address outside", lambda c: c["listeners"][1].update(address="203.0.113.1:1883"),
     [r"bad\.yaml:\d+", r"listeners\[1\]\.address", "203.0.113.1"]),
    ("server unreachable", lambda c: c["pools"][0]["servers"][0].update(address="203.0.113.9:1883"),
     [r"bad\.yaml:\d+", r"pools\[0\]", "203.0.113.9"]),
    ("same address twice", lambda c: c["listeners"][1].update(address=c["listeners"][0]["address"]),
     [r"bad\.yaml:\d+", r"listeners\[1\]"]),
    ("no such certificate", lambda c: c["tls"][0].update(certificate="nowhere.crt"),
     [r"bad\.yaml:\d+", r"tls\[0\]\.certificate", "nowhere.crt"]),
    ("no such group", lambda c: c["tls"][0].update(groups="X25519:P-999"), [r"bad\.yaml:\d+:\d+: tls\[0\]\.groups", "P-999"]),
    ("no such suite", lambda c: c["tls"][0].update(ciphersuites="TLS_NO_SUCH"),
     [r"bad\.yaml:\d+:\d+: tls\[0\]\.ciphersuites", "TLS_NO_SUCH"]),
    ("no host name", lambda c: c["tls"][0].update(certificates=[{"certificate": c["tls"][1]["certificate"],
                                                                 "key": c["tls"][1]["key"], "names": ["a.*.b"]}]),
     [r"bad\.yaml:\d+:\d+: tls\[0\]\.certificates\[0\]", r"a\.\*\.b"]),
    ("no such mode", lambda c: c["listeners"][0].update(mode="amqp"), [r"bad\.yaml:\d+", "mode"]),
]


@pytest.mark.parametrize("words", [(), ("--check",)], ids=["start", "check"])
@pytest.mark.parametrize("change,patterns", [case[1:] for case in CONFIG], ids=[case[0] for case in CONFIG])
def test_configuration(empty_lab, good, change, patterns, words):
    fails(empty_lab, changed(good, change), *patterns, words=words)


def test_not_yaml(empty_lab):
    fails(empty_lab, "ports: [\n  nonsense: {\n", r"bad\.yaml")


def test_no_file(empty_lab):
    done = empty_lab.weir_ns.run(empty_lab.binary("weir"), "-c", "/nonexistent/weir.yaml", check=False)
    assert done.returncode == 1 and "/nonexistent/weir.yaml" in done.stderr


def test_pair_that_does_not_match(empty_lab, good):
    text = fails(empty_lab, changed(good, lambda c: c["tls"][0].update(key=empty_lab.certs.key("rsa"))), "match|key")
    assert "rsa.key" in text


@pytest.mark.parametrize("device", ["net_af_xdp0,iface=nosuch0", "0000:ff:1f.7", "net_nonsense0"])
def test_port_that_does_not_open(empty_lab, good, device):
    fails(empty_lab, changed(good, lambda c: c["ports"][0].update(device=device)), "front",
          re.escape(device.split("=")[-1].split(",")[0]))


def test_interface_with_the_default_route(empty_lab, good):
    """weir does not take the interface that the host itself lives on."""
    there = empty_lab.weir_ns
    there.veth("host0", empty_lab.client_ns, "host1")
    there.ip("addr", "add", "198.19.0.1/24", "dev", "host0")
    there.ip("route", "add", "default", "via", "198.19.0.2")
    try:
        fails(empty_lab, changed(good, lambda c: c["ports"][0].update(device="net_af_xdp0,iface=host0")), "front",
              "default route", "exclusive")
    finally:
        there.ip("link", "del", "host0")
