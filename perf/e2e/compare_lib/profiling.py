# SPDX-License-Identifier: BSD-3-Clause
"""Where a server's CPU time goes while it shakes hands: samples of perf(1) by what they were for.

A sample belongs to the first group below of which any function is on its stack, and to the kernel where it was taken there.
Stacks are unwound from copies of the stack (perf's dwarf mode), since libcrypto keeps no frame pointers."""
import collections
import os
import re
import subprocess

KERNEL = "kernel"
# In this order: memory is a group wherever it is needed, and a signature's own hashing belongs to the signature.
GROUPS = [
    ("memory", r"^(_?_?(libc_)?(malloc|calloc|realloc|free|cfree|int_malloc|int_realloc|int_free.*|memalign)|malloc_consolidate|"
               r"unlink_chunk.*|CRYPTO_(zalloc|malloc|free|clear_free|realloc))$"),
    ("locks, fetches", r"^(_*pthread_(rwlock|mutex)_\w+|CRYPTO_THREAD_\w+|EVP_\w+_fetch|ossl_method_\w+|evp_generic_fetch\w*)$"),
    ("signature", r"^(EVP_DigestSign\w*|ECDSA_\w+|EVP_PKEY_sign\w*|RSA_\w+)$"),
    ("key exchange", r"^(EVP_PKEY_derive\w*|EVP_PKEY_(paramgen|keygen|generate|Q_keygen)\w*|ssl_derive|ssl_generate_pkey\w*|"
                     r"X25519\w*|ossl_x25519\w*|EVP_PKEY_set1_encoded_public_key)$"),
    ("key schedule", r"^(EVP_KDF_\w+|HKDF\w*|tls13_\w+|HMAC\w*|EVP_MAC_\w+)$"),
    ("handover to our records", r"^(tls_handover\w*|tls_keys_\w+|tls_kdf_\w+|keylog)$"),
    ("tickets, certificate", r"^(tls_construct_(new_session_ticket|server_certificate|certificate)\w*|construct_stateless_ticket|"
                             r"tls_decrypt_ticket|tls_ticket_\w+|i2d_\w+|d2i_\w+|X509_\w+|ssl_add_cert\w*)$"),
]
OPENSSL = "rest of libssl"
REST = "the program's own"
NAMES = [*[name for name, _ in GROUPS], OPENSSL, REST, KERNEL]
_PATTERNS = [(name, re.compile(pattern)) for name, pattern in GROUPS]
_FRAME = re.compile(r"^\s*[0-9a-f]+\s+(.*?)\s+\((.*)\)\s*$")  # address function (file)
_SUFFIX = re.compile(r"(@.*|\+0x.*|\.(lto_priv|constprop|part|isra|cold).*)")


def _group(stack):
    """stack: (function, file), innermost first."""
    if "[kernel" in stack[0][1]:
        return KERNEL
    for name, pattern in _PATTERNS:
        if any(pattern.match(function) for function, _ in stack):
            return name
    return OPENSSL if any(re.search(r"/lib(ssl|crypto)\.", file) for _, file in stack) else REST


def _stacks(text):
    """perf script separates samples by empty lines."""
    for block in text.split("\n\n"):
        frames = [_FRAME.match(line) for line in block.splitlines()]
        stack = [(_SUFFIX.sub("", frame[1]), frame[2]) for frame in frames if frame]
        if stack:
            yield stack


def sample(server, seconds, folder):
    """{group: share} of what the server's processes did in the next `seconds`."""
    path = os.path.join(folder, "perf.data")
    command = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "997", "--call-graph", "dwarf,16384", "-p",
               ",".join(map(str, server.pids())), "-o", path, "--", "sleep", str(seconds)]
    try:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        done = subprocess.run(["perf", "script", "--no-inline", "-i", path, "-F", "ip,sym,dso"], check=True, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL)
    finally:
        if os.path.exists(path):
            os.unlink(path)
    found = collections.Counter(_group(stack) for stack in _stacks(done.stdout))
    total = sum(found.values())
    return {name: found[name] / total for name in NAMES} if total else {}
