# SPDX-License-Identifier: BSD-3-Clause
"""MQTT packets by hand, for clients and brokers that a test wants to control byte by byte (OASIS MQTT 3.1.1 and 5.0)."""
import struct

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK = range(1, 10)
UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = range(10, 16)


def length(n):
    """Variable byte integer."""
    out = bytearray()
    while True:
        n, digit = divmod(n, 128)
        out.append(digit | (128 if n else 0))
        if not n:
            return bytes(out)


def text(value):
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("!H", len(data)) + data


def packet(kind, body=b"", flags=0):
    return bytes([kind << 4 | flags]) + length(len(body)) + body


def connect(client_id, level=4, clean=True, keep_alive_s=300, username=None, password=None, will=None):
    """will: (topic, payload)."""
    flags = (2 if clean else 0) | (0x80 if username is not None else 0) | (0x40 if password is not None else 0) \
        | (4 if will else 0)
    body = text("MQIsdp" if level == 3 else "MQTT") + bytes([level, flags]) + struct.pack("!H", keep_alive_s)
    body += (b"\0" if level == 5 else b"") + text(client_id)
    if will:
        body += (b"\0" if level == 5 else b"") + text(will[0]) + text(will[1])
    body += b"".join(text(part) for part in (username, password) if part is not None)
    return packet(CONNECT, body)


def connack(level=4, code=0, session_present=False):
    return packet(CONNACK, bytes([session_present, code]) + (b"\0" if level == 5 else b""))


def publish(topic, payload, qos=0, number=0, level=4):
    data = payload.encode() if isinstance(payload, str) else payload
    body = text(topic) + (struct.pack("!H", number) if qos else b"") + (b"\0" if level == 5 else b"") + data
    return packet(PUBLISH, body, qos << 1)


def subscribe(topic, number=1, qos=1, level=4):
    return packet(SUBSCRIBE, struct.pack("!H", number) + (b"\0" if level == 5 else b"") + text(topic) + bytes([qos]), 2)


PING = packet(PINGREQ)
BYE = packet(DISCONNECT)


def split(data):
    """(first packet, rest) of received bytes, or (None, data) while the first is incomplete. A packet is (kind, flags,
    body)."""
    size = shift = 0
    for at in range(1, min(5, len(data))):
        size |= (data[at] & 127) << shift
        shift += 7
        if data[at] < 128:
            end = at + 1 + size
            if len(data) < end:
                return None, data
            return (data[0] >> 4, data[0] & 15, bytes(data[at + 1:end])), data[end:]
    return None, data


def read(sock, seen=b""):
    """The next packet from a blocking socket, or None at the end of the stream. What was read too much is lost: use it for
    one answer at a time."""
    data = seen
    while True:
        found, _ = split(data)
        if found:
            return found
        more = sock.recv(65536)
        if not more:
            return None
        data += more


def client_id_of(body):
    """Of a CONNECT's body, any version."""
    at = 2 + struct.unpack_from("!H", body)[0]
    level = body[at]
    at += 4
    if level == 5:
        at += 1 + body[at]  # properties under 128 bytes
    size = struct.unpack_from("!H", body, at)[0]
    return level, body[at + 2:at + 2 + size].decode()
