# SPDX-License-Identifier: BSD-3-Clause
"""SIGHUP takes new certificates or keeps the old ones and says so; SIGTERM drains."""
import hashlib
import shutil
import signal

import pytest
import yaml

import clients
import peers
from lab import wait_for

MATRIX = "ends"


def configure(config, lab):
    config["timeouts"]["drain_s"] = 60
    lab.certs.make("reload", "ecdsa")
    config["tls"][0] |= {"watch": "off", "certificate": lab.certs.certificate("reload"), "key": lab.certs.key("reload")}


def prepare(lab):
    peers.two_mosquittos(lab)


def fingerprint(lab):
    with lab.connect_tls(7007) as sock:
        return hashlib.sha256(sock.getpeercert(binary_form=True)).hexdigest()


def copy_pair(lab, certificate, key):
    shutil.copy(lab.certs.certificate(certificate), lab.certs.certificate("reload"))
    shutil.copy(lab.certs.key(key), lab.certs.key("reload"))


def test_new_certificate(lab):
    old = fingerprint(lab)
    with lab.connect_tls(7007) as held:
        lab.certs.make("fresh", "ecdsa")
        copy_pair(lab, "fresh", "fresh")
        lab.weir.signal(signal.SIGHUP)
        wait_for("the new certificate", lambda: fingerprint(lab) != old)
        held.sendall(b"old connections go on")
        assert held.recv(100) == b"old connections go on"


def test_pair_that_does_not_match_keeps_the_old(lab):
    old = fingerprint(lab)
    lab.certs.make("other", "ecdsa")
    copy_pair(lab, "other", "ecdsa")
    lab.weir.signal(signal.SIGHUP)
    wait_for(lambda: f"a complaint about reload.key:\n{lab.weir.log()}",
             lambda: any("reload." in line and ("match" in line or "keep" in line) for line in lab.weir.log().splitlines()))
    assert fingerprint(lab) == old
    copy_pair(lab, "other", "other")
    lab.weir.signal(signal.SIGHUP)
    wait_for("the pair that matches again", lambda: fingerprint(lab) != old)


def test_sigterm_drains(lab):
    """Open connections go on, new ones are refused, and when the last is gone weir ends with 0."""
    run = lab.weir
    with clients.open_mqtt(lab, "stays", 8883, tls=True) as sock:
        run.signal(signal.SIGTERM)

        def refused():
            try:
                lab.connect(1883, timeout_s=5).close()
            except (ConnectionRefusedError, TimeoutError):
                return True
            return False

        wait_for("new connections to be refused", refused)
        for _ in range(3):
            clients.ping(sock)
        assert run.process.poll() is None, "weir did not wait for an open connection"
        clients.leave(sock)
    assert run.wait(30) == 0
    lab.restart()


@pytest.mark.parametrize("drain_s", [1])
def test_drain_ends(lab, drain_s):
    """drain_s is the most that an open connection may delay the end. A client of MQTT 5.0 is told why."""
    with open(lab.weir.config_path, encoding="utf-8") as file:
        config = yaml.safe_load(file)
    config["timeouts"]["drain_s"] = drain_s
    lab.weir.stop()
    lab.start(config)
    with clients.open_mqtt(lab, "does-not-leave") as sock, clients.open_mqtt(lab, "is-told", level=5) as told:
        lab.weir.signal(signal.SIGTERM)
        assert lab.weir.wait(30) == 0
        assert told.recv(100) == b"\xe0\x01\x8b"
        sock.settimeout(30)
        try:
            while sock.recv(100):
                pass
        except ConnectionResetError:
            pass
    lab.restart()
