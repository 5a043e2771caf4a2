# SPDX-License-Identifier: BSD-3-Clause
"""limits.handshake_refusal: alert. A client beyond its address's share learns why, and gets a close in order."""
import clients
import hellos
import peers

MATRIX = "one"
SHARE = 2
INTERNAL_ERROR = bytes([21, 3, 3, 0, 2, 2, 80])  # RFC 8446 6.2


def configure(config, lab):
    config["limits"] = {"handshakes_per_source": SHARE, "handshake_refusal": "alert"}


def prepare(lab):
    peers.two_mosquittos(lab)


def test_more_than_its_share_gets_an_alert(lab):
    under_way = [hellos.begin(lab) for _ in range(SHARE)]
    with lab.connect(8883) as sock:
        sock.sendall(hellos.hello(lab))
        said = b""
        while part := sock.recv(100):
            said += part
    assert said == INTERNAL_ERROR
    assert lab.metrics().get("weir_tls_ssl_objects") == SHARE
    for sock in under_way:
        sock.close()
    lab.wait_metric("weir_tls_ssl_objects", lambda value: value == 0)
    clients.leave(clients.open_mqtt(lab, "there is room again", 8883, tls=True))
