# SPDX-License-Identifier: BSD-3-Clause
"""A process that opens many TCP connections, sends the same bytes (or none) on each and then only waits:
python3 silent_clients.py ADDRESS PORT COUNT HEX.

Prints "open N" when all are there, and "closed N" when the other side has ended every one of them. What it answers is read and
of no interest."""
import resource
import selectors
import socket
import sys


def main():
    address, port, count, data = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), bytes.fromhex(sys.argv[4])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    selector = selectors.DefaultSelector()
    for _ in range(count):
        sock = socket.create_connection((address, port), 60)
        if data:
            sock.sendall(data)
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ)
    print(f"open {count}", flush=True)
    closed = 0
    while closed < count:
        for key, _ in selector.select():
            try:
                ended = not key.fileobj.recv(16384)
            except BlockingIOError:
                continue
            except ConnectionError:
                ended = True
            if ended:
                selector.unregister(key.fileobj)
                key.fileobj.close()
                closed += 1
    print(f"closed {closed}", flush=True)


main()
