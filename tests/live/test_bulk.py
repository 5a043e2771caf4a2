# SPDX-License-Identifier: BSD-3-Clause
"""8 MiB each way, both at once, through TLS, with random loss on the clients' link: every byte arrives, in order."""
import hashlib
import os

import pytest

import peers

MATRIX = "all"
SIZE = 8 << 20


def prepare(lab):
    lab.bulk = peers.BulkServer(lab, lab.brokers[2], 9000, SIZE)


@pytest.mark.parametrize("percent", [0, 1], ids=["no loss", "1% loss"])
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
def test_bulk(lab, tls, percent):
    payload = os.urandom(SIZE)
    before = lab.metrics()
    lab.bulk.received_sha.clear()
    sock = lab.connect_tls(9443) if tls else lab.connect(9000)
    lab.lose(percent)
    try:
        with sock:
            received = peers.exchange(sock, payload, SIZE, 240)
            lost = lab.switch_ns.lost()
    finally:
        lab.lose(0)
    assert received == lab.bulk.sent_sha
    assert lab.bulk.wait_received(30) == hashlib.sha256(payload).hexdigest()
    if percent:
        assert lost > 20, f"the link lost only {lost} frames"
        again = lab.metrics().get("weir_tcp_retransmits_total") - before.get("weir_tcp_retransmits_total")
        assert again > 0, "frames were lost, yet weir counts no retransmission"
    lab.wait_quiet(before)
