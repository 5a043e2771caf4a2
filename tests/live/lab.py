# SPDX-License-Identifier: BSD-3-Clause
"""A laboratory for weir: clients | front port | weir | back port | brokers, each side in a network namespace of its own, so
that no frame finds another way than through weir.

              clients (C)          switch: bridge(s)        weir (W)             brokers (B)
    two ports  eth0 198.18.0.2  --  front  ----  lb0 / weir0   lb1 / weir1  ----  back  --  eth0 198.18.1.2, .3 ...
    one arm    eth0 198.18.0.2  --  front  ----  lb0 / weir0  ----------------  front  --  eth0 198.18.0.102, .103 ...

TAP interfaces appear in W when weir starts and join bridges there; AF_XDP takes lb0 and lb1, whose other ends join bridges in
a namespace of their own (S)."""
import collections
import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

import yaml

import certs
import metrics
import netns

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
READY_S = 60
STOP_S = 60
CPUS = sorted(os.sched_getaffinity(0))

Variant = collections.namedtuple("Variant", "kind workers one_arm")


def variant(text):
    """From its name: tap-1, af_xdp-2, tap-1-onearm."""
    words = text.split("-")
    return Variant(words[0], int(words[1]), "onearm" in words[2:])


def wait_for(what, condition, timeout_s=30, interval_s=0.05):
    """Poll until condition() is true and return its value. `what` completes "timed out waiting for ..."; it may be a
    function that says more about the last state."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"timed out after {timeout_s} s waiting for {what() if callable(what) else what}")
        time.sleep(interval_s)


class _Plain(yaml.SafeDumper):
    """YAML without anchors: everything spelled out, as a person would."""

    def ignore_aliases(self, data):
        return True


class Weir:
    """A weir process in namespace W."""

    def __init__(self, lab, config_path):
        self.lab, self.config_path = lab, config_path
        self.log_path = os.path.join(lab.folder, f"weir-{len(lab.runs)}.log")
        self.lines = []
        self.process = None

    def start(self, wait=True):
        environment = os.environ | {"ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",
                                    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}
        with open(self.log_path, "w", encoding="utf-8") as log:
            self.process = self.lab.weir_ns.popen(self.lab.binary("weir"), "-c", self.config_path, stdout=subprocess.PIPE,
                                                  stderr=log, text=True, env=environment)
        threading.Thread(target=self._read, daemon=True).start()
        if wait:
            try:
                wait_for(lambda: f"weir: ready; its log:\n{self.log()}", self._is_ready, READY_S)
            except BaseException:
                self.kill()
                raise
        return self

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def _is_ready(self):
        self.lab.attach_taps()
        if self.process.poll() is not None:
            raise RuntimeError(f"weir ended with {self.process.returncode} at start:\n{self.log()}")
        return "weir: ready" in self.lines and self.lab.attach_taps()

    def log(self, lines=60):
        with contextlib.suppress(FileNotFoundError):
            with open(self.log_path, encoding="utf-8", errors="replace") as file:
                return "\n".join([*self.lines, *file.read().splitlines()][-lines:])
        return ""

    def check(self):
        """Raise when weir is not alive, or a sanitizer spoke."""
        text = self.log(2000)
        if "ERROR: AddressSanitizer" in text or "runtime error:" in text:
            raise AssertionError(f"a sanitizer complains:\n{self.log(120)}")
        if self.process.poll() is not None:
            raise AssertionError(f"weir ended with {self.process.returncode}:\n{self.log()}")

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout_s=STOP_S):
        """Its exit status."""
        return self.process.wait(timeout_s)

    def stop(self, timeout_s=STOP_S):
        """SIGTERM must lead to a clean exit."""
        if self.process is None or self.process.poll() is not None:
            return
        self.signal(signal.SIGTERM)
        try:
            status = self.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"weir did not end within {timeout_s} s of SIGTERM:\n{self.log()}") from None
        assert status == 0, f"weir ended with {status} after SIGTERM:\n{self.log()}"

    def kill(self):
        if self.process:
            netns.end(self.process)


class Lab:
    """Namespaces, links, certificates, brokers and weir of one variant. close() removes it all."""

    _tools = set()  # those that were built in this run

    def __init__(self, wanted, build="build"):
        netns.clean_dead()
        self.variant, self.build = wanted, build
        self.folder = netns.temporary_folder()
        self.runs, self.helpers = [], []
        self._contexts = {}
        self.certs = certs.Certs(self.folder)
        self.weir_ns, self.client_ns, self.broker_ns = (netns.Namespace(role) for role in ("w", "c", "b"))
        self.switch_ns = self.weir_ns if wanted.kind == "tap" else netns.Namespace("s")
        self.back_net = "198.18.0" if wanted.one_arm else "198.18.1"
        self.front = "198.18.0.1"
        self.client = "198.18.0.2"
        self.back = self.front if wanted.one_arm else f"{self.back_net}.1"
        first = 102 if wanted.one_arm else 2
        self.brokers = [f"{self.back_net}.{first + i}" for i in range(6)]
        self._wire()

    # --- links ---

    def _wire(self):
        queues = max(2, self.variant.workers)
        self.switch_ns.veth("front-c", self.client_ns, "eth0", queues)
        self.switch_ns.veth("back-b", self.broker_ns, "eth0", queues)
        bridges = {"front": ["front-c"], "back": ["back-b"]}
        if self.variant.one_arm:
            bridges = {"front": ["front-c", "back-b"]}
        self.taps = {}
        for number, (bridge, links) in enumerate(bridges.items()):
            if self.variant.kind == "af_xdp":
                self.weir_ns.veth(f"lb{number}", self.switch_ns, f"{bridge}-w", self.variant.workers)
                links.append(f"{bridge}-w")
            else:
                self.taps[f"weir{number}"] = bridge
            self.switch_ns.bridge(bridge, *links)
        for last in range(2, 12):
            self.client_ns.ip("addr", "add", f"198.18.0.{last}/24", "dev", "eth0")
        for address in self.brokers:
            self.broker_ns.ip("addr", "add", f"{address}/24", "dev", "eth0")
        for namespace in (self.client_ns, self.broker_ns):
            namespace.run("sysctl", "-q", "-w", "net.ipv4.ip_local_port_range=10000 65000", "net.core.somaxconn=65535",
                          "net.ipv4.tcp_max_syn_backlog=65535", check=False)

    def attach_taps(self):
        """Put TAP interfaces that have appeared into their bridges; True when all are there. net_tap gives the kernel's end
        its own MAC, some time after making it; a bridge would keep frames to that for the kernel, so it gets another."""
        if not self.taps:
            return True
        present = {link["ifname"]: link for link in json.loads(self.weir_ns.ip("-j", "link", "show").stdout)}
        for name, bridge in self.taps.items():
            address = f"06:77:65:69:72:0{name[-1]}"
            link = present.get(name)
            if link and (link.get("master") != bridge or link["address"] != address):
                self.weir_ns.ip("link", "set", name, "address", address, "master", bridge)
                self.weir_ns.ip("link", "set", name, "up")
        return all(name in present for name in self.taps)

    def lose(self, percent):
        """Random loss both ways on the clients' link; 0 ends it."""
        self.switch_ns.lose("front-c", percent)

    def weir_link(self, bridge):
        """The interface by which weir hangs on a bridge of the switch."""
        number = 0 if bridge == "front" or self.variant.one_arm else 1
        return f"weir{number}" if self.taps else f"{'front' if number == 0 else 'back'}-w"

    # --- configuration ---

    def workers(self):
        """CPU ids: apart from control where there are enough, shared where not."""
        others = CPUS[1:] or CPUS
        return [others[i] if i < len(others) else CPUS[0] for i in range(self.variant.workers)]

    def device(self, number):
        if self.variant.kind == "tap":
            # A MAC of its own choice stays the same over restarts, so that nobody's ARP entry grows stale.
            return f"net_tap{number},iface=weir{number},mac=02:77:65:69:72:0{number}"
        return f"net_af_xdp{number},iface=lb{number}"

    def config(self):
        """A complete configuration that tests change as they need."""
        b = self.brokers
        ports = [{"name": "front", "device": self.device(0), "addresses": [f"{self.front}/24"], "mtu": 1500}]
        if not self.variant.one_arm:
            ports.append({"name": "back", "device": self.device(1), "addresses": [f"{self.back}/24"], "mtu": 1500})
        brokers = [{"name": "b1", "address": f"{b[0]}:1883"}, {"name": "b2", "address": f"{b[1]}:1883"}]

        def listener(name, port, mode, **more):
            return {"name": name, "address": f"{self.front}:{port}", "mode": mode} | more

        return {
            "cores": {"control": CPUS[0], "workers": self.workers(), "idle": "adaptive"},
            "memory": {"max_connections": 20000, "hugepages": "off"},
            "timeouts": {"connect_s": 5, "handshake_s": 10, "mqtt_connect_s": 10, "drain_s": 5, "udp_idle_s": 60},
            "log": {"level": "info", "target": "stderr"},
            "ports": ports,
            "tls": [{"name": "default", "certificate": self.certs.certificate("ecdsa"), "key": self.certs.key("ecdsa")},
                    {"name": "rsa", "certificate": self.certs.certificate("rsa"), "key": self.certs.key("rsa")}],
            "pools": [
                {"name": "brokers", "policy": "client-id", "servers": brokers},
                {"name": "turns", "policy": "round-robin", "servers": brokers},
                {"name": "proxied", "policy": "client-id", "proxy_protocol": "v2",
                 "servers": [{"name": "sink", "address": f"{b[2]}:1884"}]},
                {"name": "plain", "policy": "round-robin", "servers": [{"name": "tcp", "address": f"{b[2]}:9000"}]},
                {"name": "datagrams", "policy": "round-robin", "servers": [{"name": "udp", "address": f"{b[2]}:5353"}]},
            ],
            "listeners": [
                listener("mqtts", 8883, "mqtt", tls="default", pool="brokers"),
                listener("mqtt", 1883, "mqtt", pool="brokers"),
                listener("mqtt-turns", 1884, "mqtt", pool="turns"),
                listener("mqtt-proxied", 1885, "mqtt", pool="proxied"),
                listener("tcp", 9000, "tcp", pool="plain"),
                listener("tcps", 9443, "tcp", tls="default", pool="plain"),
                listener("udp", 5353, "udp", pool="datagrams"),
                listener("echo", 7, "echo"),
                listener("echos", 7007, "echo", tls="default"),
                listener("echos-rsa", 7008, "echo", tls="rsa"),
            ],
            "control": {"socket": self.socket_path(), "http": "127.0.0.1:9090"},
        }

    def socket_path(self):
        return os.path.join(self.folder, "weir.sock")

    def write_config(self, config, name="weir.yaml"):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            yaml.dump(config, file, _Plain, sort_keys=False)
        return path

    # --- weir ---

    def binary(self, name):
        return os.path.join(ROOT, self.build, "app", name, name)

    def tool(self, name):
        """A program of tests/live, built where that is not done yet."""
        target = os.path.join("tests/live", name)
        if target not in self._tools:
            netns.run("ninja", "-C", os.path.join(ROOT, self.build), target, timeout_s=120)
            self._tools.add(target)
        return os.path.join(ROOT, self.build, target)

    def start(self, config=None, wait=True):
        run = Weir(self, self.write_config(config or self.config()))
        self.runs.append(run)
        return run.start(wait)

    @property
    def weir(self):
        return self.runs[-1]

    def restart(self, hard=False):
        """Stop (or kill) and start again with the configuration as it lies on disk."""
        if hard:
            self.weir.kill()
        else:
            self.weir.stop()
        self.runs.append(Weir(self, self.weir.config_path))
        return self.weir.start()

    def weirctl(self, *words, timeout_s=30, check=True):
        done = subprocess.run([self.binary("weirctl"), "-s", self.socket_path(), *words], capture_output=True, text=True,
                              timeout=timeout_s, check=False, stdin=subprocess.DEVNULL)
        if check:
            assert done.returncode == 0, f"weirctl {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout if check else done

    def http(self, path, timeout_s=10):
        """(status, body) from weir's own HTTP server."""
        return metrics.get(self.weir_ns, "127.0.0.1", 9090, path, timeout_s)

    def metrics(self):
        status, body = self.http("/metrics")
        assert status == 200, f"/metrics answered {status}: {body[:200]}"
        return metrics.Metrics(body)

    def wait_metric(self, name, condition, timeout_s=30, **labels):
        """Until condition(value of the sum of all series that match) holds."""
        seen = []

        def check():
            seen.append(self.metrics().get(name, **labels))
            return condition(seen[-1])

        wait_for(lambda: f"{name}{labels or ''}; it is {seen[-1]}", check, timeout_s)
        return seen[-1]

    def wait_servers_up(self, pool=None, timeout_s=30):
        labels = {"pool": pool} if pool else {}
        wait_for("the servers to be up",
                 lambda: all(v == 1 for v in self.metrics().series("weir_server_up", **labels).values()), timeout_s)

    def wait_quiet(self, baseline, timeout_s=60):
        """Until connections, TLS objects and mbufs are back where they were: nothing of what happened is still held."""
        def differences():
            now = self.metrics()
            return [f"{name} {value} (before: {baseline.quiet()[name]})" for name, value in now.quiet().items()
                    if value > baseline.quiet()[name] + metrics.SLACK.get(name, 0)]

        wait_for(lambda: "gauges to go back: " + "; ".join(differences()), lambda: not differences(), timeout_s, 0.2)

    # --- clients ---

    def connect(self, port, address=None, source=None, timeout_s=30):
        """A TCP connection from the clients' namespace to weir."""
        sock = self.client_ns.socket()
        sock.settimeout(timeout_s)
        try:
            if source:
                sock.bind((source, 0))
            sock.connect((address or self.front, port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            sock.close()
            raise
        return sock

    def tls_context(self, **changes):
        """A client's context that trusts the lab's CA; cached, because making one takes a millisecond."""
        key = tuple(sorted(changes.items()))
        if key not in self._contexts:
            context = ssl.create_default_context(cafile=self.certs.ca)
            for name, value in changes.items():
                if name == "ciphers":
                    context.set_ciphers(value)
                else:
                    setattr(context, name, value)
            self._contexts[key] = context
        return self._contexts[key]

    def connect_tls(self, port, source=None, timeout_s=30, **changes):
        sock = self.connect(port, source=source, timeout_s=timeout_s)
        try:
            return self.tls_context(**changes).wrap_socket(sock, server_hostname=certs.SERVER_NAME)
        except BaseException:
            sock.close()
            raise

    # --- the end ---

    def keep(self, helper):
        """Close `helper` (anything with close()) with the lab."""
        self.helpers.append(helper)
        return helper

    def close(self):
        """Take everything down; weir's end is checked after all else is gone."""
        for helper in reversed(self.helpers):
            with contextlib.suppress(OSError):
                helper.close()
        fault = None
        for run in self.runs:
            try:
                if run.process and run.process.poll() is None:
                    run.check()
                run.stop()
            except AssertionError as error:
                fault = error
            finally:
                run.kill()
        for namespace in {self.weir_ns, self.client_ns, self.broker_ns, self.switch_ns}:
            namespace.remove()
        shutil.rmtree(self.folder, ignore_errors=True)
        if fault:
            raise fault
