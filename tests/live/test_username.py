# SPDX-License-Identifier: BSD-3-Clause
"""User names that TLS vouches for: mosquitto sees the name in the client's certificate, or of its pre-shared key, whatever
its CONNECT says."""
import os
import re
import ssl

import pytest

import certs
import mqtt
import peers
from lab import wait_for

MATRIX = "one"
NAMED, PRINTED, KEYED, DNS, EMAIL, URI, SHARED = range(7501, 7508)
DISGUISED = "urn:fleet:4711,DNS:admin.example"
KEY = "000102030405060708090a0b0c0d0e0f"


def configure(config, lab):
    lab.certs.make("device", "ecdsa", ["device-4711"], others=[("URI", DISGUISED), ("URI", "urn:other"),
                                                               ("email", "device-4711@fleet.example")])
    lab.certs.make("disguised", "ecdsa", [], others=[("URI", DISGUISED)])
    psk_file = os.path.join(lab.folder, "devices.psk")
    with open(psk_file, "w", encoding="utf-8") as file:
        file.write(f"sensor-9:{KEY}\n")
    os.chmod(psk_file, 0o600)
    pair = {"certificate": lab.certs.certificate("ecdsa"), "key": lab.certs.key("ecdsa")}
    config["tls"] += [pair | {"name": "asked", "client_certificates": "optional", "client_ca": lab.certs.ca},
                      {"name": "keyed", "psk_file": psk_file}]
    for port, tls, source in ((NAMED, "asked", "common-name"), (PRINTED, "asked", "fingerprint"),
                              (KEYED, "keyed", "psk-identity"), (DNS, "asked", "alt-dns"),
                              (EMAIL, "asked", "alt-email"), (URI, "asked", "alt-uri")):
        config["listeners"].append({"name": source, "address": f"{lab.front}:{port}", "mode": "mqtt", "tls": tls,
                                    "pool": "brokers", "username_from": source})
    config["pools"].append(next(pool for pool in config["pools"] if pool["name"] == "brokers") |
                           {"name": "shared", "policy": "username"})
    config["listeners"].append({"name": "shared", "address": f"{lab.front}:{SHARED}", "mode": "mqtt", "tls": "asked",
                                "pool": "shared", "username_from": "alt-uri"})


def prepare(lab):
    lab.both = peers.two_mosquittos(lab)


def publish(lab, port, client_id, *words, version="mqttv311"):
    return lab.client_ns.run("mosquitto_pub", "-h", lab.front, "-p", str(port), "-i", client_id, "-V", version, "-t", "t",
                             "-m", "hello", "-q", "1", *words, check=False)


def with_certificate(lab, name="device"):
    return ["--cafile", lab.certs.ca, "--cert", lab.certs.certificate(name), "--key", lab.certs.key(name)]


def username_at_broker(lab, client_id):
    """As it stands in a log: New client connected from ... as ID (p2, c1, k60, u'NAME')."""
    def line():
        return re.search(rf" as {client_id} \(.*", "".join(broker.log(400) for broker in lab.both))

    found = re.search(r"u'([^']*)'", wait_for(f"{client_id} in mosquitto's log", line)[0])
    return found and found[1]


@pytest.mark.parametrize("version", ["mqttv31", "mqttv311", "mqttv5"])
@pytest.mark.parametrize("own", [[], ["-u", "root"], ["-u", "a-name-that-is-longer-than-device-4711", "-P", "secret"]],
                         ids=["none", "another", "with a password"])
def test_common_name(lab, own, version):
    client_id = f"n{len(own)}{version}"
    done = publish(lab, NAMED, client_id, *with_certificate(lab), *own, version=version)
    assert done.returncode == 0, done.stderr
    assert username_at_broker(lab, client_id) == "device-4711"


def test_fingerprint(lab):
    done = publish(lab, PRINTED, "printed", *with_certificate(lab), "-u", "root")
    assert done.returncode == 0, done.stderr
    assert username_at_broker(lab, "printed") == lab.certs.fingerprint("device").replace(":", "").lower()


@pytest.mark.parametrize("port,name", [(DNS, "device-4711"), (EMAIL, "device-4711@fleet.example"), (URI, DISGUISED)],
                         ids=["dns", "email", "uri"])
def test_alternative_names(lab, port, name):
    client_id = f"alt{port}"
    done = publish(lab, port, client_id, *with_certificate(lab), "-u", "root")
    assert done.returncode == 0, done.stderr
    assert username_at_broker(lab, client_id) == name


@pytest.mark.parametrize("port", [DNS, EMAIL], ids=["dns", "email"])
def test_without_such_a_name(lab, port):
    """A text of another kind that looks like one is none."""
    before = lab.metrics().drops("mqtt").get("no_identity", 0)
    done = publish(lab, port, "disguised", *with_certificate(lab, "disguised"), "-u", "admin.example")
    assert "not authori" in done.stderr.lower(), done.stderr
    assert lab.metrics().drops("mqtt")["no_identity"] == before + 1


def test_a_name_has_its_server(lab):
    """Policy username goes by the name that is sent on, not by the client's own."""
    for number in range(10):
        done = publish(lab, SHARED, f"shared-{number}", *with_certificate(lab), "-u", f"own-{number}")
        assert done.returncode == 0, done.stderr
    counts = lab.metrics().series("weir_server_connections_total", pool="shared").values()
    assert sorted(counts)[:-1] == [0] * (len(counts) - 1) and sum(counts) == 10, counts


def test_psk_identity(lab):
    done = publish(lab, KEYED, "keyed", "--psk", KEY, "--psk-identity", "sensor-9", "-u", "root")
    assert done.returncode == 0, done.stderr
    assert username_at_broker(lab, "keyed") == "sensor-9"


@pytest.mark.parametrize("level,code", [(4, 5), (5, 0x87)])
def test_without_a_certificate(lab, level, code):
    """Nobody chooses a name by showing nothing."""
    before = lab.metrics().drops("mqtt").get("no_identity", 0)
    with lab.connect_tls(NAMED) as sock:
        sock.sendall(mqtt.connect("nobody", level=level, username="device-4711"))
        answer = mqtt.read(sock)
        assert answer[0] == mqtt.CONNACK and answer[2][1] == code, answer
    assert lab.metrics().drops("mqtt")["no_identity"] == before + 1


def test_messages_follow(lab):
    """What is behind the CONNECT in the same flight goes on behind the longer one."""
    context = ssl.create_default_context(cafile=lab.certs.ca)
    context.load_cert_chain(lab.certs.certificate("device"), lab.certs.key("device"))
    with context.wrap_socket(lab.connect(NAMED), server_hostname=certs.SERVER_NAME) as sock:
        sock.sendall(mqtt.connect("flight") + mqtt.PING * 3)
        kinds, data = [], b""
        while len(kinds) < 4:
            more = sock.recv(1000)
            assert more, kinds
            packet, data = mqtt.split(data + more)
            while packet:
                kinds.append(packet[0])
                packet, data = mqtt.split(data)
    assert kinds == [mqtt.CONNACK] + [mqtt.PINGRESP] * 3
    assert username_at_broker(lab, "flight") == "device-4711"
