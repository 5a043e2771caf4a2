# SPDX-License-Identifier: BSD-3-Clause
"""The steps of scripts/demo, in the laboratory of tests/live."""
import argparse
import collections
import contextlib
import os
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "live"))

import clients  # noqa: E402 (the path above comes first)
import lab as laboratory  # noqa: E402
import peers  # noqa: E402

PUBLISHERS, EACH = 20, 50
SERVERS = ["b1", "b2"]
COLOURS = {"good": "32", "bad": "31", "head": "1", "dim": "2"}


def paint(kind, text):
    return f"\033[{COLOURS[kind]}m{text}\033[0m" if sys.stdout.isatty() else text


def say(text=""):
    print(text, flush=True)


def step(text):
    say(paint("head", f"* {text}"))


class Failure(Exception):
    """The demonstration did not show what it should."""


def build():
    """The release build; its output only where it fails."""
    step("building weir in build/")
    made = os.path.exists(os.path.join(ROOT, "build", "meson-private", "coredata.dat"))
    commands = [["ninja", "-C", "build", "app/weir/weir", "app/weirctl/weirctl"]]
    if not made:
        commands.insert(0, ["meson", "setup", "build"])
    for command in commands:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise Failure(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-4000:]}")


def start(place):
    step("starting two mosquitto brokers, bridged for the topics demo/#")
    bridge = f"connection bridge\naddress {place.brokers[1]}:1883\nremote_clientid bridge-of-b1\ntopic demo/# both 1\n" \
        "notifications false\nrestart_timeout 1\n"
    brokers = peers.two_mosquittos(place, (bridge, ""))
    for broker in brokers:
        say(f"    {broker.name} on {broker.address}:{broker.port}")
    step("starting weir")
    run = place.start()
    workers = place.variant.workers
    say(f"    {place.variant.kind} port{'' if place.variant.one_arm else 's'}, {workers} worker{'s' * (workers > 1)}, "
        f"TLS on {place.front}:8883, configuration {run.config_path}")
    place.wait_servers_up("brokers")


def subscribe(place):
    step("a subscriber on each broker, through weir: weir sends a client-id always to the same broker")
    ids = clients.ids_by_server(place, SERVERS, 1, "subscriber-")
    subscribers = {server: clients.Subscriber(place, ids[server][0], "demo/#", timeout_s=120) for server in SERVERS}
    for server, subscriber in subscribers.items():
        subscriber.wait_ready()
        say(f"    {ids[server][0]} on {server}")
    # The bridge works once a message published at either broker has reached both subscribers.
    greeters = clients.ids_by_server(place, SERVERS, 1, "greeter-")

    def greeted():
        for server in SERVERS:
            clients.publish(place, greeters[server][0], "demo/hello", [server])
        wanted = set(SERVERS)
        return all(wanted <= {payload for topic, _, payload in one.messages() if topic == "demo/hello"}
                   for one in subscribers.values())

    laboratory.wait_for("the bridge between the brokers", greeted, 30, 0.2)
    return subscribers


def publish(place):
    """{client-id: its messages}, sent by as many mosquitto_pub at once."""
    names = [f"device-{number:02d}" for number in range(1, PUBLISHERS + 1)]
    where = {name: clients.server_of(place, name) for name in names}
    step(f"{PUBLISHERS} mosquitto_pub over TLS, {EACH} messages of QoS 1 each")
    messages = {name: [f"{name} message {number}" for number in range(EACH)] for name in names}
    started = time.monotonic()
    running = {}
    for name in names:
        path = os.path.join(place.folder, f"{name}.in")
        with open(path, "w", encoding="utf-8") as file:
            file.write("".join(line + "\n" for line in messages[name]))
        with open(path, encoding="utf-8") as stdin:
            running[name] = place.client_ns.popen(
                "mosquitto_pub", "-h", place.front, "-p", "8883", "--cafile", place.certs.ca, "-i", name, "-q", "1",
                "-t", f"demo/data/{name}", "-l", stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for name, process in running.items():
        try:
            out, _ = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Failure(f"{name} did not finish within 60 s") from None
        if process.returncode != 0:
            raise Failure(f"{name} ended with {process.returncode}: {out}")
    say(f"    {sum(map(len, messages.values()))} messages acknowledged in {time.monotonic() - started:.1f} s")
    for server in SERVERS:
        say(f"    {server}: {' '.join(name for name in names if where[name] == server)}")
    return messages


def verify(subscribers, messages):
    step("what the subscribers got")
    wanted = {payload for lines in messages.values() for payload in lines}
    good = True
    for server, subscriber in subscribers.items():
        def data(subscriber=subscriber):
            return [payload for topic, _, payload in subscriber.messages() if topic.startswith("demo/data/")]

        with contextlib.suppress(TimeoutError):
            laboratory.wait_for("all messages", lambda: len(set(data())) >= len(wanted), 60)
        got = collections.Counter(data())
        missing, strange = wanted - set(got), set(got) - wanted
        twice = sum(count - 1 for count in got.values())
        fine = not missing and not strange
        good = good and fine
        text = f"    on {server}: {len(wanted) - len(missing)} of {len(wanted)} messages"
        text += f", {len(missing)} missing" * bool(missing) + f", {len(strange)} unknown" * bool(strange)
        text += f", {twice} delivered twice (QoS 1 allows it)" * bool(twice)
        say(paint("good" if fine else "bad", text))
    if not good:
        raise Failure("not every message arrived at both subscribers")


def report(place):
    step("what weir says")
    now = place.metrics()
    for server, count in sorted(now.by("weir_server_connections_total", "server", pool="brokers").items()):
        say(f"    {server}: {count:.0f} connections")
    say(f"    TLS: {now.get('weir_tls_handshakes_done_total'):.0f} handshakes, "
        f"{now.get('weir_tls_records_opened_total'):.0f} records opened and "
        f"{now.get('weir_tls_records_sealed_total'):.0f} sealed by IPsec-MB, "
        f"{now.get('weir_tls_libssl_records_total'):.0f} left to libssl")
    if place.variant.workers > 1:
        say(f"    {now.get('weir_handoff_packets_total'):.0f} packets handed from one worker to another")


def linger(place):
    step("everything is still running; ctrl-C removes it")
    ns = place.client_ns.name
    say(f"    ip netns exec {ns} mosquitto_sub -h {place.front} -p 8883 --cafile {place.certs.ca} -t 'demo/#' -v")
    say(f"    ip netns exec {ns} mosquitto_pub -h {place.front} -p 8883 --cafile {place.certs.ca} -t demo/me -m hello")
    say(f"    {place.binary('weirctl')} -s {place.socket_path()} stats")
    say(f"    ip netns exec {place.weir_ns.name} curl -s http://127.0.0.1:9090/metrics")
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/demo")
    parser.add_argument("--port", choices=["tap", "af_xdp"], default="tap")
    parser.add_argument("--one-arm", action="store_true", help="one port for both sides")
    parser.add_argument("--workers", type=int, choices=[1, 2, 3, 4], default=1)
    parser.add_argument("--keep", action="store_true", help="leave it running until ctrl-C")
    parser.add_argument("--no-build", action="store_true", help="take build/ as it is")
    return parser.parse_args()


def show(options):
    """Raises where something is not as it should be; everything is removed either way."""
    place = laboratory.Lab(laboratory.Variant(options.port, options.workers, options.one_arm))
    try:
        try:
            start(place)
            subscribers = subscribe(place)
            messages = publish(place)
            verify(subscribers, messages)
            report(place)
        except (AssertionError, OSError, RuntimeError) as error:
            log = place.runs[-1].log() if place.runs else ""
            raise Failure(f"{error}\n{'weir said:' * bool(log)}\n{log}") from error
        if options.keep:
            linger(place)
    finally:
        step("removing everything")
        place.close()


def main():
    options = arguments()
    if os.geteuid() != 0:
        say("scripts/demo: run it as root: it makes network namespaces and TAP or AF_XDP ports")
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started = time.monotonic()
    try:
        if not options.no_build:
            build()
        show(options)
    except (Failure, AssertionError) as failure:
        say(paint("bad", f"\nFAILED: {failure}"))
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    say(paint("good", f"\nAll {PUBLISHERS * EACH} messages arrived at both subscribers ({time.monotonic() - started:.0f} s)."))
    return 0


sys.exit(main())
