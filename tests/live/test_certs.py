# SPDX-License-Identifier: BSD-3-Clause
"""Certificates as an operator renews them: chosen by server name and key type, stapled responses, protocols, and files and
links that change under connections that go on."""
import hashlib
import json
import os
import re
import shutil
import ssl
import subprocess
import time

import pytest

from lab import wait_for

MATRIX = "ends"
MANY, STRICT, WATCHED, H2 = 7101, 7102, 7103, 7104
NAMES = {  # pair: type of key and names, in the order of the configuration
    "first": ("ecdsa", ["first.weir.test"]),
    "both-ec": ("ecdsa", ["both.weir.test"]),
    "both-rsa": ("rsa", ["both.weir.test"]),
    "wild": ("ecdsa", ["*.fleet.weir.test"]),
    "exact": ("ecdsa", ["one.fleet.weir.test"]),
}


def entry(lab, name, pairs, **more):
    certificates = [{"certificate": lab.certs.certificate(pair), "key": lab.certs.key(pair)} for pair in pairs]
    return {"name": name, "certificates": certificates} | more


def configure(config, lab):
    for pair, (kind, names) in NAMES.items():
        lab.certs.make(pair, kind, names)
    lab.certs.make("watched", "ecdsa")
    many = entry(lab, "many", NAMES)
    many["certificates"][0]["ocsp"] = lab.certs.respond("first")
    volume = os.path.join(lab.folder, "volume")  # as Kubernetes mounts a secret
    os.mkdir(volume)
    write_day(lab, "..1", "watched")
    os.symlink("..1", os.path.join(volume, "..data"))
    for name in ("tls.crt", "tls.key"):
        os.symlink(os.path.join("..data", name), os.path.join(volume, name))
    config["tls"] += [
        many, entry(lab, "strict", ["first", "wild"], strict_sni="on", alpn=["mqtt", "x-amzn-mqtt-ca"]),
        {"name": "watched", "certificate": f"{volume}/tls.crt", "key": f"{volume}/tls.key"},
        entry(lab, "h2", ["ecdsa"], alpn=["h2", "http/1.1"])]
    for port, name in ((MANY, "many"), (STRICT, "strict"), (WATCHED, "watched")):
        config["listeners"].append({"name": name, "address": f"{lab.front}:{port}", "mode": "echo", "tls": name})
    config["pools"].append({"name": "web", "policy": "round-robin",
                            "servers": [{"name": "h2", "address": f"{lab.brokers[3]}:8080"}]})
    config["listeners"].append({"name": "web", "address": f"{lab.front}:{H2}", "mode": "tcp", "tls": "h2", "pool": "web"})


def write_day(lab, day, pair):
    folder = os.path.join(lab.folder, "volume", day)
    os.mkdir(folder)
    shutil.copy(lab.certs.certificate(pair), f"{folder}/tls.crt")
    shutil.copy(lab.certs.key(pair), f"{folder}/tls.key")


def swap_link(target, path):
    os.symlink(target, path + ".new")
    os.rename(path + ".new", path)


def client(lab, port, name, *words):
    """Everything that s_client says of a handshake."""
    sni = ["-servername", name] if name else ["-noservername"]
    done = lab.client_ns.run("openssl", "s_client", "-connect", f"{lab.front}:{port}", "-CAfile", lab.certs.ca, *sni, *words,
                             check=False)
    return done.stdout + done.stderr


def fingerprint(said):
    pem = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", said, re.DOTALL)
    assert pem, said
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.group(0))).hexdigest().upper()
    return ":".join(digest[i:i + 2] for i in range(0, 64, 2))


def served(lab, port, name, *words):
    """The pair that a client of this server name is answered with."""
    got = fingerprint(client(lab, port, name, *words))
    return next(pair for pair in [*NAMES, "ecdsa", "rsa"] if lab.certs.fingerprint(pair) == got)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("name,pair", [
    ("first.weir.test", "first"), ("one.fleet.weir.test", "exact"), ("two.fleet.weir.test", "wild"),
    ("TWO.Fleet.weir.test", "wild"), ("a.two.fleet.weir.test", "first"), ("unknown.example", "first"), (None, "first")])
def test_server_name(lab, name, pair, version):
    assert served(lab, MANY, name, version) == pair


@pytest.mark.parametrize("words,pair", [
    (["-tls1_3", "-sigalgs", "RSA-PSS+SHA256"], "both-rsa"), (["-tls1_3", "-sigalgs", "ECDSA+SHA256"], "both-ec"),
    (["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], "both-rsa"),
    (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], "both-ec"), ([], "both-ec")])
def test_type_of_key(lab, words, pair):
    said = client(lab, MANY, "both.weir.test", "-verify_hostname", "both.weir.test", "-verify_return_error", *words)
    assert "Verify return code: 0 (ok)" in said or "Verification: OK" in said, said
    assert fingerprint(said) == lab.certs.fingerprint(pair)


@pytest.mark.parametrize("name", ["unknown.example", "x.y.fleet.weir.test", None])
def test_strict(lab, name):
    before = lab.metrics().drops("tls").get("hs_unknown_name", 0)
    said = client(lab, STRICT, name)
    assert "alert number 112" in said, said
    wait_for("the refusal to be counted", lambda: lab.metrics().drops("tls").get("hs_unknown_name", 0) > before)
    assert served(lab, STRICT, "x.fleet.weir.test") == "wild"


def test_protocols(lab):
    said = client(lab, STRICT, "first.weir.test", "-alpn", "x-amzn-mqtt-ca,mqtt")
    assert "ALPN protocol: mqtt\n" in said, said
    assert "No ALPN negotiated" in client(lab, STRICT, "first.weir.test")
    before = lab.metrics().drops("tls").get("hs_no_protocol", 0)
    said = client(lab, STRICT, "first.weir.test", "-alpn", "h2")
    assert "alert number 120" in said, said
    wait_for("the refusal to be counted", lambda: lab.metrics().drops("tls").get("hs_no_protocol", 0) > before)


def test_http2_by_curl(lab):
    """nghttpd speaks HTTP/2 in the clear behind weir; that curl uses it is ALPN's doing."""
    folder = os.path.join(lab.folder, "web")
    os.mkdir(folder)
    with open(os.path.join(folder, "index.html"), "w", encoding="utf-8") as file:
        file.write("over h2\n")
    server = lab.broker_ns.popen("nghttpd", "--no-tls", "-a", lab.brokers[3], "-d", folder, "8080",
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        lab.wait_servers_up("web")

        def fetch():
            return lab.client_ns.run("curl", "-sS", "--http2", "--cacert", lab.certs.ca, "--resolve",
                                     f"weir.test:{H2}:{lab.front}", "-w", "HTTP/%{http_version}",
                                     f"https://weir.test:{H2}/index.html", check=False)
        done = wait_for("the page", lambda: (got := fetch()).returncode == 0 and got)
        assert done.stdout == "over h2\nHTTP/2", done.stdout + done.stderr
    finally:
        server.kill()
        server.wait(10)


def test_stapled(lab):
    said = client(lab, MANY, "first.weir.test", "-status")
    assert "OCSP Response Status: successful" in said and "Cert Status: good" in said, said
    assert "no response sent" in client(lab, MANY, "both.weir.test", "-status")
    lab.certs.make("first", "ecdsa", NAMES["first"][1])  # the old response is about the old one
    wait_for("the new certificate", lambda: served_is(lab, MANY, "first.weir.test", "first"))
    assert "no response sent" in client(lab, MANY, "first.weir.test", "-status")
    lab.certs.respond("first")
    wait_for("the new response", lambda: "Cert Status: good" in client(lab, MANY, "first.weir.test", "-status"))


def served_is(lab, port, name, pair):
    return fingerprint(client(lab, port, name)) == lab.certs.fingerprint(pair)


def test_swapped_link_under_a_connection(lab):
    lab.certs.make("renewed", "ecdsa")
    with lab.connect_tls(WATCHED) as held:
        held.sendall(b"before")
        assert held.recv(100) == b"before"
        write_day(lab, "..2", "renewed")
        swap_link("..2", os.path.join(lab.folder, "volume", "..data"))
        wait_for("the renewed certificate", lambda: served_is(lab, WATCHED, "weir.test", "renewed"))
        held.sendall(b"after")
        assert held.recv(100) == b"after"
    with lab.connect_tls(WATCHED) as fresh:
        fresh.sendall(b"fresh")
        assert fresh.recv(100) == b"fresh"


def test_bad_pair_keeps_the_old(lab):
    old = fingerprint(client(lab, WATCHED, "weir.test"))
    refusals = lab.metrics().get("weir_tls_certificate_refusals_total", tls="watched")
    path = os.path.join(lab.folder, "volume", "tls.crt")
    lab.certs.make("mismatched", "ecdsa")
    with open(path, encoding="utf-8") as file:
        before = file.read()
    shutil.copy(lab.certs.certificate("mismatched"), path)
    lab.wait_metric("weir_tls_certificate_refusals_total", lambda value: value == refusals + 1, tls="watched")
    assert "does not belong to certificate" in lab.weir.log() and "what it held before serves on" in lab.weir.log()
    assert fingerprint(client(lab, WATCHED, "weir.test")) == old
    with open(path, "w", encoding="utf-8") as file:
        file.write(before)
    reloads = lab.metrics().get("weir_tls_certificate_reloads_total", tls="watched")
    lab.wait_metric("weir_tls_certificate_reloads_total", lambda value: value > reloads, tls="watched")
    assert lab.metrics().get("weir_tls_certificate_refusals_total", tls="watched") == refusals + 1


def test_shown(lab):
    shown = json.loads(lab.weirctl("--json", "cert", "show", "many"))["certificates"]
    assert [one["certificate"] for one in shown] == [lab.certs.certificate(pair) for pair in NAMES]
    for one, (pair, (kind, names)) in zip(shown, NAMES.items()):
        assert one["fingerprint"] == lab.certs.fingerprint(pair)
        assert one["names"] == names and one["default"] == (pair == "first")
        assert one["key_type"] == ("RSA 2048" if kind == "rsa" else "EC P-256")
        assert one["issuer"] == "CN=weir test authority"
        assert one["ocsp"] == ("good" if pair == "first" else "off")
        expiry = lab.metrics().get("weir_tls_certificate_expiry_timestamp_seconds", tls="many",
                                   certificate=one["certificate"])
        assert expiry == one["not_after"] and 86400 < expiry - time.time() <= 2 * 86400
    assert lab.weirctl("cert", "reload", "many") == "ok\n"
