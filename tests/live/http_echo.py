# SPDX-License-Identifier: BSD-3-Clause
"""An HTTP/1.1 server that answers each request with its own body and closes."""
import contextlib

import streams


class HttpEcho(streams.Listener):
    def _serve(self, sock):
        sock.settimeout(60)
        with contextlib.suppress(OSError), sock, sock.makefile("rb") as file:
            size = 0
            while line := file.readline().strip():
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    size = int(value)
            body = file.read(size)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nConnection: close\r\n"
                         b"Content-Length: %d\r\n\r\n" % len(body) + body)
