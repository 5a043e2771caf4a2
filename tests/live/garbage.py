# SPDX-License-Identifier: BSD-3-Clause
"""Garbage out of real traffic: records what an interface sees, spoils copies of it from a seed, keeps them as a pcap file, and
sends them out again."""
import random
import select
import socket
import struct
import threading
import time

import frames

ETH = 14
PCAP_HEAD = struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1)  # LINKTYPE_ETHERNET
ODD_FLAGS = [0, 0x01, 0x02, 0x03, 0x04, 0x06, 0x14, 0x29, 0x3f, 0xff, 0x12, 0xc2]
ODD_SOURCES = ["0.0.0.0", "127.0.0.1", "224.0.0.9", "255.255.255.255", "240.0.0.1"]


class Recorder:
    """Frames that leave and enter an interface while the block runs."""

    def __init__(self, namespace, interface="eth0"):
        with namespace.entered():
            self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self._sock.bind((interface, 3))
        self.frames = []

    def __enter__(self):
        self._over = False
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()
        return self

    def _loop(self):
        while not self._over:
            if select.select([self._sock], [], [], 0.1)[0]:
                self.frames.append(self._sock.recv(65536))

    def __exit__(self, *_):
        time.sleep(0.3)  # what is still on its way
        self._over = True
        self._thread.join()
        self._sock.close()


def sent_to(frames_seen, mac):
    """Those of the IPv4 frames that went to this MAC."""
    return [frame for frame in frames_seen if frame[:6] == mac and frame[12:14] == b"\x08\x00" and len(frame) > ETH + 20]


# --- parts of a frame ---

def u16(value):
    return struct.pack("!H", value & 0xffff)


def u32(value):
    return struct.pack("!I", value & 0xffffffff)


def at(frame, offset, data):
    return frame[:offset] + data + frame[offset + len(data):]


def ip_bytes(frame):
    return (frame[ETH] & 15) * 4


def with_sums(frame):
    """The same with right checksums, as far as its lengths make sense: what gets through to the layer it aims at."""
    size = ip_bytes(frame)
    if len(frame) < ETH + size or size < 20:
        return frame
    head = at(frame[ETH:ETH + size], 10, b"\0\0")
    frame = frame[:ETH] + at(head, 10, u16(frames.checksum(head))) + frame[ETH + size:]
    total = struct.unpack_from("!H", frame, ETH + 2)[0]
    offset = {frames.TCP: 16, frames.UDP: 6, frames.ICMP: 2}.get(frame[ETH + 9])
    body = frame[ETH + size:ETH + total]
    if offset is None or len(body) < offset + 2:
        return frame
    pseudo = frame[ETH + 12:ETH + 20] + struct.pack("!BBH", 0, frame[ETH + 9], len(body))
    if frame[ETH + 9] == frames.ICMP:
        pseudo = b""
    value = frames.checksum(pseudo + at(body, offset, b"\0\0"))
    return at(frame, ETH + size + offset, u16(value))


# --- ways to spoil one; each takes the generator and a frame ---

def bytes_anywhere(rng, frame):
    for _ in range(rng.choice([1, 1, 2, 8])):
        frame = at(frame, rng.randrange(ETH, len(frame)), bytes([rng.randrange(256)]))
    return frame


def bytes_of_headers(rng, frame):
    size = min(len(frame), ETH + ip_bytes(frame) + 40)
    for _ in range(rng.choice([1, 2, 4])):
        frame = at(frame, rng.randrange(ETH + 1, size), bytes([rng.randrange(256)]))
    return with_sums(frame)


def cut_short(rng, frame):
    return frame[:rng.randrange(ETH, len(frame))]


def cut_and_lengths_fitted(rng, frame):
    frame = frame[:rng.randrange(ETH + 20, len(frame) + 1)]
    return with_sums(at(frame, ETH + 2, u16(len(frame) - ETH)))


def header_length(rng, frame):
    return with_sums(at(frame, ETH, bytes([rng.choice([4, 5, 6, 15, 4]) << 4 | rng.randrange(16)])))


def total_length(rng, frame):
    return with_sums(at(frame, ETH + 2, u16(rng.choice([0, 19, 20, 21, 65535, len(frame), rng.randrange(1500)]))))


def fragments(rng, frame):
    return with_sums(at(frame, ETH + 6, u16(rng.choice([0x2000, 0x2001, 0x1fff, 0x3fff, 0x8000, rng.randrange(65536)]))))


def options_of_ip(rng, frame):
    options = rng.choice([b"\x83\x07\x04\1\2\3\4\0", b"\x44\0\0\0", b"\x94\4\0\0", rng.randbytes(8), b"\1" * 40])
    total = struct.unpack_from("!H", frame, ETH + 2)[0] + len(options)
    frame = frame[:ETH + 20] + options + frame[ETH + 20:]
    return with_sums(at(at(frame, ETH, bytes([0x40 | 5 + len(options) // 4])), ETH + 2, u16(total)))


def odd_source(rng, frame):
    return with_sums(at(frame, ETH + 12, socket.inet_aton(rng.choice(ODD_SOURCES))))


def land(rng, frame):
    frame = at(frame, ETH + 12, frame[ETH + 16:ETH + 20])
    tcp = ETH + ip_bytes(frame)
    return with_sums(at(frame, tcp, frame[tcp + 2:tcp + 4]) if rng.random() < 0.5 else frame)


def other_protocol(rng, frame):
    return with_sums(at(frame, ETH + 9, bytes([rng.choice([0, 1, 2, 17, 41, 47, 132, rng.randrange(256)])])))


def wrong_sum(rng, frame):
    offset = rng.choice([ETH + 10, ETH + ip_bytes(frame) + 16])
    return at(frame, min(offset, len(frame) - 2), u16(rng.randrange(65536)))


def tcp_flags(rng, frame):
    return with_sums(at(frame, ETH + ip_bytes(frame) + 13, bytes([rng.choice(ODD_FLAGS)])))


def tcp_offset(rng, frame):
    return with_sums(at(frame, ETH + ip_bytes(frame) + 12, bytes([rng.randrange(16) << 4])))


def tcp_options(rng, frame):
    options = rng.choice([b"\2\0\0\0", b"\1\1\2\x20", b"\3\3\xff\0", b"\5\x22" + rng.randbytes(32) + b"\1\1",
                          b"\x08\x0a" + bytes(10), rng.randbytes(4 * rng.randrange(1, 10)), b"\2\4\0\0",
                          b"\2\4\0\1", b"\x13\x12" + bytes(18)])
    tcp = ETH + ip_bytes(frame)
    body = frame[tcp + (frame[tcp + 12] >> 4) * 4:]
    frame = at(frame[:tcp + 20], tcp + 12, bytes([5 + len(options) // 4 << 4])) + options + body
    return with_sums(at(frame, ETH + 2, u16(len(frame) - ETH)))


def numbers(rng, frame):
    """Sequence or acknowledgement far off, near by, or half the space away."""
    tcp = ETH + ip_bytes(frame)
    field = tcp + rng.choice([4, 8])
    old = struct.unpack_from("!I", frame.ljust(field + 4, b"\0"), field)[0]
    step = rng.choice([rng.randrange(1 << 32), 1 << 31, (1 << 31) - 1, rng.randrange(-70000, 70000), 1, -1])
    return with_sums(at(frame, field, u32(old + step)))


def window_and_urgent(rng, frame):
    tcp = ETH + ip_bytes(frame)
    frame = at(frame, tcp + 13, bytes([frame[min(tcp + 13, len(frame) - 1)] | 0x20]))
    return with_sums(at(at(frame, tcp + 18, u16(rng.choice([0, 1, 65535, rng.randrange(65536)]))), tcp + 14,
                        u16(rng.choice([0, 1, 65535]))))


def ports(rng, frame):
    return with_sums(at(frame, ETH + ip_bytes(frame) + rng.choice([0, 2]), u16(rng.choice([0, 7, 1883, rng.randrange(65536)]))))


def icmp_error(rng, frame):
    kind, code = rng.choice([(3, 4), (3, 1), (3, 3), (11, 0), (12, 0), (5, 1), (4, 0),
                             (rng.randrange(256), rng.randrange(256))])
    quoted = bytearray(frame[ETH:ETH + rng.choice([28, 28, 20, 60, 8])])
    # What weir sent has its addresses and ports the other way round.
    if len(quoted) >= 24 and rng.random() < 0.7:
        quoted[12:20] = quoted[16:20] + quoted[12:16]
        quoted[20:24] = quoted[22:24] + quoted[20:22]
    body = struct.pack("!BBHI", kind, code, 0, rng.choice([0, 68, 296, 1499, 65535, rng.randrange(1 << 32)])) + bytes(quoted)
    source, target = (socket.inet_ntoa(frame[ETH + start:ETH + start + 4]) for start in (12, 16))
    return with_sums(frame[:ETH] + frames.ip4(source, target, frames.ICMP, body))


def noise(rng, frame):
    kind = rng.choice([b"\x08\x00", b"\x08\x06", b"\x86\xdd", b"\x81\x00", rng.randbytes(2)])
    return frame[:12] + kind + rng.randbytes(rng.randrange(0, 1486))


def arp(rng, frame):
    packet = bytearray(frames.arp(rng.choice([1, 2, 3, 0xffff]), frame[6:12], socket.inet_ntoa(frame[ETH + 12:ETH + 16]),
                                  frame[:6], socket.inet_ntoa(frame[ETH + 16:ETH + 20])))
    for _ in range(rng.choice([0, 1, 3])):
        # Not the sender's own addresses with each other: that would be a valid answer of somebody else's.
        packet[rng.choice([*range(8), *range(18, 28)])] = rng.randrange(256)
    return frame[:12] + b"\x08\x06" + bytes(packet)[:rng.choice([28, 28, 28, 27, 10])]


def as_it_was(rng, frame):
    """A replay of what is over."""
    return frame


SPOILERS = [bytes_anywhere, bytes_of_headers, cut_short, cut_and_lengths_fitted, header_length, total_length, fragments,
            options_of_ip, odd_source, land, other_protocol, wrong_sum, tcp_flags, tcp_offset, tcp_options, numbers,
            window_and_urgent, ports, icmp_error, noise, arp, as_it_was]


def spoil(recorded, count, seed):
    """`count` frames out of recorded ones; the same for the same seed and recording."""
    rng, made = random.Random(seed), []
    while len(made) < count:
        frame = rng.choice(recorded)
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            if len(frame) < ETH + 40 or len(frame) < ETH + ip_bytes(frame) + 20:
                break  # too little is left to aim at
            frame = rng.choice(SPOILERS)(rng, frame)
        # Ethernet carries no less, and this link no more.
        made.append(frame[:1514] if rng.random() < 0.2 else frame[:1514].ljust(60, b"\0"))
    return made


def write_pcap(path, spoiled):
    with open(path, "wb") as file:
        file.write(PCAP_HEAD)
        for number, frame in enumerate(spoiled):
            file.write(struct.pack("<IIII", number // 1000, number % 1000 * 1000, len(frame), len(frame)) + frame)


def read_pcap(path):
    with open(path, "rb") as file:
        data = file.read()
    offset = len(PCAP_HEAD)
    while offset < len(data):
        size = struct.unpack_from("<I", data, offset + 8)[0]
        yield data[offset + 16:offset + 16 + size]
        offset += 16 + size


def replay(path, namespace, interface="eth0", burst=32, pause_s=0.001):
    with namespace.entered():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        sock.bind((interface, 0))
    with sock:
        for number, frame in enumerate(read_pcap(path)):
            sock.send(frame)
            if number % burst == burst - 1:  # the kernel's and weir's queues are short
                time.sleep(pause_s)
