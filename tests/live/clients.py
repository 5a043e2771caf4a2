# SPDX-License-Identifier: BSD-3-Clause
"""Clients in the clients' namespace: raw MQTT over sockets, and the mosquitto programs."""
import contextlib
import signal
import statistics
import subprocess
import time

import mqtt
import netns
from lab import wait_for


def open_mqtt(lab, client_id, port=1883, tls=False, level=4, source=None, **more):
    """A connection whose CONNECT was accepted."""
    sock = lab.connect_tls(port, source=source) if tls else lab.connect(port, source=source)
    try:
        sock.sendall(mqtt.connect(client_id, level=level, **more))
        answer = mqtt.read(sock)
        assert answer and answer[0] == mqtt.CONNACK, f"{client_id}: no CONNACK but {answer}"
        assert answer[2][1] == 0, f"{client_id}: refused with code {answer[2][1]}"
        return sock
    except BaseException:
        sock.close()
        raise


def ping(sock):
    sock.sendall(mqtt.PING)
    answer = mqtt.read(sock)
    assert answer and answer[0] == mqtt.PINGRESP, f"no PINGRESP but {answer}"


def median_s(lab, name, count, port=8883, tls=True, source=None):
    """Of `count` clients, one after the other: the median of the seconds from connecting to an answered ping. Good to be
    compared with another such median, as a busy machine's hiccups do not count."""
    took = []
    for number in range(count):
        begin = time.monotonic()
        with open_mqtt(lab, f"{name}-{number}", port, tls, source=source) as sock:
            ping(sock)
        took.append(time.monotonic() - begin)
    return statistics.median(took)


def leave(sock):
    """DISCONNECT and an orderly close."""
    with contextlib.suppress(OSError):
        sock.sendall(mqtt.BYE)
    sock.close()


def server_of(lab, client_id, port=1883, pool="brokers"):
    """Name of the server that weir picks for a client-id, by weir's own counters. For one caller at a time."""
    before = lab.metrics().by("weir_server_connections_total", "server", pool=pool)
    leave(open_mqtt(lab, client_id, port))

    def grown():
        now = lab.metrics().by("weir_server_connections_total", "server", pool=pool)
        return [name for name in now if now[name] > before.get(name, 0)]

    grew = wait_for(f"the connection of {client_id} to be counted", grown)
    assert len(grew) == 1, f"{client_id} reached {grew}"
    return grew[0]


def ids_by_server(lab, servers, each, prefix="c", port=1883, pool="brokers"):
    """{server: `each` client-ids that weir sends there}."""
    found = {name: [] for name in servers}
    number = 0
    while any(len(ids) < each for ids in found.values()):
        client_id = f"{prefix}{number}"
        number += 1
        assert number < 64 * each * len(servers), f"client-ids do not spread: {found}"
        ids = found[server_of(lab, client_id, port, pool)]
        if len(ids) < each:
            ids.append(client_id)
    return found


def _command(lab, program, client_id, port, tls, words):
    command = ["stdbuf", "-oL", program, "-h", lab.front, "-p", str(port), "-i", client_id, *words]
    if tls:
        # The certificate names the address too, so that the clients check it as they would a host.
        command += ["--cafile", lab.certs.ca]
    return command


class Subscriber:
    """mosquitto_sub; its lines of output are the messages. Ready once the broker has acknowledged the subscription."""

    def __init__(self, lab, client_id, topic, count=None, port=8883, tls=True, qos=1, version="mqttv311", timeout_s=60):
        words = ["-t", topic, "-q", str(qos), "-V", version, "-d", "-F", "MESSAGE %t %q %p", "-W", str(timeout_s)]
        if count:
            words += ["-C", str(count)]
        command = _command(lab, "mosquitto_sub", client_id, port, tls, words)
        self.path = f"{lab.folder}/{client_id}.out"
        with open(self.path, "w", encoding="utf-8") as out:
            self.process = lab.client_ns.popen(*command, stdout=out, stderr=subprocess.STDOUT)
        lab.keep(self)

    def text(self):
        with open(self.path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_ready(self, timeout_s=30):
        def ready():
            assert self.process.poll() is None, f"mosquitto_sub ended with {self.process.returncode}:\n{self.text()}"
            return "Subscribed (mid" in self.text()

        wait_for(lambda: f"the subscription:\n{self.text()[-2000:]}", ready, timeout_s)
        return self

    def messages(self):
        """(topic, qos, payload) of each message so far."""
        lines = [line.split(" ", 3) for line in self.text().splitlines() if line.startswith("MESSAGE ")]
        return [(words[1], int(words[2]), words[3] if len(words) > 3 else "") for words in lines]

    def payloads(self):
        return [payload for _, _, payload in self.messages()]

    def wait_messages(self, count, timeout_s=60):
        wait_for(lambda: f"{count} messages; {len(self.messages())} came:\n{self.text()[-1500:]}",
                 lambda: len(self.messages()) >= count, timeout_s)
        return self.messages()

    def wait_end(self, timeout_s=90):
        return self.process.wait(timeout_s)

    def close(self):
        netns.end(self.process, signal.SIGTERM)


def publish(lab, client_id, topic, payloads, port=8883, tls=True, qos=1, version="mqttv311", timeout_s=60, arrived=None):
    """mosquitto_pub, one message a line. Of QoS 0, `arrived` waits until they have come, and they fill no pipe: where the
    end of its input meets the end of its last write, mosquitto_pub 2.0.11 waits forever (one run in some thousands, without
    weir as well)."""
    command = _command(lab, "mosquitto_pub", client_id, port, tls, ["-t", topic, "-q", str(qos), "-V", version, "-l"])
    process = lab.client_ns.popen(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    text = "".join(f"{payload}\n" for payload in payloads)
    try:
        if qos == 0:
            assert arrived is not None and len(text) < 65536, "of QoS 0 somebody must wait for few bytes"
            with contextlib.suppress(BrokenPipeError):  # what it says tells why
                process.stdin.write(text)
                process.stdin.flush()
                arrived()
            text = None
        said, _ = process.communicate(text, timeout=timeout_s)
    except Exception as failure:
        netns.end(process)
        raise AssertionError(f"mosquitto_pub {client_id}: {process.stdout.read()}") from failure
    finally:
        netns.end(process)
    assert process.returncode == 0, f"mosquitto_pub {client_id}: {process.returncode} {said}"
