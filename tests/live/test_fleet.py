# SPDX-License-Identifier: BSD-3-Clause
"""Two machines at once that share a file of ticket keys: a session begun at one is resumed at the other, and at none that
has other keys."""
import base64
import os
import shutil

import pytest

import lab as laboratory
from lab import wait_for
from sessions import resumed, session_make

MATRIX = "one"
FLEET, ALONE = 7801, 7802
VERSIONS = ["-tls1_2", "-tls1_3"]


def keys_write(path):
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(base64.b64encode(os.urandom(80)).decode() + "\n")
    os.chmod(path + ".new", 0o600)
    os.rename(path + ".new", path)


def configure(config, lab):
    lab.ticket_file = os.path.join(lab.folder, "tickets.keys")
    if not os.path.exists(lab.ticket_file):
        keys_write(lab.ticket_file)
    pair = {"certificate": lab.certs.certificate("ecdsa"), "key": lab.certs.key("ecdsa")}
    config["tls"] += [pair | {"name": "fleet", "ticket_keys": lab.ticket_file}, pair | {"name": "alone"}]
    for name, port in (("fleet", FLEET), ("alone", ALONE)):
        config["listeners"].append({"name": name, "address": f"{lab.front}:{port}", "mode": "echo", "tls": name})


@pytest.fixture(scope="module")
def machines(running_lab):
    """Each has certificates of its own, as machines of a fleet may."""
    other = laboratory.Lab(running_lab.variant, running_lab.build)
    try:
        shutil.copy(running_lab.ticket_file, other.folder)
        config = other.config()
        configure(config, other)
        other.start(config)
        yield running_lab, other
    finally:
        other.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_resumed_at_the_other(lab, machines, version):
    for here, there in (machines, machines[::-1]):
        before = there.metrics().get("weir_tls_handshakes_resumed_total")
        assert resumed(there, FLEET, version, session_make(here, FLEET, version))
        assert there.metrics().get("weir_tls_handshakes_resumed_total") == before + 1
        assert not resumed(there, ALONE, version, session_make(here, ALONE, version)), "keys at random are one machine's"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_file_moves_on(lab, machines, version):
    """A machine that has not got the new file yet cannot open what the others seal with it."""
    here, there = machines
    old = session_make(there, FLEET, version)
    keys_write(here.ticket_file)
    wait_for("the new key here", lambda: not resumed(here, FLEET, version, old))
    assert not resumed(there, FLEET, version, session_make(here, FLEET, version))
    shutil.copy(here.ticket_file, there.ticket_file)
    wait_for("the new key there", lambda: resumed(there, FLEET, version, session_make(here, FLEET, version)))
