# SPDX-License-Identifier: BSD-3-Clause
"""What a server's connections take of the machine's memory: its processes' share of every page (PSS), its huge pages, and
what the kernel keeps for its sockets: slab objects, and the buffers that sockstat counts.

The generator has no kernel socket, so whatever sockets the machine gains while connections open are the server's."""
import os
import re

# Slab memory that follows files and the page cache, not sockets. All else counts: the kernel merges caches of equal size, so
# what a socket takes (its file, its places in epoll and in the port tables) cannot be told apart by name.
NOT_SOCKETS = re.compile(r"(?<!sock)_inode_cache$|^inode_cache$|buffer_head|radix_tree_node|^(btrfs|xfs|ext4|fuse|nfs|jbd2)")
PAGE = os.sysconf("SC_PAGE_SIZE")


def kernel_sockets(namespace):
    """{"slab", "buffers"} in bytes."""
    slab = 0
    with open("/proc/slabinfo", encoding="ascii") as file:
        for line in file:
            words = line.split()
            if words[1].isdigit() and not NOT_SOCKETS.search(words[0]):
                slab += int(words[1]) * int(words[3])
    stat = namespace.run("cat", "/proc/net/sockstat").stdout
    pages = re.search(r"^TCP:.* mem (\d+)", stat, re.MULTILINE)
    return {"slab": slab, "buffers": int(pages[1]) * PAGE}


def reading(namespace, server):
    """Bytes by kind."""
    return server.memory() | kernel_sockets(namespace)


def growth(before, after, connections):
    """{kind: bytes a connection} and "total". A kind that shrank counts as it is: noise must not only add."""
    each = {kind: (after[kind] - before[kind]) / connections for kind in after}
    return each | {"total": sum(each.values())}
