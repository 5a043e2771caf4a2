# SPDX-License-Identifier: BSD-3-Clause
"""Garbage at every layer, half-open connections, brokers that misbehave: each is counted under its reason, the gauges go
back, and those who behave do not notice."""
import contextlib
import os
import socket
import ssl
import struct

import pytest

import clients
import frames
import mqtt
import peers
from frames import ACK, FIN, PSH, RST, SYN
from lab import wait_for

MATRIX = "later"
C, W, ELSEWHERE = "198.18.0.2", "198.18.0.1", "198.18.0.250"
TIMES = 5  # a frame may be lost to a full ring on a busy machine; one that arrives is enough


def configure(config, lab):
    config["timeouts"] |= {"connect_s": 2, "handshake_s": 3, "mqtt_connect_s": 3}
    for number, behave in enumerate(BROKERS):
        config["pools"].append({"name": behave, "policy": "client-id",
                                "servers": [{"name": "bad", "address": f"{lab.brokers[4]}:{2000 + number}"}]})
        config["listeners"].append({"name": f"mqtt-{behave}", "address": f"{lab.front}:{2000 + number}", "mode": "mqtt",
                                    "pool": behave})


def prepare(lab):
    peers.two_mosquittos(lab)
    for number, behave in enumerate(BROKERS):
        if behave in ("silent", "reset", "garbage"):
            peers.Sink(lab, lab.brokers[4], 2000 + number, behave)
    # "blackhole": not even a RST comes back.
    port = 2000 + BROKERS.index("blackhole")
    lab.broker_ns.run("nft", "-f", "-", input=f"table inet hole {{ chain in {{ type filter hook input priority 0;\n"
                      f"tcp dport {port} drop\n}}\n}}\n")


BROKERS = ["refuse", "reset", "silent", "garbage", "blackhole"]


@pytest.fixture(scope="module")
def wire(running_lab):
    place = frames.Wire(running_lab)
    yield place
    place.close()


@pytest.fixture
def witness(lab):
    """A connection that behaves, before, during and after. Then the next client is served, and nothing is held any more."""
    before = lab.metrics()
    with clients.open_mqtt(lab, "witness", 8883, tls=True) as sock:
        clients.ping(sock)
        yield sock
        clients.ping(sock)
    clients.leave(clients.open_mqtt(lab, "next", 8883, tls=True))
    lab.wait_quiet(before)


def quote(packet):
    """An ICMP error about `packet`."""
    return struct.pack("!I", 0) + packet[:28]


IP4 = [  # reason, packet
    ("ip4_version", frames.udp(C, W, 1, 7, b"x", version=6)),
    ("ip4_ihl", frames.udp(C, W, 1, 7, b"x", ihl=4)),
    ("ip4_ihl", frames.ip4(C, W, frames.UDP, b"", ihl=15, length=24)),
    ("ip4_length", frames.udp(C, W, 1, 7, b"x", length=1400)),
    ("ip4_length", frames.udp(C, W, 1, 7, b"x", length=10)),
    ("ip4_checksum", frames.udp(C, W, 1, 7, b"x", sum=0x1234)),
    ("ip4_source", frames.udp("224.0.0.9", W, 1, 7, b"x")),
    ("ip4_source", frames.udp("255.255.255.255", W, 1, 7, b"x")),
    ("ip4_source", frames.udp("127.0.0.1", W, 1, 7, b"x")),
    ("ip4_source", frames.udp("0.0.0.0", W, 1, 7, b"x")),
    ("ip4_land", frames.tcp(W, W, 7, 7, SYN)),
    ("ip4_not_ours", frames.udp(C, "198.18.77.77", 1, 7, b"x")),
    ("ip4_source_route", frames.udp(C, W, 1, 7, b"x", options=b"\x83\x07\x04\x01\x02\x03\x04\0")),
    ("ip4_option", frames.udp(C, W, 1, 7, b"x", options=b"\x44\x00\x00\x00")),
    ("ip4_protocol", frames.ip4(C, W, 132, b"x" * 20)),
    ("icmp_checksum", frames.icmp(C, W, sum_icmp=0x4242)),
    ("icmp_type", frames.icmp(C, W, kind=13)),
    ("icmp_quote", frames.icmp(C, W, kind=3, code=3, payload=quote(frames.udp(ELSEWHERE, C, 1, 2, b"x")))),
    ("udp_short", frames.udp(C, W, 1, 7, b"x", udp_length=4)),
    ("udp_short", frames.udp(C, W, 1, 7, b"x", udp_length=900)),
    ("udp_checksum", frames.udp(C, W, 1, 7, b"x", sum_udp=0x4242)),
    ("tcp_checksum", frames.tcp(C, W, 1, 7, SYN, sum_tcp=0x4242)),
    ("tcp_short", frames.ip4(C, W, frames.TCP, b"x" * 12)),
    ("tcp_short", frames.tcp(C, W, 1, 7, SYN, offset=4)),
    ("tcp_short", frames.tcp(C, W, 1, 7, SYN, offset=15)),
]


def grows(lab, layer, reason, before):
    wait_for(lambda: f"{layer} {reason} to be counted; drops now: {lab.metrics().drops(layer)}",
             lambda: lab.metrics().drops(layer).get(reason, 0) > before.get(reason, 0))


def is_dropped(lab, wire, layer, reason, packet):
    before = lab.metrics().drops(layer)
    for _ in range(TIMES):
        wire.frame(packet)
    grows(lab, layer, reason, before)


@pytest.mark.parametrize("reason,packet", IP4, ids=[f"{number}-{case[0]}" for number, case in enumerate(IP4)])
def test_ip4(lab, wire, witness, reason, packet):
    is_dropped(lab, wire, "net", reason, packet)


def test_ethernet(lab, wire, witness):
    before = lab.metrics().drops("net")
    for _ in range(TIMES):
        wire.frame(b"x" * 50, kind=0x88b5)
        wire.frame(struct.pack("!HH", 5, frames.ETH_IP4) + frames.udp(C, W, 1, 7, b"x"), kind=0x8100)
    grows(lab, "net", "eth_type", before)
    # A VLAN tag may have been taken off by a device that strips them; then the frame is an ordinary one.


def test_arp(lab, wire, witness):
    before = lab.metrics().drops("net")
    nobody = bytes(6)
    for _ in range(TIMES):
        wire.frame(frames.arp(2, b"\x02\0\0\0\0\x09", ELSEWHERE, wire.weir_mac, W), frames.ETH_ARP)
        wire.frame(frames.arp(1, wire.own_mac, W, nobody, W), frames.ETH_ARP)
        wire.frame(frames.arp(1, wire.own_mac, C, nobody, W, hardware=9), frames.ETH_ARP)
    for reason in ("arp_unsolicited", "arp_spoof", "arp_malformed"):
        grows(lab, "net", reason, before)
    # The reply nobody asked for has not replaced what weir knows.
    lab.client_ns.run("ping", "-c", "3", "-i", "0.1", "-W", "5", W)


def fragment(number, begin, end, more, source=C, size=2008):
    """Bytes [begin, end) of a UDP datagram of `size` to the echo port, with no checksum."""
    datagram = struct.pack("!HHHH", 40000, 7, size, 0) + b"f" * (size - 8)
    return frames.ip4(source, W, frames.UDP, datagram[begin:end], id=number, fragment=begin // 8 | (0x2000 if more else 0))


def test_teardrop(lab, wire, witness):
    """A second fragment that begins within the first (CVE-1997-0014, RFC 5722 4): both go, nothing is held."""
    before = lab.metrics()
    for number in range(TIMES):
        wire.frame(fragment(100 + number, 0, 800, True))
        wire.frame(fragment(100 + number, 400, 1200, False))
    grows(lab, "net", "frag_overlap", before.drops("net"))
    lab.wait_quiet(before)


def test_fragment_flood(lab, wire, witness):
    """CVE-2018-5391: first fragments without end, from one source and from many. What is held is bounded, and who sends
    whole packets notices nothing; a genuine datagram in pieces still comes through from another source."""
    before = lab.metrics()
    for number in range(2000):
        wire.frame(fragment(number, 0, 1400, True, source=ELSEWHERE))
        wire.frame(fragment(number, 0, 1400, True, source=f"198.18.0.{100 + number % 100}"))
        if number % 100 == 0:
            clients.ping(witness)
    grows(lab, "net", "frag_limit", before.drops("net"))
    with lab.client_ns.socket(kind=socket.SOCK_DGRAM) as sock:
        sock.bind((C, 40000))
        sock.settimeout(0.2)

        def echoed():
            wire.frame(fragment(9000, 0, 800, True, size=1008))
            wire.frame(fragment(9000, 800, 1008, False, size=1008))
            with contextlib.suppress(TimeoutError):
                return sock.recv(2000) == b"f" * 1000
            return False

        wait_for("a datagram in two pieces to be echoed", echoed)
    clients.leave(clients.open_mqtt(lab, "beside-fragments", 8883, tls=True))


def test_arp_flood(lab, wire, witness):
    """Requests from ever new senders and answers nobody asked for: none of them enters the table."""
    before = lab.metrics()
    for number in range(3000):
        sender = f"198.18.0.{1 + number % 254}"
        station = b"\x02\x66" + struct.pack("!I", number)
        if sender in (C, W):
            continue
        wire.frame(frames.arp(2, station, sender, wire.weir_mac, W), frames.ETH_ARP)
        wire.frame(frames.arp(1, station, sender, bytes(6), W), frames.ETH_ARP)
        if number % 200 == 0:
            clients.ping(witness)
    grows(lab, "net", "arp_unsolicited", before.drops("net"))
    lab.client_ns.run("ping", "-c", "3", "-i", "0.1", "-W", "5", W)
    clients.leave(clients.open_mqtt(lab, "beside-arp", 8883, tls=True))
    lab.wait_quiet(before)


def test_icmp_flood(lab, wire, witness):
    """Errors that quote nothing of ours change nothing; echo requests are answered within their rate."""
    before = lab.metrics()
    forged = frames.icmp(C, W, kind=3, code=4, payload=frames.tcp(W, C, 8883, 1, ACK)[:28])
    for number in range(3000):
        wire.frame(forged)
        wire.frame(frames.icmp(C, W))
        if number % 200 == 0:
            clients.ping(witness)
    grows(lab, "net", "icmp_limit", before.drops("net"))
    wait_for("forged errors to be counted", lambda: lab.metrics().get("weir_tcp_icmp_ignored_total") >
             before.get("weir_tcp_icmp_ignored_total"))
    lab.wait_quiet(before)


TCP = [  # reason, packet
    ("option", frames.tcp(C, W, 1111, 7, SYN, tcp_options=b"\x02\0\0\0")),
    ("option", frames.tcp(C, W, 1111, 7, SYN, tcp_options=b"\x01\x01\x02\x20")),
    ("flags", frames.tcp(C, W, 1111, 7, 0)),
    ("flags", frames.tcp(C, W, 1111, 7, SYN | FIN)),
    ("port_zero", frames.tcp(C, W, 0, 7, SYN)),
    ("no_flow_rst", frames.tcp(C, W, 1111, 7, RST)),
    ("no_flow", frames.tcp(C, W, 1111, 4444, SYN)),
    ("no_flow", frames.tcp(C, W, 1111, 7, ACK | PSH, payload=b"data of nobody")),
]


@pytest.mark.parametrize("reason,packet", TCP, ids=[f"{number}-{case[0]}" for number, case in enumerate(TCP)])
def test_tcp(lab, wire, witness, reason, packet):
    is_dropped(lab, wire, "tcp", reason, packet)


def test_noise(lab, wire, witness):
    """Random bytes and truncated frames: nothing but drops."""
    baseline = lab.metrics()
    whole = frames.tcp(C, W, 2222, 7, SYN)
    for number in range(500):
        wire.frame(os.urandom(46 + number % 1000), kind=frames.ETH_IP4 if number % 2 else frames.ETH_ARP)
        wire.raw(wire.weir_mac + wire.own_mac + struct.pack("!H", frames.ETH_IP4) + whole[:number % len(whole)])
    clients.ping(witness)
    lab.wait_quiet(baseline)


def test_half_open(lab, wire, witness):
    """SYNs whose handshake never completes are forgotten again."""
    baseline = lab.metrics()
    # The clients' kernel must not answer the SYN-ACKs with RST.
    lab.client_ns.run("nft", "-f", "-", input="table inet mute { chain in { type filter hook input priority 0;\n"
                      "tcp dport 3000-3999 drop\n}\n}\n")
    try:
        for number in range(200):
            wire.frame(frames.tcp(C, W, 3000 + number, 8883, SYN, seq=number, tcp_options=b"\x02\x04\x05\xb4"))
        lab.wait_metric("weir_tcp_flows", lambda value: value >= 100, state="SYN_RECEIVED")
        clients.leave(clients.open_mqtt(lab, "in-between"))
        lab.wait_quiet(baseline, 120)
    finally:
        lab.client_ns.run("nft", "delete", "table", "inet", "mute")


def read_to_end(sock):
    with contextlib.suppress(OSError):
        while sock.recv(65536):
            pass


@pytest.mark.parametrize("data", [b"\x16\x03\x01", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"r" * 100, b""],
                         ids=["half a header", "half a ClientHello", "nothing"])
def test_handshake_that_stops(lab, witness, data):
    before = lab.metrics().closed("mqtts").get("handshake_timeout", 0)
    with lab.connect(8883) as sock:
        if data:
            sock.sendall(data)
        read_to_end(sock)
    wait_for("handshake_timeout", lambda: lab.metrics().closed("mqtts").get("handshake_timeout", 0) > before)


@pytest.mark.parametrize("data,reason", [
    (b"GET / HTTP/1.1\r\nHost: weir\r\n\r\n", None),
    (b"\x16\x03\x01\xff\xff" + b"x" * 200, "record_overflow"),
    (b"\x17\x03\x03\x00\x20" + b"x" * 32, None),
    (b"\x16\x03\x01\x00\x20" + os.urandom(32), None),
    (mqtt.connect("plain MQTT on a TLS port"), None),
], ids=["http", "long record", "data first", "random hello", "mqtt"])
def test_tls_garbage(lab, witness, data, reason):
    before = lab.metrics()
    with lab.connect(8883) as sock:
        sock.sendall(data)
        read_to_end(sock)
    wait_for("tls_failed", lambda: lab.metrics().closed("mqtts").get("tls_failed", 0) >
             before.closed("mqtts").get("tls_failed", 0))
    if reason:
        assert lab.metrics().drops("tls").get(reason, 0) > before.drops("tls").get(reason, 0)
    lab.wait_metric("weir_tls_ssl_objects", lambda value: value <= before.get("weir_tls_ssl_objects"))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_record_with_wrong_tag(lab, witness, version):
    """A record that no key made ends the connection with bad_record_mac, and none of it gets through."""
    before = lab.metrics().drops("tls").get("bad_mac", 0)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = lab.tls_context(minimum_version=version, maximum_version=version).wrap_bio(
        incoming, outgoing, server_hostname="weir.test")
    with lab.connect(7007) as sock:
        while True:
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                incoming.write(sock.recv(65536))
        sock.sendall(outgoing.read())
        session.write(b"hello")
        record = bytearray(outgoing.read())
        record[-1] ^= 1
        sock.sendall(record)
        read_to_end(sock)
    wait_for("bad_mac", lambda: lab.metrics().drops("tls").get("bad_mac", 0) > before)


def test_no_common_suite(lab, witness):
    before = lab.metrics().drops("tls")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        lab.connect_tls(7007, maximum_version=ssl.TLSVersion.TLSv1_2, ciphers="AES128-SHA").close()
    wait_for("the refusal", lambda: sum(lab.metrics().drops("tls").values()) > sum(before.values()))


def half_record(lab):
    """A TLS connection that has sent most of a 16 KB record and goes on no more."""
    tls = lab.connect_tls(7007)
    raw = socket.socket(fileno=tls.detach())  # past the TLS object: what follows is no record of its making
    raw.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        raw.send(b"\x17\x03\x03\x40\x11" + b"x" * 16000)
    return raw


def test_half_records_give_the_buffers_back(lab, witness):
    """More half records than the receive budget holds: as long as buffers are short they end by a deadline, and the
    next client is served. Until then handshakes may fail: this laboratory gives them less time than half records have."""
    baseline, held = lab.metrics(), []

    def ended():
        return lab.metrics().get("weir_listener_closed_total", listener="echos", reason="record_timeout") - \
            baseline.get("weir_listener_closed_total", listener="echos", reason="record_timeout")

    def served():
        with contextlib.suppress(OSError, AssertionError):
            clients.leave(clients.open_mqtt(lab, "after-half-records", 8883, tls=True))
            return True
        return False

    try:
        with contextlib.suppress(OSError):
            for _ in range(500):
                held.append(half_record(lab))
        assert len(held) > 50, "the budget holds more than that"
        wait_for("half records to time out", lambda: ended() > 0)
        wait_for("the next client to be served", served)
    finally:
        for sock in held:
            sock.close()
    lab.wait_quiet(baseline)


def test_client_that_distrusts(lab, witness):
    """A client's fatal alert in the handshake."""
    baseline = lab.metrics()
    with lab.connect(7007) as sock, pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(sock, server_hostname="weir.test")
    wait_for("the alert", lambda: lab.metrics().drops("tls").get("hs_peer_alert", 0) >
             baseline.drops("tls").get("hs_peer_alert", 0))
    lab.wait_metric("weir_tls_alerts_total", lambda value: value > baseline.get(
        "weir_tls_alerts_total", direction="in", alert="unknown_ca"), direction="in", alert="unknown_ca")
    lab.wait_quiet(baseline)


@pytest.mark.parametrize("behave,reasons", [
    ("refuse", {"no_server"}), ("blackhole", {"no_server"}), ("reset", {"server_reset"}), ("garbage", {"server_protocol"})])
def test_bad_broker(lab, witness, behave, reasons):
    listener, port = f"mqtt-{behave}", 2000 + BROKERS.index(behave)
    before = lab.metrics()
    with lab.connect(port) as sock:
        with contextlib.suppress(OSError):
            sock.sendall(mqtt.connect(f"at-{behave}"))
            answer = mqtt.read(sock)
            if behave in ("refuse", "blackhole"):
                assert answer and answer[0] == mqtt.CONNACK and answer[2][1] == 3, answer
        read_to_end(sock)

    def grown():
        now, then = lab.metrics().closed(listener), before.closed(listener)
        return {reason for reason in now if now[reason] > then.get(reason, 0)}

    assert wait_for("the end to be counted", grown) & reasons, grown()
    if behave in ("refuse", "blackhole"):
        assert lab.metrics().get("weir_server_connect_failures_total", pool=behave) > \
            before.get("weir_server_connect_failures_total", pool=behave)


def test_silent_broker(lab, witness):
    """One that never answers CONNECT holds its own clients, nobody else, and nothing once they leave."""
    baseline = lab.metrics()
    socks = [lab.connect(2000 + BROKERS.index("silent")) for _ in range(20)]
    for number, sock in enumerate(socks):
        sock.sendall(mqtt.connect(f"waits-{number}"))
    clients.leave(clients.open_mqtt(lab, "served-meanwhile"))
    for number, sock in enumerate(socks):
        if number % 2:
            peers.reset(sock)
        else:
            sock.close()
    lab.wait_quiet(baseline)


def test_client_that_stops_reading(lab, witness):
    """Back-pressure stays with the one who does not read."""
    baseline = lab.metrics()
    with lab.connect(7) as stuck:
        stuck.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                stuck.send(b"x" * 65536)
        for _ in range(20):
            clients.ping(witness)
        peers.reset(stuck)
    lab.wait_quiet(baseline)


def test_gauges_at_the_end(lab):
    """After all of it: no connection, no TLS object."""
    quiet = {}

    def empty():
        quiet.update(lab.metrics().quiet())
        return not any(quiet[name] for name in ("flows", "sessions", "ssl objects", "open", "open to servers"))

    wait_for(lambda: f"everything to end: {quiet}", empty, 90)


def test_udp_to_a_dead_server(lab, witness):
    """Nobody listens on the server's port: its ICMP answer and our drops, no stuck flow."""
    with lab.client_ns.socket(kind=socket.SOCK_DGRAM) as sock:
        sock.connect((lab.front, 5353))
        for _ in range(20):
            with contextlib.suppress(ConnectionRefusedError):
                sock.send(b"anybody?")
    clients.ping(witness)
