# SPDX-License-Identifier: BSD-3-Clause
"""ClientHellos as bytes, and connections that send one and then nothing."""
import contextlib
import ssl

import certs

RECORD_HEADER = 5


def hello(lab):
    """A whole one, in one record."""
    out = ssl.MemoryBIO()
    shaking = lab.tls_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname=certs.SERVER_NAME)
    with contextlib.suppress(ssl.SSLWantReadError):
        shaking.do_handshake()
    return out.read()


def begin(lab, port=8883, source=None):
    """A handshake that the server has answered, and that goes no further."""
    sock = lab.connect(port, source=source)
    sock.sendall(hello(lab))
    assert sock.recv(1), "no answer to a ClientHello"
    return sock
