# SPDX-License-Identifier: BSD-3-Clause
"""What a server's connections take of the machine's memory: its processes' share of every page (PSS) that is not a program
file's, its huge pages, and what the kernel keeps for its sockets: slab objects, and the buffers that sockstat counts. Program
files do not grow with connections, but their PSS shrinks when another program maps them too, as the generator does weir's.

The generator has no kernel socket, so whatever sockets the machine gains while connections open are the server's."""
import os
import re

# A slab cache counts where it grew by at least so many objects a connection: what a socket takes (its file, its places in epoll
# and in the port tables) cannot be told by name, since the kernel merges caches of equal size; what else a machine does meanwhile
# stays below.
LEAST_OBJECTS = 0.5
# Files that somebody looks at take these; a socket takes one dentry, too.
FILES = re.compile(r"(?<!sock)(?<!lsm)_inode_cache$|^inode_cache$|^vm_area|^anon_vma")
PAGE = os.sysconf("SC_PAGE_SIZE")


def of_process(pid):
    """{"pss", "huge"} in bytes."""
    fields = {}
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        for line in file:
            words = line.split()
            if words[-1] == "kB":
                fields[words[0].rstrip(":")] = int(words[1]) * 1024
    return {"pss": fields["Pss_Anon"] + fields["Pss_Shmem"],
            "huge": fields.get("Private_Hugetlb", 0) + fields.get("Shared_Hugetlb", 0)}


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
    parts = [of_process(pid) for pid in server.pids()]
    return {"pss": sum(part["pss"] for part in parts), "huge": sum(part["huge"] for part in parts),
            "buffers": int(pages[1]) * PAGE, "slab": _slab()}


def _more(before, after, cache):
    return after["slab"].get(cache, (0, 0))[0] - before["slab"].get(cache, (0, 0))[0]


def growth(before, after, connections):
    """{kind: bytes}: pss, huge, buffers and slab. One that shrank counts as it is: noise must not only add."""
    grown = {kind: after[kind] - before[kind] for kind in ("pss", "huge", "buffers")}
    slab = 0
    sockets = _more(before, after, "sock_inode_cache")
    for cache, (_, size) in after["slab"].items():
        more = _more(before, after, cache)
        if cache == "dentry":
            more = min(more, sockets)
        if more >= LEAST_OBJECTS * connections and not FILES.search(cache):
            slab += more * size
    return grown | {"slab": slab}
