# SPDX-License-Identifier: BSD-3-Clause
"""What scanners find that a listener offers whose entry of `tls` has nothing but a certificate, held against what is written
down in offered/: a line a fact, first whose word it is. Behind the listener is HTTP, which scanners look for."""
import os

import http_echo

KINDS = ["ecdsa", "rsa"]
WEB = 8081
_PORTS = {"ecdsa": 7601, "rsa": 7602}
_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "offered")


def port_of(kind):
    return _PORTS[kind]


def configure(config, lab):
    config["pools"].append({"name": "web", "policy": "round-robin",
                            "servers": [{"name": "web", "address": f"{lab.brokers[3]}:{WEB}"}]})
    for kind, entry in zip(KINDS, config["tls"]):  # the lab's own: `default` and `rsa`
        config["listeners"].append({"name": f"scanned-{kind}", "address": f"{lab.front}:{port_of(kind)}", "mode": "tcp",
                                    "tls": entry["name"], "pool": "web"})


def prepare(lab):
    http_echo.HttpEcho(lab, lab.broker_ns, lab.brokers[3], WEB)


def compare(scanner, kind, facts):
    """Raise where they are not those that are written down."""
    with open(os.path.join(_FOLDER, f"{kind}.txt"), encoding="utf-8") as file:
        expected = {line.rstrip("\n") for line in file if line.startswith(f"{scanner} ")}
    found = {f"{scanner} {fact}" for fact in facts}
    assert expected, f"nothing is written down for {scanner}"
    more, less = sorted(found - expected), sorted(expected - found)
    assert not more and not less, "offered, and not written down:\n  " + "\n  ".join(more) + \
        "\nwritten down, and not found:\n  " + "\n  ".join(less)
