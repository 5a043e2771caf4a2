# SPDX-License-Identifier: BSD-3-Clause
"""Who a client is: certificates with CRLs, pre-shared keys, SRP, what servers hear of it in PROXY v2, and sessions that are resumed
across reloads, rotations and processes."""
import base64
import os
import signal
import ssl
import struct
import subprocess
import threading

import pytest

import peers
from lab import wait_for
from netns import run
from sessions import resumed, session_make

MATRIX = "once"
REQUIRED, TOLD, PSK, FLEET, ROTATED, LOGGED, OWNED, SRP, WHOLE = range(7201, 7210)
KEY = "000102030405060708090a0b0c0d0e0f"
VERSIONS = ["-tls1_2", "-tls1_3"]


def ticket_line():
    return base64.b64encode(os.urandom(80)).decode() + "\n"


def crl_write(lab, *revoked):
    """The authority's CRL with these certificates on it."""
    folder = os.path.join(lab.folder, "crl")
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/index.txt", "w", encoding="utf-8"):
        pass
    with open(f"{folder}/ca.cnf", "w", encoding="utf-8") as file:
        file.write(f"[ca]\ndefault_ca=c\n[c]\ndatabase={folder}/index.txt\ndefault_md=sha256\ndefault_crl_days=1\n")
    ca = ["openssl", "ca", "-config", f"{folder}/ca.cnf", "-cert", lab.certs.ca, "-keyfile",
          os.path.join(lab.folder, "ca.key")]
    for name in revoked:
        run(*ca, "-revoke", lab.certs.certificate(name))
    run(*ca, "-gencrl", "-out", lab.crl + ".new")
    os.rename(lab.crl + ".new", lab.crl)


def configure(config, lab):
    for name in ("device", "revoked"):
        lab.certs.make(name, "ecdsa", [name])
    lab.certs.make("large", "ecdsa", ["large", *(f"device-{number}.fleet.example" for number in range(200))])
    lab.crl, lab.ticket_file = (os.path.join(lab.folder, name) for name in ("clients.crl", "tickets.keys"))
    psk_file, lab.key_log = os.path.join(lab.folder, "devices.psk"), os.path.join(lab.folder, "keys.log")
    crl_write(lab, "revoked")
    for path, text in ((lab.ticket_file, ticket_line()), (psk_file, f"device-1:{KEY}\n")):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o600)
    srp_file = os.path.join(lab.folder, "users.srp")
    with open(srp_file, "w", encoding="utf-8"):
        pass
    run("openssl", "srp", "-srpvfile", srp_file, "-add", "-gn", "2048", "-passout", "pass:correct horse", "device-1")
    os.chmod(srp_file, 0o600)
    pair = {"certificate": lab.certs.certificate("ecdsa"), "key": lab.certs.key("ecdsa")}
    asked = {"client_ca": lab.certs.ca, "client_crl": lab.crl}
    config["tls"] += [
        pair | asked | {"name": "required", "client_certificates": "required"},
        pair | asked | {"name": "told", "client_certificates": "optional", "alpn": ["mqtt"]},
        {"name": "psk", "psk_file": psk_file}, {"name": "srp", "srp_file": srp_file},
        pair | {"name": "fleet", "ticket_keys": lab.ticket_file},
        pair | {"name": "rotated", "tickets": 1, "ticket_rotate_s": 10},
        pair | {"name": "logged", "key_log": lab.key_log}]
    config["pools"].append({"name": "tlv", "policy": "round-robin", "proxy_protocol": "v2",
                            "servers": [{"name": "receiver", "address": f"{lab.brokers[4]}:1899"}]})
    config["pools"].append(config["pools"][-1] | {"name": "whole", "proxy_certificate": True})
    config["pools"].append(next(pool for pool in config["pools"] if pool["name"] == "brokers") |
                           {"name": "owned", "policy": "certificate"})

    def listener(name, port, tls, **more):
        return {"name": name, "address": f"{lab.front}:{port}", "mode": "echo", "tls": tls} | more
    config["listeners"] += [
        listener("required", REQUIRED, "required", mode="mqtt", pool="brokers"),
        listener("told", TOLD, "told", mode="tcp", pool="tlv"),
        listener("whole", WHOLE, "told", mode="tcp", pool="whole"),
        listener("psk", PSK, "psk", mode="mqtt", pool="brokers"), listener("srp", SRP, "srp"),
        listener("fleet", FLEET, "fleet"),
        listener("owned", OWNED, "required", mode="mqtt", pool="owned"),
        listener("rotated", ROTATED, "rotated"), listener("logged", LOGGED, "logged")]


class Receiver:
    """Takes connections one by one and keeps the PROXY headers they begin with."""

    def __init__(self, lab, address, port):
        self.headers = []
        self._listener = lab.broker_ns.socket()
        self._listener.bind((address, port))
        self._listener.listen(16)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with sock:
                sock.settimeout(30)
                head = sock.recv(16, 0x100)  # MSG_WAITALL
                if len(head) == 16:
                    body = sock.recv(struct.unpack("!H", head[14:])[0], 0x100)
                    self.headers.append((head, body))
                    sock.sendall(b"seen\n")

    def close(self):
        self._listener.close()


def tlvs(data):
    found = {}
    while data:
        kind, n = struct.unpack("!BH", data[:3])
        found[kind] = data[3:3 + n]
        data = data[3 + n:]
    return found


def prepare(lab):

    lab.keep(peers.Mosquitto(lab, "b1", lab.brokers[0]).start())
    lab.keep(peers.Mosquitto(lab, "b2", lab.brokers[1]).start())
    lab.receiver = lab.keep(Receiver(lab, lab.brokers[4], 1899))


def s_client(lab, port, *words):
    done = lab.client_ns.run("openssl", "s_client", "-connect", f"{lab.front}:{port}", *words, check=False, input="")
    return done.stdout + done.stderr


def own(lab, name):
    return ["-cert", lab.certs.certificate(name), "-key", lab.certs.key(name)]


def refusals(lab, reason):
    return lab.metrics().drops("tls").get(reason, 0)


def publish(lab, port, *words):
    return lab.client_ns.run("mosquitto_pub", "-h", lab.front, "-p", str(port), "-t", "t", "-m", "hello", "-q", "1", *words,
                             check=False)


def test_mosquitto_with_a_certificate(lab):
    tls = ["--cafile", lab.certs.ca, "--insecure"]
    done = publish(lab, REQUIRED, *tls, "--cert", lab.certs.certificate("device"), "--key", lab.certs.key("device"))
    assert done.returncode == 0, done.stderr
    before = refusals(lab, "hs_client_no_cert")
    assert publish(lab, REQUIRED, *tls).returncode != 0
    wait_for("the refusal to be counted", lambda: refusals(lab, "hs_client_no_cert") > before)


def test_a_certificate_has_its_server(lab):
    for number in range(10):
        done = publish(lab, OWNED, "--cafile", lab.certs.ca, "--insecure", "-i", f"client-{number}", "-A",
                       f"198.18.0.{2 + number % 8}", *(f"-{word}" if word.startswith("-") else word
                                                       for word in own(lab, "device")))
        assert done.returncode == 0, done.stderr
    counts = lab.metrics().series("weir_server_connections_total", pool="owned").values()
    assert sorted(counts)[:-1] == [0] * (len(counts) - 1) and sum(counts) == 10, counts


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("who,reason,alerts", [
    ("revoked", "hs_client_revoked", (44, 44)), (None, "hs_client_no_cert", (40, 116))])
def test_refused(lab, version, who, reason, alerts):
    before = refusals(lab, reason)
    client = lab.client_ns.popen("openssl", "s_client", "-connect", f"{lab.front}:{REQUIRED}", version, "-quiet",
                                 *(own(lab, who) if who else []), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True)
    said = client.stdout.read()  # in 1.3 the alert comes behind the client's end of the handshake
    client.stdin.close()
    client.wait(10)
    assert f"alert number {alerts[VERSIONS.index(version)]}" in said, said
    wait_for("the refusal to be counted", lambda: refusals(lab, reason) > before)


def header_of(lab, port, who, *words):
    """The PROXY header that the receiver got of a client with this certificate, or none."""
    before = len(lab.receiver.headers)
    client = lab.client_ns.popen("openssl", "s_client", "-connect", f"{lab.front}:{port}", "-quiet", "-alpn", "mqtt",
                                 "-servername", "fleet.example", *(own(lab, who) if who else []), *words,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    client.stdin.write("hello\n")
    client.stdin.flush()
    assert client.stdout.readline() == "seen\n"
    client.kill()
    client.wait(10)
    return lab.receiver.headers[before]


@pytest.mark.parametrize("who", ["device", None])
def test_servers_hear_of_it(lab, who):
    head, body = header_of(lab, TOLD, who, "-tls1_3")
    assert head[:14] == b"\r\n\r\n\0\r\nQUIT\n\x21\x11"
    found = tlvs(body[12:])
    assert found[0x01] == b"mqtt" and found[0x02] == b"fleet.example"
    bits, verify = struct.unpack("!BI", found[0x20][:5])
    inner = tlvs(found[0x20][5:])
    assert inner[0x21] == b"TLSv1.3" and inner[0x23] == b"TLS_AES_128_GCM_SHA256"
    if who:
        assert bits == 7 and verify == 0 and inner[0x22] == b"device"
    else:
        assert bits == 1 and verify != 0 and 0x22 not in inner
    assert 0x28 not in inner, "kept for another pool, which asks for it"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("who", ["device", "large", None])
def test_servers_get_the_certificate(lab, version, who):
    body = header_of(lab, WHOLE, who, version)[1]
    found = tlvs(tlvs(body[12:])[0x20][5:])
    assert found.get(0x22) == (who and who.encode())
    if who == "device":
        with open(lab.certs.certificate(who), encoding="ascii") as file:
            assert found[0x28] == ssl.PEM_cert_to_DER_cert(file.read())
    else:
        assert 0x28 not in found, "none, or longer than is kept"


def test_weirctl_names_the_client(lab):
    client = lab.client_ns.popen("mosquitto_sub", "-h", lab.front, "-p", str(REQUIRED), "-t", "t", "--cafile", lab.certs.ca,
                                 "--insecure", "--cert", lab.certs.certificate("device"), "--key", lab.certs.key("device"))
    try:
        wait_for("the client in weirctl flows", lambda: "client:device" in lab.weirctl("flows"))
        assert lab.metrics().get("weir_tls_identities") >= 1
    finally:
        client.kill()
        client.wait(10)
    lab.wait_metric("weir_tls_identity_bytes", lambda value: value == 0)


def test_psk(lab):
    done = publish(lab, PSK, "--psk", KEY, "--psk-identity", "device-1")
    assert done.returncode == 0, done.stderr
    for version in VERSIONS:
        said = s_client(lab, PSK, version, "-psk", KEY, "-psk_identity", "device-1", "-cipher", "PSK:@SECLEVEL=0")
        assert "Reused, TLSv1.3" in said or "PSK identity: device-1" in said, said
    taken = lab.metrics().get("weir_tls_libssl_records_total")
    assert taken == 0, "keys of clients with pre-shared keys are taken over, too"
    before = refusals(lab, "hs_psk")
    assert publish(lab, PSK, "--psk", KEY, "--psk-identity", "device-2").returncode != 0
    assert publish(lab, PSK, "--psk", KEY[::-1], "--psk-identity", "device-1").returncode != 0
    wait_for("both refusals to be counted", lambda: refusals(lab, "hs_psk") >= before + 2)


def test_srp(lab):
    """With GnuTLS as the client: that of OpenSSL 3.0 crashes here, whatever the server."""
    def login(user, password):
        done = lab.client_ns.run("gnutls-cli", "--srpusername", user, "--srppasswd", password, "-p", str(SRP), lab.front,
                                 "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+SRP", check=False, input="hello\n")
        return done.stdout + done.stderr
    said = login("device-1", "correct horse")
    assert "(TLS1.2-X.509)-(SRP)-(AES-256-CBC)" in said and "\nhello\n" in said, said
    before = refusals(lab, "hs_srp")
    strangers = [login("device-1", "battery staple"), login("device-2", "correct horse")]
    assert all("Received alert [20]: Bad record MAC" in said for said in strangers), strangers
    wait_for("both refusals to be counted", lambda: refusals(lab, "hs_srp") == before + 2)


@pytest.mark.parametrize("version", VERSIONS)
def test_resumed_across_a_reload(lab, version):
    session = session_make(lab, ROTATED, version)
    lab.weirctl("reload")
    lab.weir.signal(signal.SIGHUP)
    wait_for("the reload", lambda: lab.weir.log(400).count("read again") >= 2)
    assert resumed(lab, ROTATED, version, session)


@pytest.mark.parametrize("version", VERSIONS)
def test_not_resumed_where_the_key_is_gone(lab, version):
    session = session_make(lab, ROTATED, version)
    assert resumed(lab, ROTATED, version, session)
    wait_for("three rotations", lambda: not resumed(lab, ROTATED, version, session), timeout_s=60, interval_s=3)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_fleet_resumes(lab, version):
    """Another process with the same file of keys; then the file moves on."""
    session = session_make(lab, FLEET, version)
    lab.restart()
    assert resumed(lab, FLEET, version, session), "sealed by the process before"
    alone = session_make(lab, ROTATED, version)
    lab.restart()
    assert not resumed(lab, ROTATED, version, alone), "keys at random are another process's"
    with open(lab.ticket_file + ".new", "w", encoding="utf-8") as file:
        file.write(ticket_line())
    os.rename(lab.ticket_file + ".new", lab.ticket_file)
    wait_for("the new key", lambda: not resumed(lab, FLEET, version, session))


def test_a_bad_file_of_keys_is_refused(lab):
    session = session_make(lab, FLEET, "-tls1_3")
    with open(lab.ticket_file, encoding="utf-8") as file:
        good = file.read()
    with open(lab.ticket_file, "w", encoding="utf-8") as file:
        file.write(good + "nonsense\n")
    wait_for("the refusal", lambda: "tickets.keys:2: not a key" in lab.weir.log(400))
    assert resumed(lab, FLEET, "-tls1_3", session)
    with open(lab.ticket_file, "w", encoding="utf-8") as file:
        file.write(good)


def test_key_log(lab):
    resumed(lab, LOGGED, "-tls1_3", None)
    with open(lab.key_log, encoding="utf-8") as file:
        assert "CLIENT_TRAFFIC_SECRET_0 " in file.read()
    assert os.stat(lab.key_log).st_mode & 0o777 == 0o600
    assert "key_log: the keys of all connections are written to" in lab.weir.log(400)


def test_revoked_while_weir_runs(lab):
    """The last of the module: the device is let in, then its certificate is revoked, with its session."""
    path = os.path.join(lab.folder, "session-device")
    client = ["-tls1_2", *own(lab, "device")]
    assert "Verify return code" in s_client(lab, REQUIRED, *client, "-sess_out", path)
    assert "Reused, TLSv1.2" in s_client(lab, REQUIRED, *client, "-sess_in", path)
    crl_write(lab, "revoked", "device")
    wait_for("the CRL", lambda: "alert number 44" in s_client(lab, REQUIRED, *client, "-sess_in", path))
