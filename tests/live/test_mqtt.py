# SPDX-License-Identifier: BSD-3-Clause
"""Real MQTT clients through weir to real mosquitto brokers, and what weir refuses."""
import contextlib
import socket
import struct

import paho.mqtt.client as paho
import pytest

import clients
import mqtt
import peers
from lab import wait_for

MATRIX = "arms"
VERSIONS = ["mqttv31", "mqttv311", "mqttv5"]


def configure(config, lab):
    config["timeouts"] |= {"mqtt_connect_s": 2, "handshake_s": 2}
    config["pools"].append({"name": "nobody", "policy": "client-id",
                            "servers": [{"name": "none", "address": f"{lab.brokers[3]}:1999"}]})
    config["listeners"].append({"name": "mqtt-nobody", "address": f"{lab.front}:1886", "mode": "mqtt", "pool": "nobody"})


def prepare(lab):
    peers.two_mosquittos(lab)
    lab.sink = peers.Sink(lab, lab.brokers[2], 1884, proxy=True)


@pytest.fixture(scope="module")
def ids(running_lab):
    """{server: client-ids}, so that publisher and subscriber meet on one broker."""
    return clients.ids_by_server(running_lab, ["b1", "b2"], 4)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
def test_publish_subscribe(lab, ids, version, qos, tls):
    port = 8883 if tls else 1883
    for server in ("b1", "b2"):
        topic = f"weir/{server}/{version}/{qos}/{port}"
        payloads = [f"{server} {number} " + "." * (number * 97 % 3000) for number in range(20)]
        subscriber = clients.Subscriber(lab, ids[server][0], topic, len(payloads), port, tls, qos, version).wait_ready()
        clients.publish(lab, ids[server][1], topic, payloads, port, tls, qos, version,
                        arrived=lambda: subscriber.wait_messages(len(payloads)))
        assert subscriber.wait_end() == 0, subscriber.text()[-2000:]
        assert [(q, payload) for _, q, payload in subscriber.messages()] == [(qos, payload) for payload in payloads]


class Paho(paho.Client):
    """Its connections are made inside, those of its own thread too, which tries again where one breaks off."""

    def __init__(self, lab, client_id, protocol):
        super().__init__(client_id=client_id, protocol=protocol)
        self._namespace = lab.client_ns

    def reconnect(self):
        with self._namespace.entered():
            return super().reconnect()


@pytest.mark.parametrize("protocol", [paho.MQTTv311, paho.MQTTv5], ids=["3.1.1", "5"])
def test_paho(lab, ids, protocol):
    """Another client library, large payloads, both directions on one connection."""
    got = []
    client = Paho(lab, ids["b1"][2], protocol)
    client.tls_set(ca_certs=lab.certs.ca)
    subscribed = []
    client.on_message = lambda _client, _data, message: got.append(message.payload)
    client.on_subscribe = lambda *_words: subscribed.append(True)
    client.connect(lab.front, 8883)
    client.loop_start()
    try:
        wait_for("the connection", client.is_connected)
        client.subscribe("weir/paho", qos=2)
        wait_for("the subscription", lambda: subscribed)
        payloads = [bytes([number]) * (number * 5003) for number in range(1, 30)]
        for payload in payloads:
            client.publish("weir/paho", payload, qos=2)
        wait_for(lambda: f"all messages; {len(got)} came", lambda: len(got) >= len(payloads), 60)
        assert got == payloads
    finally:
        client.disconnect()
        client.loop_stop()


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
def test_reset_behind_goodbye(lab, ids, tls):
    """A client that says DISCONNECT and closes with bytes unread resets the connection: what it said still counts, and its
    will does not."""
    port = 8883 if tls else 1883
    subscriber = clients.Subscriber(lab, ids["b1"][2], "last/#", 21, port, tls).wait_ready()
    for number in range(20):
        speaker = clients.open_mqtt(lab, ids["b1"][3], port, tls, will=("last/will", "must not be heard"))
        speaker.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() resets
        speaker.sendall(mqtt.publish("last/word", f"word {number}") + mqtt.BYE)
        speaker.close()
        subscriber.wait_messages(number + 1)
    clients.publish(lab, ids["b1"][3], "last/word", ["over"], port, tls)
    assert subscriber.wait_end() == 0, subscriber.text()
    assert subscriber.payloads() == [f"word {number}" for number in range(20)] + ["over"]


def test_proxy_header_names_the_client(lab):
    for source in ("198.18.0.2", "198.18.0.5"):
        name = f"proxied-{source}"
        with clients.open_mqtt(lab, name, 1885, source=source) as sock:
            seen = next(one for one in lab.sink.connections if one.client_id == name)
            assert seen.proxied == sock.getsockname()
            clients.ping(sock)


def test_connect_in_pieces(lab):
    """A CONNECT that arrives byte by byte is one CONNECT."""
    with lab.connect(1883) as sock:
        for value in mqtt.connect("pieces"):
            sock.sendall(bytes([value]))
        assert mqtt.read(sock)[0] == mqtt.CONNACK
        clients.ping(sock)


def refused(lab, data, port=1883):
    """Send it; the first packet of the answer (or None), after which weir must close."""
    with lab.connect(port) as sock:
        answer = None
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            sock.sendall(data)
            answer = mqtt.read(sock)
            if answer:
                assert sock.recv(100) == b"", "weir answered but did not close"
        return answer


def bad_flag(level):
    packet = bytearray(mqtt.connect("flag", level=level))
    packet[9] |= 1
    return bytes(packet)


REFUSALS = [  # what, bytes, CONNACK code (None: just closed), drop reason
    ("level 2", mqtt.connect("x", level=2), 1, "protocol_level"),
    ("level 9", mqtt.connect("x", level=9), 0x84, "protocol_level"),
    ("no client-id, kept session", mqtt.connect("", clean=False), 2, "client_id"),
    ("reserved flag, 3.1.1", bad_flag(4), None, "reserved_flag"),
    ("reserved flag, 5", bad_flag(5), 0x81, "reserved_flag"),
    ("not CONNECT", mqtt.PING, None, "not_connect"),
    ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", None, None),
    ("length of 5 bytes", b"\x10\xff\xff\xff\xff\x01", None, None),
    ("wrong name", mqtt.packet(mqtt.CONNECT, mqtt.text("MQXX") + b"\x04\x02\x00\x3c" + mqtt.text("x")), None,
     "protocol_name"),
    ("NUL in client-id", mqtt.connect("a\0b"), None, "utf8"),
    ("bad UTF-8, 5", mqtt.connect(b"\xc0\x80", level=5), 0x81, "utf8"),
]


@pytest.mark.parametrize("data,code,reason", [case[1:] for case in REFUSALS], ids=[case[0] for case in REFUSALS])
def test_refusals(lab, data, code, reason):
    before = lab.metrics().drops("mqtt")
    answer = refused(lab, data)
    if code is None:
        assert answer is None, f"no answer was due, but {answer} came"
    else:
        assert answer and answer[0] == mqtt.CONNACK and answer[2][1] == code, f"{answer} in place of CONNACK {code}"

    def grown():
        now = lab.metrics().drops("mqtt")
        return {name for name in now if now[name] > before.get(name, 0)}

    reasons = wait_for("the refusal to be counted", grown)
    assert reason is None or reasons == {reason}


AFTER_CONNECT = [  # what, bytes, DISCONNECT reason of 5.0
    ("second CONNECT", mqtt.connect("again", level=5), 0x82),
    ("QoS 3", mqtt.packet(mqtt.PUBLISH, mqtt.text("t") + b"\0\1\0x", 6), 0x81),
    ("server's packet", mqtt.packet(mqtt.SUBACK, b"\0\1\0\0"), 0x82),
    ("bad flags", mqtt.packet(mqtt.SUBSCRIBE, b"\0\1\0" + mqtt.text("t") + b"\0", 0), 0x81),
]


@pytest.mark.parametrize("level", [4, 5])
@pytest.mark.parametrize("data,code", [case[1:] for case in AFTER_CONNECT], ids=[case[0] for case in AFTER_CONNECT])
def test_protocol_errors_after_connect(lab, level, data, code):
    with clients.open_mqtt(lab, f"bad-{level}-{code}", level=level) as sock:
        answer = None
        with contextlib.suppress(ConnectionResetError):
            sock.sendall(data)
            answer = mqtt.read(sock)
            assert answer is None or sock.recv(100) == b"", "weir did not close"
        if level == 4:
            assert answer is None
        else:
            assert answer and answer[0] == mqtt.DISCONNECT and answer[2][:1] == bytes([code]), answer


@pytest.mark.parametrize("level,code", [(4, 3), (5, 0x88)])
def test_no_server(lab, level, code):
    answer = refused(lab, mqtt.connect("nobody", level=level), 1886)
    assert answer and answer[0] == mqtt.CONNACK and answer[2][1] == code, answer


def test_slow_connect_is_closed(lab):
    before = lab.metrics().closed("mqtt").get("connect_timeout", 0)
    with lab.connect(1883) as sock:
        sock.sendall(mqtt.connect("slow")[:-1])
        with contextlib.suppress(ConnectionResetError):
            while sock.recv(100):
                pass
    wait_for("connect_timeout", lambda: lab.metrics().closed("mqtt").get("connect_timeout", 0) > before)


def test_nothing_is_held(lab):
    """All of the above came and went."""
    wait_for(lambda: f"sessions to end: {lab.metrics().quiet()}",
             lambda: lab.metrics().get("weir_sessions") == 0 and lab.metrics().get("weir_listener_open") == 0, 60)


def test_two_workers_hand_off(lab):
    """Where weir cannot set a device's RSS, packets of another worker's flows cross over, and that is counted."""
    if lab.variant.workers > 1:
        handed = lab.metrics().by("weir_handoff_packets_total", "worker")
        assert sum(handed.values()) > 0, handed
