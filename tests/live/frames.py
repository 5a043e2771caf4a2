# SPDX-License-Identifier: BSD-3-Clause
"""Frames by hand: what no kernel would send."""
import re
import socket
import struct

ETH_ARP, ETH_IP4 = 0x0806, 0x0800
ICMP, TCP, UDP = 1, 6, 17
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


def checksum(data):
    """RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ip4(source, target, protocol, payload, **wrong):
    """An IPv4 packet; `wrong` overrides fields: version, ihl, length, ttl, sum, options, fragment."""
    options = wrong.get("options", b"")
    ihl = wrong.get("ihl", 5 + len(options) // 4)
    length = wrong.get("length", 20 + len(options) + len(payload))
    head = struct.pack("!BBHHHBBH4s4s", wrong.get("version", 4) << 4 | ihl, 0, length, wrong.get("id", 1),
                       wrong.get("fragment", 0), wrong.get("ttl", 64), protocol, 0, socket.inet_aton(source),
                       socket.inet_aton(target)) + options
    value = wrong.get("sum", checksum(head))
    return head[:10] + struct.pack("!H", value) + head[12:] + payload


def _pseudo(source, target, protocol, size):
    return socket.inet_aton(source) + socket.inet_aton(target) + struct.pack("!BBH", 0, protocol, size)


def tcp(source, target, sport, dport, flags, seq=1000, ack=0, payload=b"", **wrong):
    """A TCP segment in IPv4; `wrong`: offset, sum_tcp, options, and those of ip4()."""
    options = wrong.pop("tcp_options", b"")
    offset = wrong.pop("offset", 5 + len(options) // 4)
    bad = wrong.pop("sum_tcp", None)
    segment = struct.pack("!HHIIBBHHH", sport, dport, seq, ack, offset << 4, flags, 65535, 0, 0) + options + payload
    value = checksum(_pseudo(source, target, TCP, len(segment)) + segment) if bad is None else bad
    return ip4(source, target, TCP, segment[:16] + struct.pack("!H", value) + segment[18:], **wrong)


def udp(source, target, sport, dport, payload=b"", **wrong):
    length = wrong.pop("udp_length", 8 + len(payload))
    bad = wrong.pop("sum_udp", None)
    head = struct.pack("!HHHH", sport, dport, length, 0)
    value = checksum(_pseudo(source, target, UDP, 8 + len(payload)) + head + payload) or 0xffff if bad is None else bad
    return ip4(source, target, UDP, head[:6] + struct.pack("!H", value) + payload, **wrong)


def icmp(source, target, kind=8, code=0, payload=b"abcdefgh", **wrong):
    body = struct.pack("!BBHHH", kind, code, 0, 1, 1) + payload
    value = wrong.pop("sum_icmp", checksum(body))
    return ip4(source, target, ICMP, body[:2] + struct.pack("!H", value) + body[4:], **wrong)


def arp(operation, sender_mac, sender, target_mac, target, hardware=1):
    return struct.pack("!HHBBH", hardware, ETH_IP4, 6, 4, operation) + sender_mac + socket.inet_aton(sender) + target_mac + \
        socket.inet_aton(target)


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


class Wire:
    """Sends frames from the clients' interface to weir's MAC."""

    def __init__(self, lab):
        lab.client_ns.run("ping", "-c", "1", "-W", "5", lab.front)
        neighbour = re.search(r"lladdr (\S+)", lab.client_ns.ip("neigh", "show", "to", lab.front).stdout)
        own = re.search(r"link/ether (\S+)", lab.client_ns.ip("link", "show", "eth0").stdout)
        self.weir_mac, self.own_mac = mac(neighbour[1]), mac(own[1])
        with lab.client_ns.entered():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            self._socket.bind(("eth0", 0))

    def frame(self, payload, kind=ETH_IP4, target=None):
        self.raw((target or self.weir_mac) + self.own_mac + struct.pack("!H", kind) + payload)

    def raw(self, data):
        self._socket.send(data.ljust(60, b"\0"))

    def close(self):
        self._socket.close()
