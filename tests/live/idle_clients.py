# SPDX-License-Identifier: BSD-3-Clause
"""A process that holds many idle MQTT connections over TLS: python3 idle_clients.py ADDRESS PORT CA PREFIX COUNT.

Prints "open N" when all are there, then takes commands, one a line: "ping" sends PINGREQ on every connection and prints
"answered N"; "end" (or end of input) closes them in order and exits."""
import resource
import socket
import ssl
import sys

import mqtt
from certs import SERVER_NAME


def connect(context, address, port, client_id):
    """Retries: a storm of this size may find the accept queue of someone full for a moment."""
    for attempt in range(5):
        try:
            sock = socket.create_connection((address, port), 60)
            secure = context.wrap_socket(sock, server_hostname=SERVER_NAME)
            secure.sendall(mqtt.connect(client_id, keep_alive_s=0))
            answer = mqtt.read(secure)
            if answer and answer[0] == mqtt.CONNACK and answer[2][1] == 0:
                return secure
            raise ConnectionError(f"{client_id}: {answer}")
        except OSError as error:
            print(f"{client_id}, attempt {attempt + 1}: {error}", file=sys.stderr, flush=True)
    raise ConnectionError(f"{client_id} could not connect")


def main():
    address, port, ca, prefix, count = sys.argv[1:]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    context = ssl.create_default_context(cafile=ca)
    socks = [connect(context, address, int(port), f"{prefix}-{number}") for number in range(int(count))]
    print(f"open {len(socks)}", flush=True)
    for line in sys.stdin:
        if line.strip() == "end":
            break
        for sock in socks:
            sock.sendall(mqtt.PING)
        print(f"answered {sum(mqtt.read(sock) == (mqtt.PINGRESP, 0, b'') for sock in socks)}", flush=True)
    for sock in socks:
        sock.sendall(mqtt.BYE)
        sock.close()


main()
