# SPDX-License-Identifier: BSD-3-Clause
"""The set-up that every end-to-end measurement shares: what is measured in one network namespace (W), the load generator in
another (L), two veth pairs between them, each end driven by AF_XDP or, for a kernel's TCP, with addresses of its own.

      weir-load (L, one core)                                  weir (W, one core)
        clients  198.18.0.2 and up   --- veth ---   front  198.18.0.1   listens
        brokers  198.18.1.2 and up   --- veth ---   back   198.18.1.1   connects

    with Lab() as lab:
        weir = lab.start_weir(lab.weir_config(max_connections=2000))
        result = lab.run_load("--traffic", "qos1", "--connections", "1000", "--duration", "5")
        print(weir.memory(), weir.ctl("stats"), result["traffic"]["per_s"])
        weir.stop()

Whatever happens, leaving the `with` ends every process and removes both namespaces; what a killed run left goes with the next
one (tests/live/netns.py)."""
import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.append(os.path.join(ROOT, "tests", "live"))

import certs  # noqa: E402 (the path above comes first)
import metrics  # noqa: E402
import netns  # noqa: E402

CPUS = sorted(os.sched_getaffinity(0))
LOAD_CPU = CPUS[0]                              # the generator
SERVER_CPU = CPUS[1 % len(CPUS)]                # what is measured, alone
CONTROL_CPU = CPUS[2] if len(CPUS) > 2 else LOAD_CPU  # weir's slow core, hardly ever awake

FRONT, BACK = "198.18.0.1", "198.18.1.1"
CLIENTS, BROKERS = "198.18.0.2", "198.18.1.2"  # the first of each
PORTS_PER_ADDRESS = 50000  # connections that one source address is asked for towards one destination
BROKER_PORT = 1883
TLS_PORT, PLAIN_PORT = 8883, 1883
READY_S, STOP_S = 60, 30
KB = 1024


class Failure(Exception):
    """What was asked cannot be done; the text is for the user."""


def build(folder="build-perf", targets=("app/weir/weir", "app/weirctl/weirctl", "perf/e2e/load/weir-load")):
    """The release build in `folder` (relative to the repository); its output only where it fails."""
    need_programs("meson", "ninja", "cc")
    commands = [["ninja", "-C", folder, *targets]]
    if not os.path.exists(os.path.join(ROOT, folder, "meson-private", "coredata.dat")):
        commands.insert(0, ["meson", "setup", folder, "-Dbenchmarks=true"])
    for command in commands:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise Failure(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-4000:]}")


def memory_of(pid):
    """Bytes of a process: {"pss": its share of every page, "anon": of them what it alone has filled, "huge": huge pages,
    which PSS leaves out}."""
    fields = {}
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        for line in file:
            words = line.split()
            if len(words) == 3 and words[2] == "kB":
                fields[words[0].rstrip(":")] = int(words[1]) * KB
    return {"pss": fields["Pss"], "anon": fields["Pss_Anon"], "huge": fields.get("Private_Hugetlb", 0) + fields.get("Shared_Hugetlb", 0)}


def cpu_seconds(pid):
    """CPU time that a process has used, user and system."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def write_json(path, result):
    """Where the user asked for it."""
    if path:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=2)
            file.write("\n")


def need_root():
    if os.geteuid() != 0:
        raise Failure("run it as root: it makes network namespaces and AF_XDP ports")


def need_writable(path):
    """Raise where a result could not be written to path: better now than after the measurement."""
    folder = os.path.dirname(os.path.abspath(path)) if path else None
    if path and (os.path.isdir(path) or not os.access(path if os.path.exists(path) else folder, os.W_OK)):
        raise Failure(f"{path} cannot be written")


def need_programs(*programs, option=""):
    missing = [name for name in programs if not shutil.which(name)]
    if missing:
        raise Failure(f"missing: {', '.join(missing)}; scripts/setup{option} installs what is needed")


def need_files(count):
    """So many open files for who is started here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(count, hard)))
        except (ValueError, OSError):
            raise Failure(f"{count:,} open files are needed, since a kernel's proxy takes two a connection; "
                          f"ulimit -Hn allows {hard:,}") from None


def stop_once():
    """INT and TERM raise KeyboardInterrupt, the first of them: another must not disturb the taking down."""
    def stop(*_):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)


def program(run):
    """The frame of a command: run() returns the exit status; what the user has to know goes to stderr in one piece."""
    stop_once()
    try:
        sys.exit(run())
    except KeyboardInterrupt:
        print("\ninterrupted; all is taken down", file=sys.stderr)
        sys.exit(130)
    except Failure as failure:
        sys.exit(f"{os.path.relpath(os.path.realpath(sys.argv[0]), ROOT)}: {failure}")


class _Plain(yaml.SafeDumper):
    """YAML without anchors: everything spelled out, as a person would."""

    def ignore_aliases(self, data):
        return True


class Weir:
    """A weir in namespace W."""

    def __init__(self, lab, config, number):
        self.lab = lab
        self.config = config
        self.socket = config["control"]["socket"]
        self.config_path = os.path.join(lab.folder, f"weir-{number}.yaml")
        self.log_path = os.path.join(lab.folder, f"weir-{number}.log")
        self._ready = threading.Event()
        with open(self.config_path, "w", encoding="utf-8") as file:
            yaml.dump(config, file, _Plain, sort_keys=False)
        with open(self.log_path, "w", encoding="utf-8") as log:
            self.process = lab.weir_ns.popen(lab.binary("app/weir/weir"), "-c", self.config_path, stdout=subprocess.PIPE,
                                             stderr=log, text=True, start_new_session=True)
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self._wait_ready()
        except BaseException:
            self.kill()
            raise

    def _read(self):
        for line in self.process.stdout:
            if line.strip() == "weir: ready":
                self._ready.set()

    def _wait_ready(self):
        deadline = time.monotonic() + READY_S
        while not self._ready.wait(0.05):
            if self.process.poll() is not None:
                raise Failure(f"weir ended with {self.process.returncode} at start:\n{self.log()}")
            if time.monotonic() > deadline:
                raise Failure(f"weir was not ready after {READY_S} s:\n{self.log()}")

    @property
    def pid(self):
        return self.process.pid

    def log(self, lines=40):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return "".join(file.readlines()[-lines:])

    def ctl(self, *words, timeout_s=30):
        """What weirctl answers."""
        done = subprocess.run([self.lab.binary("app/weirctl/weirctl"), "-s", self.socket, *words], capture_output=True,
                              text=True, timeout=timeout_s, check=False, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise Failure(f"weirctl {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def metrics(self):
        """metrics.Metrics of now."""
        status, body = metrics.get(self.lab.weir_ns, "127.0.0.1", 9090, "/metrics", 30)
        if status != 200:
            raise Failure(f"weir's /metrics answers {status}: {body[:200]}")
        return metrics.Metrics(body)

    def memory(self):
        return memory_of(self.pid)

    def wait_servers_up(self, timeout_s=30):
        """Until weir's health checks have found every broker: they come up with the generator."""
        deadline = time.monotonic() + timeout_s
        while not all(up == 1 for up in self.metrics().series("weir_server_up").values()):
            if time.monotonic() > deadline:
                raise Failure(f"weir does not reach its brokers:\n{self.ctl('servers')}")
            time.sleep(0.2)

    def check(self):
        """Raise where it is not running any more."""
        if self.process.poll() is not None:
            raise Failure(f"weir ended with {self.process.returncode}:\n{self.log()}")

    def stop(self):
        """SIGTERM; it does not wait for connections (drain_s is 1)."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_S)
            except BaseException as error:
                self.kill()
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                raise Failure(f"weir did not end within {STOP_S} s of SIGTERM:\n{self.log()}") from None
        if self.process.returncode != 0:
            raise Failure(f"weir ended with {self.process.returncode}:\n{self.log()}")

    def kill(self):
        netns.end(self.process)


class Lab:
    """n_clients and n_brokers: addresses at the generator's two ports; by default enough for `connections`."""

    def __init__(self, connections=1000, n_clients=None, n_brokers=None, build_folder="build-perf"):
        self.build_folder = build_folder
        self.weir_folder = build_folder  # whose weir is started; the generator is build_folder's
        needed = -(-connections // PORTS_PER_ADDRESS)
        self.n_clients = n_clients or max(4, needed)
        self.n_brokers = n_brokers or max(2, needed)
        self.weir_runs = []
        self.processes = []
        self._load_runs = 0

    def __enter__(self):
        if SERVER_CPU == LOAD_CPU:
            raise Failure("two CPUs are needed: one for what is measured, one for the generator")
        netns.clean_dead()
        self.folder = netns.temporary_folder()
        try:
            self.certs = certs.Certs(self.folder)
            self.weir_ns, self.load_ns = netns.Namespace("w"), netns.Namespace("l")
            self.weir_ns.veth("front", self.load_ns, "clients")
            self.weir_ns.veth("back", self.load_ns, "brokers")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for run in self.weir_runs:
            with contextlib.suppress(Failure):
                run.stop()  # a killed one would not give its huge pages back
        for process in self.processes:
            netns.end(process)
        for name in ("weir_ns", "load_ns"):
            if hasattr(self, name):
                getattr(self, name).remove()
        shutil.rmtree(self.folder, ignore_errors=True)

    def binary(self, path):
        return os.path.join(ROOT, self.weir_folder if path.startswith("app/") else self.build_folder, path)

    def broker_addresses(self):
        base = BROKERS.rsplit(".", 1)
        return [f"{base[0]}.{int(base[1]) + i}" for i in range(self.n_brokers)]

    # --- weir ---

    def weir_config(self, max_connections=1000, certificate="ecdsa", policy="client-id", mode="mqtt", idle="poll",
                    hugepages="auto"):
        """Everything to be measured: `mode` with TLS on 8883 and without on 1883, one worker. Change it as you like."""
        servers = [{"name": f"b{i + 1}", "address": f"{address}:{BROKER_PORT}"}
                   for i, address in enumerate(self.broker_addresses())]
        listeners = [{"name": "tls", "address": f"{FRONT}:{TLS_PORT}", "mode": mode, "tls": "default", "pool": "brokers"},
                     {"name": "plain", "address": f"{FRONT}:{PLAIN_PORT}", "mode": mode, "pool": "brokers"}]
        return {
            "cores": {"control": CONTROL_CPU, "workers": [SERVER_CPU], "idle": idle},
            "memory": {"max_connections": max_connections, "hugepages": hugepages},
            "timeouts": {"connect_s": 10, "handshake_s": 30, "mqtt_connect_s": 30, "drain_s": 1},
            "log": {"level": "info", "target": "stderr"},
            "ports": [
                {"name": "front", "device": "net_af_xdp0,iface=front", "addresses": [f"{FRONT}/24"]},
                {"name": "back", "device": "net_af_xdp1,iface=back", "addresses": [f"{BACK}/24"]},
            ],
            "tls": [{"name": "default", "certificate": self.certs.certificate(certificate),
                     "key": self.certs.key(certificate)}],
            "pools": [{"name": "brokers", "policy": policy, "servers": servers}],
            "listeners": listeners,
            "control": {"socket": os.path.join(self.folder, "weir.sock"), "http": "127.0.0.1:9090"},
        }

    def start_weir(self, config=None):
        """Start it and wait until it is ready. The handle has pid, ctl(), metrics(), memory(), log(), stop()."""
        run = Weir(self, config or self.weir_config(), len(self.weir_runs))
        self.weir_runs.append(run)
        return run

    # --- anything else that is to be measured, on the kernel's TCP ---

    def kernel_addresses(self, present=True):
        """Give front and back their addresses in the kernel of namespace W (or take them away)."""
        for interface, address in (("front", FRONT), ("back", BACK)):
            self.weir_ns.ip("addr", "flush", "dev", interface)
            if present:
                self.weir_ns.ip("addr", "add", f"{address}/24", "dev", interface)
        self.weir_ns.run("sysctl", "-q", "-w", "net.ipv4.ip_local_port_range=1024 65000", "net.core.somaxconn=65535",
                         "net.ipv4.tcp_max_syn_backlog=65535", check=False)

    def start(self, *command, cpu=SERVER_CPU, **options):
        """A server in namespace W, pinned to the CPU of what is measured; ended with the lab."""
        process = self.weir_ns.popen("taskset", "-c", str(cpu), *command, start_new_session=True, **options)
        self.processes.append(process)
        return process

    # --- the generator ---

    def load_command(self, *args, port=TLS_PORT):
        """weir-load for this lab: addresses, devices, target and TLS where the port has it come from here, the rest from
        `args`, which win."""
        return [self.binary("perf/e2e/load/weir-load"),
                "--client-device", "net_af_xdp0,iface=clients", "--client-addresses", f"{CLIENTS}/24+{self.n_clients}",
                "--broker-device", "net_af_xdp1,iface=brokers", "--broker-addresses", f"{BROKERS}/24+{self.n_brokers}",
                "--broker-port", str(BROKER_PORT), "--target", f"{FRONT}:{port}", "--cpu", str(LOAD_CPU),
                "--tls", "aes128" if port == TLS_PORT else "off", *map(str, args)]

    @contextlib.contextmanager
    def load(self, *args, port=TLS_PORT, quiet=False):
        """The generator as a running process, for who wants to look at weir meanwhile: yields the process, which has
        a method result(). It is ended where it still runs at the end of the block."""
        self._load_runs += 1
        run = _Load(self, self._load_runs, args, port, quiet)
        try:
            yield run
        finally:
            run.end()

    def run_load(self, *args, port=TLS_PORT, quiet=False, timeout_s=None):
        """Run weir-load to its end and return its JSON, with "exit_status" added (0: all that was asked happened)."""
        with self.load(*args, port=port, quiet=quiet) as run:
            return run.result(timeout_s)


class _Load:
    def __init__(self, lab, number, args, port, quiet):
        self.path = os.path.join(lab.folder, f"load-{number}.json")
        self.log_path = os.path.join(lab.folder, f"load-{number}.log")
        command = lab.load_command(*args, port=port)
        at = command.index("--") if "--" in command else len(command)  # what follows is EAL's
        command[at:at] = ["--json", self.path]
        with open(self.log_path, "w", encoding="utf-8") as log:
            out = {"stdout": log, "stderr": subprocess.STDOUT} if quiet else {}
            self.process = lab.load_ns.popen(*command, **out)

    def result(self, timeout_s=None):
        self.process.wait(timeout_s)
        try:
            with open(self.path, encoding="utf-8") as file:
                result = json.load(file)
        except (OSError, ValueError):
            with open(self.log_path, encoding="utf-8", errors="replace") as file:
                said = file.read()[-3000:]
            raise Failure(f"weir-load ended with {self.process.returncode} and without a result\n{said}") from None
        return result | {"exit_status": self.process.returncode}

    def end(self):
        """Ask first: it says goodbye and gives its huge pages back."""
        netns.end(self.process, signal.SIGTERM, STOP_S)
