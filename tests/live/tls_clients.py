# SPDX-License-Identifier: BSD-3-Clause
"""TLS clients of many makers, driven alike: each connects as a Case says, sends bytes, gets them back, compares them, and
tells what was agreed on. All of them verify the server's certificate and its name."""
import collections
import os
import re
import subprocess
import sys
import threading

import certs

HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE_S = 60
TLS13 = {"AES128-GCM": "TLS_AES_128_GCM_SHA256", "AES256-GCM": "TLS_AES_256_GCM_SHA384",
         "CHACHA20": "TLS_CHACHA20_POLY1305_SHA256"}
TLS12 = {"AES128-GCM": "AES128-GCM-SHA256", "AES256-GCM": "AES256-GCM-SHA384", "CHACHA20": "CHACHA20-POLY1305"}
GNUTLS_CIPHER = {"AES128-GCM": "AES-128-GCM", "AES256-GCM": "AES-256-GCM", "CHACHA20": "CHACHA20-POLY1305"}
GNUTLS_GROUP = {"X25519": "X25519", "P-256": "SECP256R1", "P-384": "SECP384R1"}
MBEDTLS_CIPHER = {"AES128-GCM": "AES-128-GCM-SHA256", "AES256-GCM": "AES-256-GCM-SHA384",
                  "CHACHA20": "CHACHA20-POLY1305-SHA256"}
SPELLINGS = {"X25519": ("X25519", "x25519"), "P-256": ("P-256", "prime256v1", "SECP256R1", "secp256r1"),
             "P-384": ("P-384", "secp384r1", "SECP384R1")}

# Version "1.2" or "1.3", suite as in TLS13, group as in SPELLINGS, certificate of the server "ecdsa" or "rsa"; `own` names
# the client's, of the same kind, or is None; `fragment` is a max_fragment_length or 0; a write holds `record` bytes.
Case = collections.namedtuple("Case", "version suite group certificate resumed own fragment record")
# As the client says; None where it does not.
Agreed = collections.namedtuple("Agreed", "version suite group resumed", defaults=[None] * 4)


def suite_name(case):
    """OpenSSL's."""
    return TLS13[case.suite] if case.version == "1.3" else f"ECDHE-{case.certificate.upper()}-{TLS12[case.suite]}"


def groups(case):
    """What is offered: the group, and in 1.2 the one of a certificate with ECDSA, too (RFC 8422 section 5.1)."""
    needs = case.version == "1.2" and case.certificate == "ecdsa" and case.group != "P-256"
    return f"{case.group}:P-256" if needs else case.group


def writes(case):
    """How many there are of a case: some 100 KB in all, and no more than 40."""
    return max(6, min(40, 100_000 // case.record))


def payload(case, number):
    return (f"{number:x}" * case.record)[:case.record].encode()


def own_files(lab, case, certificate="--cert", key="--key"):
    return [certificate, lab.certs.certificate(case.own), key, lab.certs.key(case.own)] if case.own else []


def openssl_policy(lab, case):
    """The environment in which a program that uses OpenSSL can agree on this case's version, suite and group alone,
    whatever options it has (config(5))."""
    path = os.path.join(lab.folder, f"openssl-{case.version}-{suite_name(case)}-{case.group}.cnf")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = policy\n[policy]\n"
                   f"MinProtocol = TLSv{case.version}\nMaxProtocol = TLSv{case.version}\nGroups = {groups(case)}\n" +
                   (f"Ciphersuites = {suite_name(case)}\n" if case.version == "1.3" else
                    f"CipherString = {suite_name(case)}\n"))
    return os.environ | {"OPENSSL_CONF": path}


class Pipe:
    """A client program that carries standard input to the server and writes what comes back."""

    def __init__(self, lab, *command, **options):
        self._process = lab.client_ns.popen(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=subprocess.PIPE, **options)
        self._guard = threading.Timer(PATIENCE_S, self._process.kill)
        self._guard.start()
        self._told = []
        self._reader = threading.Thread(target=lambda: self._told.append(self._process.stderr.read()))
        self._reader.start()

    def echo(self, case):
        for number in range(writes(case)):
            data = payload(case, number)
            self._process.stdin.write(data)
            self._process.stdin.flush()
            back = self._process.stdout.read(len(data))
            assert back == data, f"{len(data)} bytes sent, {len(back)} came back, not the same: {self.close()}"

    def close(self):
        """End of input; then the client closes in order. What it said on standard error."""
        try:
            self._process.stdin.close()
            self._process.wait(PATIENCE_S)
        finally:
            self._process.kill()
            self._guard.cancel()
            self._reader.join(10)
            self._process.stdout.close()
        return b"".join(self._told).decode(errors="replace")


def _find(pattern, text):
    found = re.search(pattern, text)
    assert found, f"no {pattern} in:\n{text}"
    return found[1]


def openssl(lab, case, port):
    """s_client, twice where the second connection resumes."""
    session = os.path.join(lab.folder, f"session-{port}")
    words = ["openssl", "s_client", "-connect", f"{lab.front}:{port}", "-CAfile", lab.certs.ca, "-verify_return_error",
             "-verify_hostname", certs.SERVER_NAME, "-servername", certs.SERVER_NAME, "-brief", "-no_ign_eof",
             *own_files(lab, case, "-cert", "-key"), *(["-maxfraglen", str(case.fragment)] if case.fragment else [])]
    environment = openssl_policy(lab, case)
    told = ""
    for use in ([["-sess_out", session], ["-sess_in", session]] if case.resumed else [[]]):
        client = Pipe(lab, *words, *use, env=environment)
        try:
            client.echo(case)
        finally:
            told = client.close()
    group = None if case.resumed and case.version == "1.2" else _find(r"Server Temp Key: (?:ECDH, )?([\w-]+)", told)
    # With -brief, which leaves standard output to the bytes, it does not say whether a session was resumed.
    return Agreed(_find(r"Protocol version: TLSv(\S+)", told), _find(r"Ciphersuite: (\S+)", told), group, None)


def gnutls(lab, case, port):
    log = os.path.join(lab.folder, f"gnutls-{port}.log")
    priority = f"NONE:+VERS-TLS{case.version}:+{GNUTLS_CIPHER[case.suite]}:+AEAD:+SIGN-ALL:+ECDHE-RSA:+ECDHE-ECDSA:" \
               f"+{':+'.join(f'GROUP-{GNUTLS_GROUP[group]}' for group in groups(case).split(':'))}:+CTYPE-ALL"
    client = Pipe(lab, "gnutls-cli", "--logfile", log, "--port", str(port), "--x509cafile", lab.certs.ca, "--priority",
                  priority, "--sni-hostname", certs.SERVER_NAME, "--verify-hostname", certs.SERVER_NAME,
                  *own_files(lab, case, "--x509certfile", "--x509keyfile"),
                  *(["--recordsize", str(case.fragment)] if case.fragment else []),
                  *(["--resume", "--waitresumption"] if case.resumed else []), lab.front)
    try:
        client.echo(case)
    finally:
        said = client.close()
    with open(log, encoding="utf-8", errors="replace") as file:
        said = file.read() + said
    last = said.rsplit("Connecting again", 1)[-1]
    version, rest = re.search(r"Description: \(TLS([\d.]+)[^)]*\)-(.*)", last).groups()
    group = re.search(r"\(ECDHE-(\w+)\)", rest)
    return Agreed(version, case.suite if f"({GNUTLS_CIPHER[case.suite]})" in rest else rest, group and group[1],
                  "This is a resumed session" in last)


def mosquitto(lab, case, port):
    """mosquitto_rr subscribes to the topic that it publishes to: what it sends comes back over the same connection."""
    text = payload(case, 7).decode()
    done = lab.client_ns.run("mosquitto_rr", "-h", lab.front, "-p", str(port), "--cafile", lab.certs.ca, "-q", "1", "-N",
                             "-t", "matrix", "-e", "matrix", "-m", text, "-W", str(PATIENCE_S), *own_files(lab, case),
                             env=openssl_policy(lab, case), check=False, timeout_s=PATIENCE_S + 10)
    assert done.returncode == 0 and done.stdout == text, (done.returncode, done.stdout[:100], done.stderr)
    return Agreed()


def python(lab, case, port):
    words = [sys.executable, os.path.join(HERE, "ssl_client.py"), lab.front, str(port), certs.SERVER_NAME, lab.certs.ca,
             suite_name(case), str(case.record), str(writes(case)), "2" if case.resumed else "1"]
    if case.own:
        words += [lab.certs.certificate(case.own), lab.certs.key(case.own)]
    done = lab.client_ns.run(*words, env=openssl_policy(lab, case), check=False, timeout_s=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    version, suite, resumed = done.stdout.split()[-3:]
    return Agreed(version.removeprefix("TLSv"), suite, None, resumed == "True")


def curl(lab, case, port):
    """It posts a body and gets it back, from a server that closes after each answer: the second time is a resumption."""
    path = os.path.join(lab.folder, "body")
    data = payload(case, 5) * writes(case)
    with open(path, "wb") as file:
        file.write(data)
    url = f"https://{certs.SERVER_NAME}:{port}/"
    outs = [os.path.join(lab.folder, f"answer-{number}") for number in range(2 if case.resumed else 1)]
    words = ["curl", "-sSv", "--http1.1", "--cacert", lab.certs.ca, "--resolve", f"{certs.SERVER_NAME}:{port}:{lab.front}",
             "--data-binary", f"@{path}", "-H", "Expect:", "-m", str(PATIENCE_S), f"--tlsv{case.version}", "--tls-max",
             case.version, "--curves", groups(case), *own_files(lab, case),
             "--tls13-ciphers" if case.version == "1.3" else "--ciphers", suite_name(case)]
    for out in outs:
        words += ["-o", out, url]
    done = lab.client_ns.run(*words, check=False, timeout_s=PATIENCE_S + 10)
    assert done.returncode == 0, done.stderr
    for out in outs:
        with open(out, "rb") as file:
            assert file.read() == data, f"curl got other bytes than it sent: {done.stderr}"
    version, suite = re.findall(r"SSL connection using TLSv(\S+) / (\S+)", done.stderr)[-1]
    return Agreed(version, suite, None, None)


def _library(lab, case, port, library, suite):
    done = lab.client_ns.run(
        lab.tool(f"tls_peer/tls_peer_{library}"), "--address", lab.front, "--port", str(port), "--version", case.version,
        "--name", certs.SERVER_NAME, "--ca", lab.certs.ca, "--suite", suite, "--groups", groups(case), *own_files(lab, case),
        "--record", str(case.record), "--bytes", str(case.record * writes(case)), "--in-flight", str(4 * case.record),
        *(["--fragment", str(case.fragment)] if case.fragment else []), *(["--resume"] if case.resumed else []),
        check=False, timeout_s=PATIENCE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    said = dict(word.split("=", 1) for word in done.stdout.splitlines()[-1].split(" "))
    same = said["suite"] in (suite, suite.replace("ECDHE-", "TLS_ECDHE_").replace("-", "_"))
    return Agreed(said["version"].removeprefix("TLSv"), suite_name(case) if same else said["suite"], said["group"] or None,
                  said["resumed"] == "1")


def mbedtls(lab, case, port):
    return _library(lab, case, port, "mbedtls",
                    f"TLS-ECDHE-{case.certificate.upper()}-WITH-{MBEDTLS_CIPHER[case.suite]}")


def wolfssl(lab, case, port):
    names = {"TLS_AES_128_GCM_SHA256": "TLS13-AES128-GCM-SHA256", "TLS_AES_256_GCM_SHA384": "TLS13-AES256-GCM-SHA384",
             "TLS_CHACHA20_POLY1305_SHA256": "TLS13-CHACHA20-POLY1305-SHA256"}
    return _library(lab, case, port, "wolfssl", names.get(suite_name(case), suite_name(case)))


ALL = {"openssl": openssl, "gnutls": gnutls, "mosquitto": mosquitto, "python": python, "curl": curl, "mbedtls": mbedtls,
       "wolfssl": wolfssl}
