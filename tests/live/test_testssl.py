# SPDX-License-Identifier: BSD-3-Clause
"""testssl.sh against weir's defaults: protocols, suites, forward secrecy and every vulnerability it knows. It takes most of a
minute, so both kinds of certificate are looked at side by side, and not in a quick run."""
import json
import os
import subprocess

import pytest

import certs
import netns
import scans
from scans import configure, prepare  # noqa: F401 (the lab calls them)

MATRIX = "measured"
PATIENCE_S = 300
PASSED_OVER = {"engine_problem", "service", "pre_128cipher", "DROWN_hint", "scanTime"}  # about the scan, not the server
GRAVE = {"MEDIUM", "HIGH", "CRITICAL", "FATAL"}


@pytest.fixture(scope="module")
def reports(running_lab):
    """{kind: findings}."""
    lab = running_lab
    paths = {kind: os.path.join(lab.folder, f"testssl-{kind}.json") for kind in scans.KINDS}
    running = [lab.client_ns.popen(
        "testssl", "-p", "-s", "-f", "-U", "--warnings", "batch", "--color", "0", "--quiet", "--nodns", "none", "--ip",
        lab.front, "--jsonfile", paths[kind], f"{certs.SERVER_NAME}:{scans.port_of(kind)}", stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True) for kind in scans.KINDS]
    try:
        told = [process.communicate(timeout=PATIENCE_S)[0] for process in running]
    finally:
        for process in running:
            netns.end(process)
    found = {}
    for (kind, path), text in zip(paths.items(), told):
        assert os.path.exists(path), text
        with open(path, encoding="utf-8") as file:
            found[kind] = json.load(file)
    return found


@pytest.mark.parametrize("kind", scans.KINDS)
def test_nothing_grave(lab, reports, kind):
    grave = [finding for finding in reports[kind] if finding["severity"] in GRAVE]
    assert not grave, grave


@pytest.mark.parametrize("kind", scans.KINDS)
def test_offered(lab, reports, kind):
    """Word by word: a check that testssl leaves out would be no good news."""
    scans.compare("testssl", kind, (f"{finding['id']}: {finding['severity']}, {finding['finding'].strip()}"
                                    for finding in reports[kind] if finding["id"] not in PASSED_OVER))
