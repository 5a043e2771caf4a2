# SPDX-License-Identifier: BSD-3-Clause
"""What a server's connections take of the machine's memory: its processes' share of every page (PSS), its huge pages, and
what the kernel keeps for its sockets: slab objects, and the buffers that sockstat counts.

The generator has no kernel socket, so whatever sockets the machine gains while connections open are the server's."""
import os
import re

# A slab cache counts where it grew by at least so many objects a connection: what a socket takes (its file, its places in epoll
# and in the port tables) cannot be told by name, since the kernel merges caches of equal size; what else a machine does meanwhile
# stays below.
LEAST_OBJECTS = 0.5
PAGE = os.sysconf("SC_PAGE_SIZE")


def _slab():
    """{cache: (objects in use, bytes each)}"""
    caches = {}
    with open("/proc/slabinfo", encoding="ascii") as file:
        for line in file:
            words = line.split()
            if words[1].isdigit():
                caches[words[0]] = int(words[1]), int(words[3])
    return caches


def reading(namespace, server):
    """What there is now, for growth()."""
    stat = namespace.run("cat", "/proc/net/sockstat").stdout
    pages = re.search(r"^TCP:.* mem (\d+)", stat, re.MULTILINE)
    return server.memory() | {"buffers": int(pages[1]) * PAGE, "slab": _slab()}


def growth(before, after, connections):
    """{kind: bytes}: pss, huge, buffers and slab. One that shrank counts as it is: noise must not only add."""
    grown = {kind: after[kind] - before[kind] for kind in ("pss", "huge", "buffers")}
    slab = 0
    for cache, (objects, size) in after["slab"].items():
        more = objects - before["slab"].get(cache, (0, 0))[0]
        if more >= LEAST_OBJECTS * connections:
            slab += more * size
    return grown | {"slab": slab}
