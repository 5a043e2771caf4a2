# SPDX-License-Identifier: BSD-3-Clause
"""Versions, suites and groups that weir offers by default, as sslscan finds them."""
import xml.etree.ElementTree as ElementTree

import pytest

import certs
import scans
from scans import configure, prepare  # noqa: F401 (the lab calls them)

MATRIX = "one"


def facts(report):
    scan = ElementTree.fromstring(report).find("ssltest")
    for one in scan.iter("protocol"):
        yield f"{one.get('type').upper()}v{one.get('version')}: {'offered' if one.get('enabled') == '1' else 'not offered'}"
    for one in scan.iter("renegotiation"):
        yield f"renegotiation: {'accepted' if one.get('supported') == '1' else 'not accepted'}"
    for one in scan.iter("compression"):
        yield f"compression: {'accepted' if one.get('supported') == '1' else 'not accepted'}"
    for one in scan.iter("heartbleed"):
        yield f"heartbleed, {one.get('sslversion')}: {'vulnerable' if one.get('vulnerable') == '1' else 'not vulnerable'}"
    for one in scan.iter("cipher"):
        yield f"{one.get('sslversion')} suite {one.get('cipher')}, {one.get('bits')} bits, {one.get('status')}"
    for one in scan.iter("group"):
        yield f"{one.get('sslversion')} group {one.get('name')}"


@pytest.mark.parametrize("kind", scans.KINDS)
def test_offered(lab, kind):
    done = lab.client_ns.run("sslscan", "--xml=-", "--no-colour", f"--sni-name={certs.SERVER_NAME}",
                             f"{lab.front}:{scans.port_of(kind)}", timeout_s=60)
    scans.compare("sslscan", kind, facts(done.stdout))
