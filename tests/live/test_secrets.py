# SPDX-License-Identifier: BSD-3-Clause
"""Keys in the memory of a real weir: those of its certificates, of tickets, of devices and of connections lie where core dumps
have no part of them, and are gone when it ends by SIGTERM with all of them in use."""
import base64
import hashlib
import hmac
import os
import re
import secrets
import struct
import subprocess

import last_moment
import netns
from lab import wait_for

MATRIX = "one"
PARTS = {"rsa": ("privateExponent", "prime1", "prime2", "exponent1", "exponent2"), "ecdsa": ("priv",)}
BEGIN = 16  # bytes of a secret that are searched for


def write_private(path, data):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    return path


def configure(config, lab):
    config["timeouts"]["drain_s"] = 1  # connections stay open to the end
    lab.device_key = secrets.token_bytes(16)
    psk_file = write_private(os.path.join(lab.folder, "secrets.psk"), f"device:{lab.device_key.hex()}\n".encode())
    lab.ticket_keys = [secrets.token_bytes(80) for _ in range(2)]
    config["tls"][0]["ticket_keys"] = write_private(os.path.join(lab.folder, "secrets.tickets"),
                                                    b"".join(base64.b64encode(key) + b"\n" for key in lab.ticket_keys))
    config["tls"].append({"name": "devices", "psk_file": psk_file})
    config["listeners"].append({"name": "devices", "address": f"{lab.front}:7099", "mode": "echo", "tls": "devices"})


def numbers_of(lab, name):
    """{part: bytes} of a private key."""
    text = subprocess.run(["openssl", "pkey", "-in", lab.certs.key(name), "-noout", "-text"], capture_output=True, text=True,
                          check=True).stdout
    blocks = re.findall(r"^(\w+):\n((?: +[0-9a-f:]+\n)+)", text, re.MULTILINE)
    numbers = {part: bytes.fromhex(re.sub(r"[\s:]", "", digits)).lstrip(b"\0") for part, digits in blocks}
    return {part: numbers[part] for part in PARTS[name]}


def certificates(lab):
    """Needles: each number as libcrypto's words have it and as the file has it, and a line of the file."""
    needles = {}
    for name in PARTS:
        for part, number in numbers_of(lab, name).items():
            needles[f"{name} {part}"] = number[::-1][:BEGIN]
            needles[f"{name} {part} in DER"] = number[:BEGIN]
        with open(lab.certs.key(name), encoding="ascii") as file:
            lines = file.read().splitlines()
        needles[f"{name} in PEM"] = lines[len(lines) // 2][:BEGIN].encode()
        assert base64.b64decode(needles[f"{name} in PEM"])
    return needles


def tickets(lab):
    """Needles: of each key the parts that tell it (its name is in every ticket), and how the file has them."""
    needles = {}
    for number, key in enumerate(lab.ticket_keys):
        needles[f"ticket {number} HMAC"] = key[16:][:BEGIN]
        needles[f"ticket {number} AES"] = key[48:][:BEGIN]
        needles[f"ticket {number} in base64"] = base64.b64encode(key)[32:][:BEGIN]
    return needles


def expand(secret, label, size):
    """HKDF-Expand-Label of RFC 8446 section 7.1, one block of SHA-256."""
    full = b"tls13 " + label
    info = struct.pack(">HB", size, len(full)) + full + b"\0"
    return hmac.new(secret, info + b"\1", hashlib.sha256).digest()[:size]


def connection(lab, port, log):
    """An open connection, used, and the needles of its keys."""
    sock = lab.connect_tls(port, keylog_filename=log)
    sock.sendall(b"ping")
    assert sock.recv(100) == b"ping" and sock.cipher()[0] == "TLS_AES_128_GCM_SHA256"
    words = words_of(log)
    needles = {}
    for end in ("CLIENT", "SERVER"):
        secret = words[f"{end}_TRAFFIC_SECRET_0"]
        needles[f"{port} {end} secret"] = secret[:BEGIN]
        needles[f"{port} {end} key"] = expand(secret, b"key", 16)
    return sock, needles


def words_of(log):
    """{label: secret} of a key log, where there is one yet."""
    with open(log, encoding="ascii") as file:
        return {line.split()[0]: bytes.fromhex(line.split()[2]) for line in file if not line.startswith("#") and line[-1] == "\n"}


def device(lab):
    """A device that has a key in place of certificates; its connection, and the needle of what both made of the key."""
    log = os.path.join(lab.folder, "keys-device")
    open(log, "w", encoding="ascii").close()
    process = lab.client_ns.popen("openssl", "s_client", "-connect", f"{lab.front}:7099", "-tls1_2", "-psk_identity", "device",
                                  "-psk", lab.device_key.hex(), "-keylogfile", log, stdin=subprocess.PIPE,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    words = wait_for("the device's connection", lambda: words_of(log))
    return process, {"master secret in 1.2": words["CLIENT_RANDOM"][:BEGIN]}


def test_secrets_in_life_and_at_the_end(lab):
    pid = lab.weir.process.pid
    needles = certificates(lab) | tickets(lab) | {"device": lab.device_key}
    kept = []
    for port in (7007, 7008):
        sock, more = connection(lab, port, os.path.join(lab.folder, f"keys-{port}"))
        kept.append(sock)
        needles |= more
    process, more = device(lab)
    needles |= more
    alive = last_moment.search(pid, needles)
    assert {name: hits for name, hits in alive.items() if hits.in_dumps} == {}
    missing = {name for name, hits in alive.items() if not hits.guarded and " in " not in name}
    assert not missing, f"the search does not find {missing}"
    at_end = last_moment.at_exit(pid, needles)
    assert lab.weir.wait() == 0
    assert {name: hits for name, hits in at_end.items() if hits.in_dumps + hits.guarded} == {}
    netns.end(process)
    for sock in kept:
        sock.close()
    lab.restart()
