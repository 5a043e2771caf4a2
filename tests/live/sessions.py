# SPDX-License-Identifier: BSD-3-Clause
"""TLS sessions as files of openssl s_client: made with an echo listener of one lab, resumed there or elsewhere."""
import os
import subprocess


def session_make(lab, port, version):
    """Connect, read an answer (tickets of 1.3 come before it), keep the session. Returns its file."""
    path = os.path.join(lab.folder, f"session-{port}{version}")
    resumed(lab, port, version, None, path)
    return path


def resumed(lab, port, version, session, out=None):
    """Does a connection that offers this session resume it?"""
    words = (["-sess_in", session] if session else []) + (["-sess_out", out] if out else [])
    client = lab.client_ns.popen("openssl", "s_client", "-connect", f"{lab.front}:{port}", version, "-no_ign_eof", *words,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    client.stdin.write("hello\n")
    client.stdin.flush()
    said = []
    for line in client.stdout:
        said.append(line)
        if line == "hello\n":
            break
    client.stdin.close()
    client.stdout.read()
    client.wait(10)
    text = "".join(said)
    assert "New, " in text or "Reused, " in text, text
    return "Reused, " in text
