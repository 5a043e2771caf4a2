# SPDX-License-Identifier: BSD-3-Clause
"""A TLS client by Python's ssl, a process of its own as libssl's configuration decides what it offers: sends records to a
server that echoes, waits for each, and says what was agreed on.

    ssl_client.py ADDRESS PORT NAME CA SUITE RECORD_BYTES RECORDS CONNECTIONS [CERTIFICATE KEY]"""
import socket
import ssl
import sys


def main():
    address, port, name, ca, suite, size, count, connections = sys.argv[1:9]
    context = ssl.create_default_context(cafile=ca)
    if not suite.startswith("TLS_"):
        context.set_ciphers(suite)
    if len(sys.argv) > 9:
        context.load_cert_chain(*sys.argv[9:11])
    session = None
    for _ in range(int(connections)):
        with context.wrap_socket(socket.create_connection((address, int(port)), 30), server_hostname=name,
                                 session=session) as sock:
            for number in range(int(count)):
                data = bytes([number + 33]) * int(size)
                sock.sendall(data)
                back = b""
                while len(back) < len(data):
                    more = sock.recv(65536)
                    if not more:
                        sys.exit(f"the server closed after {len(back)} bytes of record {number}")
                    back += more
                if back != data:
                    sys.exit(f"record {number} came back as something else")
            print(sock.version(), sock.cipher()[0], sock.session_reused)
            session = sock.session
            sock.unwrap().close()


main()
