# SPDX-License-Identifier: BSD-3-Clause
"""TLS against OpenSSL's own client: every suite that is taken over, with counters as proof that IPsec-MB carried the
records; KeyUpdate, renegotiation, truncation, orderly close."""
import queue
import ssl
import subprocess
import threading

import pytest

import netns
import peers
from certs import SERVER_NAME
from lab import wait_for

MATRIX = "all"
TLS13 = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]
TLS12 = ["AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"]
ECDSA, RSA = 7007, 7008
CASES = [("1.3", suite, ECDSA) for suite in TLS13] + [("1.3", TLS13[0], RSA)] + \
        [("1.2", f"ECDHE-ECDSA-{suite}", ECDSA) for suite in TLS12] + \
        [("1.2", f"ECDHE-RSA-{suite}", RSA) for suite in TLS12]
LINES = [f"line {number} " + "x" * (number * 37 % 4000) for number in range(60)]


class Client:
    """openssl s_client on a pipe: lines in, lines out."""

    def __init__(self, lab, port, *words):
        self.process = lab.client_ns.popen(
            "openssl", "s_client", "-connect", f"{lab.front}:{port}", "-CAfile", lab.certs.ca, "-verify_return_error",
            "-servername", SERVER_NAME, "-brief", "-no_ign_eof", *words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        self.lines, self.told = queue.Queue(), []
        threading.Thread(target=self._read, daemon=True).start()
        self._errors = threading.Thread(target=lambda: self.told.extend(self.process.stderr), daemon=True)
        self._errors.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def send(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def receive(self, timeout_s=30):
        """The next line, or None at the end."""
        try:
            return self.lines.get(timeout=timeout_s)
        except queue.Empty:
            raise TimeoutError(f"s_client got no answer:\n{''.join(self.told)}") from None

    def command(self, letter, answer):
        """A command of s_client's own. It drops what it reads together with one, so wait until it has said `answer`."""
        count = "".join(self.told).count(answer)
        self.send(letter)
        wait_for(answer, lambda: "".join(self.told).count(answer) > count or self.process.poll() is not None)

    def end(self):
        """What it said about the connection, after an orderly close."""
        self.process.stdin.close()
        assert self.process.wait(30) == 0, "".join(self.told)
        self._errors.join(10)
        return "".join(self.told)

    def kill(self):
        netns.end(self.process)


def counters(lab):
    return {name: lab.metrics().get(f"weir_tls_{name}_total") for name in
            ("records_opened", "records_sealed", "taken_over", "libssl_records", "handshakes_done", "key_updates_in")}


@pytest.mark.parametrize("version,suite,port", CASES, ids=[f"{case[0]}-{case[1]}" + "-rsa" * (case[2] == RSA and
                                                           case[0] == "1.3") for case in CASES])
def test_suite_echoes(lab, version, suite, port):
    words = ["-tls1_3", "-ciphersuites", suite] if version == "1.3" else ["-tls1_2", "-cipher", suite]
    before = counters(lab)
    client = Client(lab, port, *words)
    try:
        for line in LINES:
            client.send(line)
            assert client.receive() == line
        told = client.end()
    finally:
        client.kill()
    assert f"Ciphersuite: {suite}" in told and f"Protocol version: TLSv{version}" in told, told
    assert "Verification: OK" in told, told
    after = wait_for("the counters", lambda: (now := counters(lab))["records_opened"] > before["records_opened"] and now)
    grown = {name: after[name] - before[name] for name in after}
    assert grown["taken_over"] == 1 and grown["handshakes_done"] == 1, grown
    assert grown["records_opened"] >= len(LINES), f"IPsec-MB opened too few records: {grown}"
    assert grown["records_sealed"] >= len(LINES), f"IPsec-MB sealed too few records: {grown}"
    assert grown["libssl_records"] == 0, f"libssl carried records: {grown}"
    lab.wait_metric("weir_tls_ssl_objects", lambda value: value == 0)


@pytest.mark.parametrize("port", [ECDSA, RSA], ids=["ecdsa", "rsa"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_a_megabyte(lab, version, port):
    payload = bytes(range(256)) * 4096
    context = {"minimum_version": version, "maximum_version": version}
    with lab.connect_tls(port, **context) as sock:
        got = bytearray()
        for start in range(0, len(payload), 20000):
            sock.sendall(payload[start:start + 20000])
            while len(got) < min(start + 20000, len(payload)):
                got += sock.recv(65536)
        assert bytes(got) == payload


@pytest.mark.parametrize("command", ["K", "k"], ids=["requested", "one way"])
def test_key_update(lab, command):
    before = counters(lab)["key_updates_in"]
    client = Client(lab, ECDSA, "-tls1_3")
    try:
        for round_ in range(5):
            client.command(command, "KEYUPDATE")
            client.send(f"round {round_}")
            assert client.receive() == f"round {round_}"
        client.end()
    finally:
        client.kill()
    lab.wait_metric("weir_tls_key_updates_in_total", lambda value: value >= before + 5)


def test_renegotiation_is_refused(lab):
    before = lab.metrics().drops("tls").get("renegotiation", 0)
    client = Client(lab, ECDSA, "-tls1_2")
    try:
        client.send("before")
        assert client.receive() == "before"
        client.command("R", "RENEGOTIATING")
        client.process.wait(30)
    finally:
        client.kill()
    wait_for("the refusal to be counted", lambda: lab.metrics().drops("tls").get("renegotiation", 0) > before)


def test_orderly_close_both_ways(lab):
    def close_notifies():
        return lab.metrics().by("weir_tls_alerts_total", "direction", alert="close_notify")

    before = close_notifies()
    sock = lab.connect_tls(ECDSA)
    sock.sendall(b"bye")
    assert sock.recv(10) == b"bye"
    sock.unwrap().close()  # raises unless weir answers with its own close_notify
    wait_for("both to be counted", lambda: all(close_notifies()[way] > before[way] for way in ("in", "out")))


def test_truncation_is_no_orderly_close(lab):
    before = lab.metrics().closed("echos").get("tls_truncated", 0)
    sock = lab.connect_tls(ECDSA)
    sock.sendall(b"cut")
    assert sock.recv(10) == b"cut"
    sock.close()  # FIN alone
    wait_for("tls_truncated to be counted", lambda: lab.metrics().closed("echos").get("tls_truncated", 0) > before)


def test_session_is_not_mixed_up(lab):
    """Interleaved records of many connections: each key sees only its own."""
    socks = [lab.connect_tls(ECDSA if number % 2 else RSA) for number in range(60)]
    try:
        for round_ in range(5):
            for number, sock in enumerate(socks):
                sock.sendall(f"{number}/{round_}".encode() * (1 + number))
            for number, sock in enumerate(socks):
                expected = f"{number}/{round_}".encode() * (1 + number)
                got = b""
                while len(got) < len(expected):
                    got += sock.recv(65536)
                assert got == expected
    finally:
        for sock in socks:
            peers.reset(sock)
