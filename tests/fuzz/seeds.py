#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes tests/fuzz/seeds/fuzz_tcp_live: one input a story, so that the fuzzer begins with every state of a flow and each
kind of trouble. The bytes are those that fuzz_tcp_live.c reads. Run it after the format has changed, and commit."""
import os
import struct

SEGMENT, OPEN, ACK_ALL, DATA, FIN, TIME, OWNER, OUTPUT, ICMP, CONNECT, DUP_ACK = range(11)
SHUTDOWN, RELEASE, ABORT, READ_ALL, READ = range(5)
ACK, PSH, FINACK, RST, RSTACK, SYN, SYNACK, URG = range(8)  # segment flags by index
NOW, ABOVE, BELOW, EDGE, INSIDE, MSS, HALF = range(7)       # relative numbers


def op(what, flow, *args):
    return bytes([what | flow << 4, *args])


def near(how, amount=0):
    return bytes([how | amount << 4])


def segment(flow, flags=ACK, length=0, seq=near(NOW), ack=near(EDGE), more=0, with_=0, tail=b""):
    return op(SEGMENT, flow, flags | length << 4, more, with_) + seq + ack + tail


def out():
    return op(OUTPUT, 0)


def wait(power):
    return op(TIME, 0, power)


def write(flow, power=10):
    return op(OWNER, flow, 5 | power << 3)


def owner(flow, does=READ_ALL):
    return op(OWNER, flow, does)


PASSIVE, ACTIVE = 1, 0
OPTIONS = 0x1c  # window scale, SACK, timestamps; MSS 1460


def passive(options=OPTIONS):
    return op(OPEN, PASSIVE, options, 1) + owner(PASSIVE)


def active(options=OPTIONS):
    return op(CONNECT, ACTIVE, 0) + out() + op(OPEN, ACTIVE, options, 1) + owner(ACTIVE)


STORIES = {
    "passive_data_close": passive() + op(DATA, 1, 0x23) + owner(1) + write(1) + out() + op(ACK_ALL, 1) + op(FIN, 1, 0)
    + owner(1) + owner(1, SHUTDOWN) + out() + op(ACK_ALL, 1),
    "active_close_first": active() + write(0) + out() + op(ACK_ALL, 0) + owner(0, SHUTDOWN) + out() + op(ACK_ALL, 0)
    + op(DATA, 0, 0x10) + op(FIN, 0, 0) + out() + wait(22) + wait(22),
    "both_close": active() + owner(0, SHUTDOWN) + out() + op(FIN, 0, 1) + out() + op(ACK_ALL, 0) + wait(22),
    "both_open": op(CONNECT, ACTIVE, 1) + out() + op(OPEN, ACTIVE, OPTIONS | 64, 1) + out() + op(ACK_ALL, 0),
    "half_open_timeout": op(OPEN, PASSIVE, OPTIONS | 32, 1) + wait(20) + out() + wait(24) + out(),
    "no_options": passive(0) + write(1) + out() + op(DUP_ACK, 1, 3) + out() + op(ACK_ALL, 1),
    "holes": passive() + op(DATA, 1, 0xa3) + op(DATA, 1, 0x83) + out() + op(DATA, 1, 0x23) + owner(1),
    "overlap_other_bytes": passive() + op(DATA, 1, 0xa2) + segment(1, PSH, 7, near(NOW), more=1) + owner(1),
    "loss_sack": active() + write(0, 14) + out() + op(DUP_ACK, 0, 3) + out() + op(ACK_ALL, 0) + out(),
    "loss_rto": active() + write(0, 12) + out() + wait(21) + out() + wait(22) + out() + op(ACK_ALL, 0),
    "tail_loss": active() + write(0, 13) + out() + op(ACK_ALL, 0) + write(0, 12) + out() + wait(15) + out(),
    "zero_window": passive() + segment(1, ACK, 0, more=2) + write(1, 12) + out() + wait(20) + out() + wait(21) + out()
    + op(ACK_ALL, 1) + out(),
    "reset_inexact": passive() + segment(1, RST, 0, near(ABOVE, 4)) + out() + segment(1, RST, 0),
    "syn_in_flow": passive() + segment(1, SYN, 0, near(HALF)) + out() + segment(1, SYNACK, 0),
    "ack_future": passive() + write(1) + out() + segment(1, PSH, 3, ack=near(EDGE, 5)) + out(),
    "urgent": passive() + segment(1, URG, 4, more=8, tail=struct.pack(">H", 50)) + owner(1),
    "old_timestamp": passive() + segment(1, PSH, 3, with_=3, tail=bytes([0xf0, 0, 0, 0, 0])) + out(),
    "sack_blocks": active() + write(0, 13) + out()
    + segment(0, ACK, 0, ack=near(NOW), with_=2 << 2, tail=near(MSS, 1) + near(MSS, 1) + near(MSS, 3) + near(MSS, 1))
    + out(),
    "frag_needed": active() + write(0, 13) + out() + op(ICMP, 0, 4) + struct.pack(">H", 1000) + near(NOW) + out(),
    "unreachable": op(CONNECT, ACTIVE, 0) + out() + op(ICMP, 0, 3, 0, 0) + near(NOW),
    "release_with_data": passive() + write(1, 13) + owner(1, RELEASE) + out() + op(DATA, 1, 0x20) + out(),
    "abort": passive() + op(DATA, 1, 0xa3) + owner(1, ABORT) + out(),
    "time_wait_reuse": active() + owner(0, SHUTDOWN) + out() + op(ACK_ALL, 0) + op(FIN, 0, 0) + owner(0) + wait(21)
    + op(CONNECT, ACTIVE, 0) + out() + op(OPEN, ACTIVE, OPTIONS, 9),
    "cookie": op(OPEN, 3, OPTIONS, 1) + owner(3) + op(DATA, 3, 0x23) + owner(3) + write(3) + out() + op(ACK_ALL, 3),
    "cookie_no_options_data": op(OPEN, 3, 64, 1) + owner(3),
    "syn_flood": b"".join(op(OPEN, flow, OPTIONS | 32, flow) for flow in (1, 1, 1, 1)) + out(),
    "window_limits": passive() + segment(1, PSH, 7, near(EDGE)) + segment(1, PSH, 7, near(INSIDE, 5)) + out(),
    "bad_options": passive() + segment(1, PSH, 3, with_=16, tail=bytes([1, 5, 0, 1, 1])),
    "data_offset": passive() + segment(1, PSH, 3, with_=32, tail=bytes([0x40])),
}


def main():
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "seeds", "fuzz_tcp_live")
    os.makedirs(folder, exist_ok=True)
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))
    for name, story in STORIES.items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(story)


main()
