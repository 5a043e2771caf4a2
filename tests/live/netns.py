# SPDX-License-Identifier: BSD-3-Clause
"""Network namespaces of a test run: made under names that carry their owner's process, always removed.

A name is weirlab-<pid>-<start time of that process>-<number><role>: no two runs meet, and what a killed run left can be told
from what a living one uses. Removal happens where a lab ends, at exit whatever the reason, and for the dead by the next
run's clean_dead()."""
import atexit
import contextlib
import ctypes
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

PREFIX = "weirlab"
FOLDER = "/run/netns"
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_NAME = re.compile(PREFIX + r"-(\d+)-(\d+)-\d+[a-z]*$")
_numbers = itertools.count()
_alive = {}


def _start_time(pid):
    """When a process started, in ticks since boot, or None: a pid alone may have been given to another one."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[19]
    except OSError:
        return None


def _name(role):
    return f"{PREFIX}-{os.getpid()}-{_start_time(os.getpid())}-{next(_numbers)}{role}"


def left_by_the_dead(folder=FOLDER):
    """Namespaces (or other names in `folder`) whose owner is gone."""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    owners = [(name, _NAME.match(name)) for name in names]
    return [name for name, match in owners if match and _start_time(match[1]) != match[2]]


def clean_dead():
    for name in left_by_the_dead():
        _remove(name)
    for name in left_by_the_dead(tempfile.gettempdir()):
        shutil.rmtree(os.path.join(tempfile.gettempdir(), name), ignore_errors=True)


def temporary_folder():
    """A folder for files of this run; the caller removes it, or the next run does when the caller was killed."""
    path = os.path.join(tempfile.gettempdir(), _name(""))
    os.mkdir(path, 0o755)
    return path


def _remove(name):
    """End what runs inside and delete it; with the last reference go its interfaces."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        listing = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False)
        pids = [int(pid) for pid in listing.stdout.split() if int(pid) != os.getpid()]
        if not pids:
            break
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


@atexit.register
def remove_all():
    for namespace in list(_alive.values()):
        namespace.remove()


def die_with_parent():
    """For preexec_fn: a child must not outlive a run that is killed."""
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def run(*command, timeout_s=30, check=True, **options):
    """A short command outside; its output on failure."""
    options = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL} | options
    if "input" in options:
        del options["stdin"]
    done = subprocess.run(command, timeout=timeout_s, check=False, **options)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def end(process, ask=None, patience_s=10):
    """`process` is gone afterwards: asked by the signal `ask` first, where there is one, and killed."""
    if ask is not None and process.poll() is None:
        process.send_signal(ask)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience_s)
    if process.poll() is None:
        process.kill()
        process.wait(10)


class Namespace:
    """One network namespace; `role` (letters) makes its name readable."""

    def __init__(self, role):
        self.name = _name(role)
        run("ip", "netns", "add", self.name)
        _alive[self.name] = self
        # Neighbour discovery and router solicitations would be noise in the counters of a test.
        self.run("sh", "-c", "for f in all default; do echo 1 >/proc/sys/net/ipv6/conf/$f/disable_ipv6; done 2>/dev/null; "
                 "ip link set lo up")

    def remove(self):
        if _alive.pop(self.name, None):
            _remove(self.name)

    @contextlib.contextmanager
    def entered(self):
        """The calling thread is inside; sockets made here stay here."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(os.path.join(FOLDER, self.name), os.O_RDONLY)
        try:
            if _LIBC.setns(there, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"cannot enter {self.name}")
            yield
        finally:
            _LIBC.setns(home, CLONE_NEWNET)
            os.close(there)
            os.close(home)

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM, protocol=0):
        with self.entered():
            return socket.socket(family, kind, protocol)

    def run(self, *command, **options):
        return run("ip", "netns", "exec", self.name, *command, **options)

    def popen(self, *command, **options):
        """A process inside. It dies with the thread that started it: start long-lived ones from the main thread."""
        options = {"stdin": subprocess.DEVNULL} | options
        return subprocess.Popen(["ip", "netns", "exec", self.name, *command], preexec_fn=die_with_parent, **options)

    def ip(self, *words):
        return run("ip", "-n", self.name, *words)

    def has_link(self, name):
        return run("ip", "-n", self.name, "link", "show", name, check=False).returncode == 0

    def veth(self, name, other, other_name, queues=1):
        """A pair of interfaces from here to `other`, with full checksums on every frame: AF_XDP and TAP readers get what
        was sent, not what a NIC would have finished."""
        count = ["numtxqueues", str(queues), "numrxqueues", str(queues)]
        self.ip("link", "add", name, *count, "type", "veth", "peer", "name", other_name, *count, "netns", other.name)
        for namespace, link in ((self, name), (other, other_name)):
            namespace.run("ethtool", "-K", link, "tx", "off", "gso", "off", "gro", "off", check=False)
            namespace.ip("link", "set", link, "up")

    def bridge(self, name, *links):
        # Where the kernel has bridge netfilter, it drops malformed IPv4 frames that tests want weir to see.
        self.run("sh", "-c", "for f in /proc/sys/net/bridge/bridge-nf-call-*; do echo 0 >$f; done", check=False)
        self.ip("link", "add", name, "type", "bridge", "mcast_snooping", "0")
        self.ip("link", "set", name, "up")
        for link in links:
            self.ip("link", "set", link, "master", name)

    def lose(self, link, percent):
        """Random loss both ways on `link` (0: none)."""
        self.run("nft", "delete", "table", "netdev", "loss", check=False)
        if percent:
            rule = f"numgen random mod 10000 < {round(percent * 100)} counter drop"
            chains = "".join(f"chain {hook} {{ type filter hook {hook} device {link} priority 0; policy accept;\n{rule}\n}}\n"
                             for hook in ("ingress", "egress"))
            self.run("nft", "-f", "-", input=f"table netdev loss {{\n{chains}}}\n")

    def lost(self):
        """Frames that lose() has dropped so far."""
        listing = self.run("nft", "list", "table", "netdev", "loss", check=False).stdout
        return sum(int(n) for n in re.findall(r"counter packets (\d+)", listing))

    def harm(self, one, other, lose, double):
        """Percent of the frames between two links of this namespace, each way: lost, and doubled."""
        self.heal()
        ways = "".join(f"""chain from_{number} {{ type filter hook ingress device {link} priority 0; policy accept;
            numgen random mod 10000 < {round(double * 100)} counter dup to "{to}" comment "doubled"
            numgen random mod 10000 < {round(lose * 100)} counter drop comment "lost"
            }}\n""" for number, (link, to) in enumerate(((one, other), (other, one))))
        self.run("nft", "-f", "-", input=f"table netdev harm {{\n{ways}}}\n")

    def harmed(self):
        """{"lost": frames so far, "doubled": frames so far}."""
        listing = self.run("nft", "list", "table", "netdev", "harm", check=False).stdout
        counts = re.findall(r'counter packets (\d+).*comment "(\w+)"', listing)
        return {what: sum(int(n) for n, comment in counts if comment == what) for what in ("lost", "doubled")}

    def heal(self):
        self.run("nft", "delete", "table", "netdev", "harm", check=False)
