# SPDX-License-Identifier: BSD-3-Clause
"""Servers that speak TLS, by Python's ssl, in the brokers' namespace."""
import contextlib
import socket
import ssl

import streams

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class TlsServer(streams.Listener):
    """Accepts TLS (behind `skip` bytes in the clear, kept in `heads`) and hands each connection to serve(sock)."""

    def __init__(self, lab, address, port, context, serve, skip=0):
        self._context, self._serve_tls, self._skip = context, serve, skip
        self.heads, self.faults, self.resumed = [], [], []
        super().__init__(lab, lab.broker_ns, address, port)

    def _serve(self, sock):
        sock.settimeout(60)
        with contextlib.suppress(OSError):
            if self._skip:
                self.heads.append(sock.recv(self._skip, socket.MSG_WAITALL))
            tls = self._context.wrap_socket(sock, server_side=True, suppress_ragged_eofs=False)
            self.resumed.append(tls.session_reused)
            try:
                self._serve_tls(tls)
            except OSError as fault:
                self.faults.append(fault)
            finally:
                tls.close()


def server_context(lab, name, version=None, ca=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(lab.certs.certificate(name), lab.certs.key(name))
    if version:
        context.minimum_version = context.maximum_version = VERSIONS[version]
    if ca:
        context.load_verify_locations(ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def end(tls):
    """close_notify, the other side's awaited."""
    tls.unwrap().close()
