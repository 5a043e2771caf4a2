# SPDX-License-Identifier: BSD-3-Clause
"""Certificates of a lab: one authority, server pairs with ECDSA P-256 and with RSA, made by the openssl program."""
import os

from netns import run

SERVER_NAME = "weir.test"


class Certs:
    def __init__(self, folder):
        self.folder = folder
        self.ca = self._path("ca.crt")
        run("openssl", "req", "-x509", *self._new_key("ecdsa"), "-nodes", "-days", "2", "-subj", "/CN=weir test authority",
            "-keyout", self._path("ca.key"), "-out", self.ca)
        for name in ("ecdsa", "rsa"):
            self.make(name, name)

    def _path(self, name):
        return os.path.join(self.folder, name)

    @staticmethod
    def _new_key(kind):
        return ["-newkey", "rsa:2048"] if kind == "rsa" else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]

    def certificate(self, name):
        return self._path(f"{name}.crt")

    def key(self, name):
        return self._path(f"{name}.key")

    def authority(self, name):
        """Another authority that nobody trusts unless told: <name>.crt, <name>.key. Returns the path of the former."""
        run("openssl", "req", "-x509", *self._new_key("ecdsa"), "-nodes", "-days", "2", "-subj", f"/CN={name}",
            "-keyout", self.key(name), "-out", self.certificate(name))
        return self.certificate(name)

    def make(self, name, kind, names=(SERVER_NAME,), addresses=("198.18.0.1",), days=2, issuer="ca", others=()):
        """A fresh pair <name>.crt, <name>.key for these DNS names, addresses and others, such as ("URI", "urn:a"), signed
        by the authority; days below 0: it has expired."""
        run("openssl", "req", *self._new_key(kind), "-nodes", "-subj", f"/CN={[*names, name][0]}", "-keyout", self.key(name),
            "-out", self._path(f"{name}.csr"))
        alternatives = [*(("DNS", name) for name in names), *(("IP", address) for address in addresses), *others]
        with open(self._path(f"{name}.ext"), "w", encoding="utf-8") as file:
            file.write("subjectAltName=@names\nbasicConstraints=CA:FALSE\n[names]\n")
            for number, (kind, value) in enumerate(alternatives):
                file.write(f"{kind}.{number}={value}\n")
        run("openssl", "x509", "-req", "-in", self._path(f"{name}.csr"), "-CA", self.certificate(issuer), "-CAkey",
            self.key(issuer), "-CAcreateserial", "-days", str(days), "-extfile", self._path(f"{name}.ext"), "-out", self.certificate(name))
        return self.certificate(name), self.key(name)

    def fingerprint(self, name):
        """SHA-256 of the certificate, as weirctl and /metrics spell it."""
        return run("openssl", "x509", "-in", self.certificate(name), "-noout", "-fingerprint",
                   "-sha256").stdout.strip().split("=")[1]

    def respond(self, name):
        """The authority's OCSP response that <name>.crt is good, in <name>.ocsp."""
        serial = run("openssl", "x509", "-in", self.certificate(name), "-noout", "-serial").stdout.strip().split("=")[1]
        with open(self._path("index.txt"), "w", encoding="utf-8") as file:
            file.write(f"V\t491231235959Z\t\t{serial}\tunknown\t/CN={name}\n")
        ca = ["-CA", self.ca, "-rsigner", self.ca, "-rkey", self._path("ca.key")]
        run("openssl", "ocsp", "-issuer", self.ca, "-cert", self.certificate(name), "-no_nonce", "-reqout",
            self._path("request.der"))
        run("openssl", "ocsp", "-index", self._path("index.txt"), *ca, "-reqin", self._path("request.der"), "-ndays", "1",
            "-respout", self._path(f"{name}.ocsp"))
        return self._path(f"{name}.ocsp")
