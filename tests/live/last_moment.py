# SPDX-License-Identifier: BSD-3-Clause
"""A process's memory, searched for secrets; also in the moment between its last instruction and the end of its memory, where
ptrace(2) stops it (PTRACE_EVENT_EXIT)."""
import collections
import ctypes
import os
import re
import signal

SEIZE, CONT, DETACH = 0x4206, 7, 17
TRACE_EXIT, EVENT_EXIT, WALL = 0x40, 6, 0x40000000
PAGE = os.sysconf("SC_PAGESIZE")
CHUNK = 8 << 20
SHADOW = 1 << 40  # only AddressSanitizer maps so much: notes about memory, not what lies there
HEAD = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S+) .*")

Hits = collections.namedtuple("Hits", "in_dumps guarded where")
_libc = ctypes.CDLL(None, use_errno=True)


def _ptrace(request, pid, data):
    if _libc.ptrace(request, pid, None, ctypes.c_void_p(data)) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace({request})")


def _mappings(pid):
    """(first address, end, would a core dump hold it, line) of all that is writable, but for sanitizers' shadows."""
    head = None
    with open(f"/proc/{pid}/smaps", encoding="utf-8") as file:
        for line in file:
            match = HEAD.match(line)
            if match:
                head = match
            elif line.startswith("VmFlags:") and head and "w" in head[3]:
                begin, end = int(head[1], 16), int(head[2], 16)
                if end - begin < SHADOW:
                    yield begin, end, " dd" not in line, head[0]


def _present(pagemap, begin, end):
    """Runs of pages that exist: what was never touched is not worth reading."""
    for at in range(begin, end, CHUNK):
        count = min(end - at, CHUNK) // PAGE
        entries = memoryview(os.pread(pagemap, count * 8, at // PAGE * 8)).cast("Q")
        first = None
        for number, entry in enumerate([*entries, 0]):
            if entry >> 62 and first is None:
                first = number
            elif not entry >> 62 and first is not None:
                yield at + first * PAGE, (number - first) * PAGE
                first = None


def search(pid, needles):
    """{name: Hits} of needles {name: bytes}."""
    found = {name: Hits(0, 0, "") for name in needles}
    memory, pagemap = (os.open(f"/proc/{pid}/{name}", os.O_RDONLY) for name in ("mem", "pagemap"))
    try:
        for begin, end, dumped, line in _mappings(pid):
            for at, size in _present(pagemap, begin, end):
                data = os.pread(memory, size, at)
                for name, needle in needles.items():
                    count = data.count(needle)
                    hits = found[name]
                    if count:
                        found[name] = Hits(hits.in_dumps + count * dumped, hits.guarded + count * (not dumped),
                                           f"{hits.where}; {line}")
    finally:
        os.close(memory)
        os.close(pagemap)
    return found


def at_exit(pid, needles):
    """End it by SIGTERM and search when it has done all that it ever does. It ends after that."""
    _ptrace(SEIZE, pid, TRACE_EXIT)
    os.kill(pid, signal.SIGTERM)
    while True:
        _, status = os.waitpid(pid, WALL)
        assert os.WIFSTOPPED(status), f"it ended unseen: {status}"
        if status >> 16 == EVENT_EXIT:
            break
        _ptrace(CONT, pid, 0 if status >> 16 else os.WSTOPSIG(status))
    try:
        return search(pid, needles)
    finally:
        _ptrace(DETACH, pid, 0)
