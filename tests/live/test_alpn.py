# SPDX-License-Identifier: BSD-3-Clause
"""Application protocols (RFC 7301): curl, mosquitto and a client that stays get the one they ask for, servers of HTTP/1.1 get
no h2, and `weirctl flows` shows what was agreed on. (curl with h2: test_certs.py.)"""
import json
import ssl

import pytest

import certs
import http_echo
import peers
from lab import wait_for

MATRIX = "one"
WEB, MQTT, HELD = 7701, 7702, 7703


def configure(config, lab):
    pair = {"certificate": lab.certs.certificate("ecdsa"), "key": lab.certs.key("ecdsa")}
    config["tls"] += [pair | {"name": "old-web", "alpn": ["http/1.1"]},
                      pair | {"name": "devices", "alpn": ["mqtt", "x-amzn-mqtt-ca"]}]
    config["pools"].append({"name": "web", "policy": "round-robin",
                            "servers": [{"name": "web", "address": f"{lab.brokers[3]}:8082"}]})
    config["listeners"] += [
        {"name": "web", "address": f"{lab.front}:{WEB}", "mode": "tcp", "tls": "old-web", "pool": "web"},
        {"name": "devices", "address": f"{lab.front}:{MQTT}", "mode": "mqtt", "tls": "devices", "pool": "brokers"},
        {"name": "held", "address": f"{lab.front}:{HELD}", "mode": "echo", "tls": "devices"}]


def prepare(lab):
    peers.two_mosquittos(lab)
    http_echo.HttpEcho(lab, lab.broker_ns, lab.brokers[3], 8082)


@pytest.mark.parametrize("words", [["--http1.1"], ["--http2"]], ids=["offers http/1.1", "offers h2 and http/1.1"])
def test_http11_by_curl(lab, words):
    done = lab.client_ns.run("curl", "-sSv", *words, "--cacert", lab.certs.ca, "--resolve",
                             f"{certs.SERVER_NAME}:{WEB}:{lab.front}", "--data-binary", "over http/1.1", "-w",
                             "\nHTTP/%{http_version}", f"https://{certs.SERVER_NAME}:{WEB}/")
    assert done.stdout == "over http/1.1\nHTTP/1.1", done.stdout + done.stderr
    assert "ALPN: server accepted http/1.1" in done.stderr, done.stderr


@pytest.mark.parametrize("protocol", ["mqtt", "x-amzn-mqtt-ca"])
def test_mosquitto(lab, protocol):
    words = ["mosquitto_pub", "-h", lab.front, "-p", str(MQTT), "--cafile", lab.certs.ca, "-t", "t", "-m", "hello", "-q", "1"]
    lab.client_ns.run(*words, "--tls-alpn", protocol)
    before = lab.metrics().drops("tls").get("hs_no_protocol", 0)
    assert lab.client_ns.run(*words, "--tls-alpn", protocol + "-2", check=False).returncode != 0
    assert lab.metrics().drops("tls")["hs_no_protocol"] == before + 1


def held(lab, version, protocol):
    context = ssl.create_default_context(cafile=lab.certs.ca)
    context.minimum_version = context.maximum_version = version
    if protocol:
        context.set_alpn_protocols([protocol])
    return context.wrap_socket(lab.connect(HELD), server_hostname=certs.SERVER_NAME)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_shown(lab, version):
    def shown():
        flows = json.loads(lab.weirctl("--json", "flows"))["flows"]
        return [flow.get("alpn") for flow in flows if flow.get("listener") == "held" and "tls" in flow]

    with held(lab, version, "x-amzn-mqtt-ca") as one, held(lab, version, None) as other:
        for sock in (one, other):
            sock.sendall(b"here")
            assert sock.recv(4) == b"here"
        assert one.selected_alpn_protocol() == "x-amzn-mqtt-ca" and other.selected_alpn_protocol() is None
        assert sorted(shown(), key=str) == [None, "x-amzn-mqtt-ca"]
        assert " alpn:x-amzn-mqtt-ca" in lab.weirctl("flows")
    wait_for("both to be gone", lambda: not shown())
    lab.wait_metric("weir_tls_identities", lambda value: value == 0)
