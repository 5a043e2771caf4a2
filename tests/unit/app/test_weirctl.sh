#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# weirctl against a real weir: arguments, each command, refusals, reload, captures; beside it /metrics and /healthz,
# DPDK's telemetry, the log as JSON and its rotation, signals, and two of them with one socket. Ports are null devices in
# a network namespace of the test's own: nothing comes in, nothing leaves.
# test_weirctl.sh WEIR WEIRCTL
set -eu

weir=$1
weirctl=$2
if [ "$(id -u)" != 0 ]; then
    echo "skipped: a network namespace needs root"
    exit 77
fi
if [ -z "${WEIR_TEST_NAMESPACE:-}" ]; then
    WEIR_TEST_NAMESPACE=1 exec unshare --net "$0" "$@"
fi
ip link set lo up

dir=$(mktemp -d)
http=198.18.0.9:9090 # loopback's, so that it is this namespace's alone
ip address add 198.18.0.9/32 dev lo
pids=
failures=0
# shellcheck disable=SC2086
trap 'kill -9 $pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM

fail() {
    echo "FAILED: $1" >&2
    sed 's/^/    /' "$dir/said" >&2
    failures=$((failures + 1))
}

# expect WHAT STATUS PATTERN COMMAND...: its status, and a line of its output or error that matches (empty: any or none)
expect() {
    what=$1 status=$2 pattern=$3
    shift 3
    got=0
    "$@" >"$dir/said" 2>&1 || got=$?
    [ "$got" = "$status" ] || fail "$what: status $got, not $status"
    [ -z "$pattern" ] || grep -Eq -- "$pattern" "$dir/said" || fail "$what: nothing like: $pattern"
}

ctl() {
    "$weirctl" -s "$dir/weir.sock" "$@"
}

# python CODE ARGUMENT...: fails where the code does
python() {
    /usr/bin/python3 -c "$@"
}

# until_true SECONDS COMMAND...
until_true() {
    tries=$(($1 * 20))
    shift
    while ! "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return 1
        sleep 0.05
    done
}

certificate() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=weir.test \
        -keyout "$dir/$1.key" -out "$dir/$1.crt" 2>/dev/null
}

# configuration NAME SOCKET HTTP
configuration() {
    cat >"$dir/$1.yaml" <<END
cores: {control: 0, workers: [0, 0], idle: adaptive}
memory: {max_connections: 1000, hugepages: off}
timeouts: {drain_s: 1}
log: {target: $1.log, format: json}
ports:
  - {name: front, device: "net_null0,no-rx=1", addresses: [198.18.0.1/24]}
  - {name: back, device: "net_null1,no-rx=1", addresses: [198.18.1.1/24]}
tls:
  - {name: default, certificate: server.crt, key: server.key, watch: off}
pools:
  - name: brokers
    policy: client-id
    tls: {ca: server.crt, certificate: own.crt, key: own.key}
    servers:
      - {name: b1, address: "198.18.1.2:1883"}
      - {name: b2, address: "198.18.1.3:1883"}
listeners:
  - {name: mqtts, address: "198.18.0.1:8883", mode: mqtt, tls: default, pool: brokers}
  - {name: echo, address: "198.18.0.1:7", mode: echo}
control: {socket: $2, http: "$3"}
END
}

ready_or_gone() {
    grep -q "weir: ready" "$dir/out" || ! kill -0 "$pid"
}

# start NAME: $pid is it, ready
start() {
    rm -f "$dir/out"
    "$weir" -c "$dir/$1.yaml" >"$dir/out" 2>"$dir/err" &
    pid=$!
    pids="$pids $pid"
    until_true 30 ready_or_gone || true
    if ! grep -q "weir: ready" "$dir/out"; then
        cp "$dir/err" "$dir/said"
        fail "weir does not start"
        exit 1
    fi
}

# stop SIGNAL: $ended is its status
stop() {
    kill "-$1" "$pid"
    ended=0
    wait "$pid" 2>/dev/null || ended=$?
}

# state SERVER: as both workers see it
state() {
    ctl servers | awk -v server="$1" '$2 == server { print $NF }'
}

state_is() {
    [ "$(state "$1")" = "$2" ]
}

generation() {
    curl -s "$http/metrics" | awk '$1 == "weir_config_generation" { print $2 }'
}

generation_is() {
    [ "$(generation)" = "$1" ]
}

# --- without a weir ---

expect "--help" 0 "^Usage: weirctl" "$weirctl" --help
expect "--version" 0 "^weirctl [0-9]" "$weirctl" --version
expect "no command" 2 "no command; try weirctl --help" "$weirctl"
expect "unknown option" 2 "try weirctl --help" "$weirctl" --nonsense
expect "capture without its options" 2 "capture needs a PORT, -w FILE and -c N" "$weirctl" capture front
expect "nobody listens" 1 "$dir/weir.sock: No such file.*is weir running" ctl stats
expect "nobody listens to cycles" 1 "$dir/weir.sock: No such file.*is weir running" ctl cycles --watch
expect "cycles of no time" 2 "interval takes seconds: 0.1 to 86400" "$weirctl" cycles -i 0
expect "cycles of no number" 2 "interval takes seconds" "$weirctl" cycles --interval 5s
expect "an interval of stats" 2 "go with cycles" ctl stats -i 5
expect "an endless path" 1 "longer than a socket path" "$weirctl" -s "/$(printf '%0200d' 0)" stats
expect "a tab in a word" 1 "tabs" ctl drain "brokers/b1	x"

# --- start, and what a second one meets ---

certificate server
certificate other
certificate own
configuration weir weir.sock "$http"
start weir

configuration socket weir.sock off
expect "two with one socket" 1 "control.socket $dir/weir.sock: .*another weir runs with it" \
    timeout 30 "$weir" -c "$dir/socket.yaml"
configuration http http.sock "$http"
expect "two with one HTTP address" 1 "control.http: cannot listen on $http .*in use" \
    timeout 30 "$weir" -c "$dir/http.yaml"
echo precious >"$dir/file.sock"
configuration file file.sock off
expect "a file where the socket should be" 1 "control.socket $dir/file.sock" timeout 30 "$weir" -c "$dir/file.yaml"
expect "that file is still there" 0 precious cat "$dir/file.sock"

# --- questions ---

expect "stats" 0 "^Ports$" ctl stats
expect "stats leaves zeros out" 1 "" sh -c "'$weirctl' -s '$dir/weir.sock' stats | grep -q retransmits"
expect "stats -a" 0 "retransmits_total +1 +0$" ctl stats -a
expect "stats with a filter" 0 "^ +mbufs_in_use +mbufs_p1_w1 +[0-9]+$" ctl stats -a mbufs
expect "stats with a filter leaves others out" 1 "" sh -c "'$weirctl' -s '$dir/weir.sock' stats -a mbufs | grep -q turns"
expect "stats with too much" 1 "usage: weirctl stats \[FILTER\]" ctl stats a b
ctl --json stats >"$dir/said"
python '
import json, sys
answer = json.load(open(sys.argv[1]))
assert answer["ok"] is True and len(answer["samples"]) > 500
assert all(set(s) == {"name", "help", "gauge", "labels", "value"} for s in answer["samples"])
' "$dir/said" || fail "stats --json"
expect "cycles" 0 "^worker 1: busy [0-9.]+% of [0-9.]+ s, [0-9]+ turns" ctl cycles
expect "cycles, stage by stage" 0 "^  tls open +[0-9.]+% +[0-9.]+% +[0-9]+ +- +- +-$" ctl cycles --all
expect "cycles of an interval" 0 "^worker 0: busy [0-9.]+% of [0-9.]+ s, [0-9]+ turns" ctl cycles -i 0.3
expect "cycles with too much" 1 "usage: weirctl cycles \[--interval S\] \[--watch\]" ctl cycles now
ctl --json cycles >"$dir/said"
python '
import json, sys
answer = json.load(open(sys.argv[1]))
assert answer["ok"] is True and answer["since_start"] is True and len(answer["workers"]) == 2
for w in answer["workers"]:
    assert w["turns"] > w["busy_turns"] >= w["measured_busy_turns"], w
    assert w["measured_empty_turns"] > 0 and w["empty_turn_cycles"] > 0, w
    stages = w["stages"]
    assert stages[0]["stage"] == "rx" and stages[-1]["stage"] == "idle", stages
    assert abs(sum(s["of_time"] for s in stages) - 1) < 1e-9 or w["measured_busy_turns"] == 0, stages
' "$dir/said" 2>>"$dir/said" || fail "cycles --json"
python '
import json, signal, subprocess, sys, time
SHORT_S, LINES = 0.1, 3

def start(*words):
    return subprocess.Popen([*sys.argv[1:], "--json", "cycles", *words], stdout=subprocess.PIPE, text=True)

def since_start():
    answer = json.loads(start().communicate()[0])
    assert answer["since_start"] is True
    return answer["workers"]

def parts(lines, worker, figure):
    return sum(line["workers"][worker][figure] for line in lines)

# Each interval is a part of the time between a look before and one after, on however slow a machine.
before, begin, lines = since_start(), time.monotonic(), []
day, watch = start("-i", "86400"), start("--watch", "-i", str(SHORT_S))
try:
    while len(lines) < LINES or not all(parts(lines, worker, "turns") for worker in range(len(before))):
        lines.append(json.loads(watch.stdout.readline()))
    took_s = time.monotonic() - begin
    assert day.poll() is None, "an interval of a day is over"
finally:
    for process in (day, watch):
        process.send_signal(signal.SIGINT)
        process.wait()
after = since_start()
assert took_s >= len(lines) * SHORT_S, f"{len(lines)} intervals of {SHORT_S} s in {took_s} s"
assert not any(line["since_start"] for line in lines), lines
for worker, (old, new) in enumerate(zip(before, after)):
    for figure in ("seconds", "turns"):
        whole = new[figure] - old[figure]
        assert 0 < parts(lines, worker, figure) <= whole * 1.000001, (figure, whole, lines)
' "$weirctl" -s "$dir/weir.sock" >"$dir/said" 2>&1 || fail "cycles --watch"
expect "flows" 0 "^State +Local +Peer" ctl flows
expect "flows --json" 0 '"flows": \[\]' ctl --json flows
expect "flows 0" 1 "1 to 100000 connections, not 0" ctl flows 0
expect "flows without a number" 1 "not 12x" ctl flows 12x
expect "servers" 0 "^brokers +b2 +198.18.1.3:1883 +1 +0 +0 +0 +up" ctl servers
expect "unknown command" 1 "knows no command nonsense" ctl nonsense
expect "refusals are JSON as well" 1 '"ok": false' ctl --json nonsense

# --- servers ---

expect "drain" 0 "^ok$" ctl drain brokers/b1
state_is b1 draining || fail "b1 is $(state b1), not draining"
state_is b2 up || fail "b2 is $(state b2), not up"
expect "drain in /metrics" 0 '^weir_server_draining\{pool="brokers",server="b1"\} 1$' curl -s "$http/metrics"
expect "ready" 0 "^ok$" ctl ready brokers/b1
state_is b1 up || fail "b1 is $(state b1), not up"
expect "a server that is not there" 1 "no server brokers/b3; .weirctl servers. lists them" ctl drain brokers/b3
expect "a pool that is not there" 1 "no server nobody/b1" ctl ready nobody/b1
expect "drain whom" 1 "usage: weirctl drain POOL/SERVER" ctl drain

# --- certificates ---

expect "reload" 0 "^ok$" ctl reload
generation_is 2 || fail "generation $(generation) after a reload"
cp "$dir/server.key" "$dir/good.key"
cp "$dir/other.key" "$dir/server.key"
expect "reload of a pair that does not match" 1 "$dir/server.(key|crt)" ctl reload
echo garbage >"$dir/server.key"
expect "reload of a key that is none" 1 "$dir/server.key" ctl reload
expect "it serves on" 0 "^ok$" curl -s "$http/healthz"
cp "$dir/good.key" "$dir/server.key"
expect "what is served meanwhile" 0 "^default: $dir/server.crt, EC P-256 \(default\)" ctl cert show
expect "reload of the old key" 0 "^ok$" ctl reload
expect "reload of one entry" 0 "^ok$" ctl cert reload default
expect "an entry that is not there" 1 "no tls entry nobody" ctl cert reload nobody
expect "weir's own, towards servers" 0 "^pool brokers: $dir/own.crt, EC P-256$" ctl cert show
expect "those of a pool alone" 1 "" sh -c "'$weirctl' -s '$dir/weir.sock' cert show brokers | grep -E '^default|ocsp'"
expect "its fingerprint" 0 "$(openssl x509 -in "$dir/own.crt" -noout -fingerprint -sha256 | cut -d= -f2)" \
    ctl cert show brokers
expect "reload of a pool" 0 "^ok$" ctl cert reload brokers
cp "$dir/own.key" "$dir/good.key"
cp "$dir/other.key" "$dir/own.key"
expect "reload of a pool whose pair does not match" 1 "weir.yaml:[0-9]+:[0-9]+: pools\[0\].tls.key: key $dir/own.key does not belong" \
    ctl cert reload brokers
expect "what servers are shown meanwhile" 0 "^pool brokers: $dir/own.crt" ctl cert show brokers
cp "$dir/good.key" "$dir/own.key"
expect "cert alone" 1 "usage: weirctl cert show.reload" ctl cert
expect "a word that cert does not know" 1 "usage: weirctl cert show.reload" ctl cert burn
fingerprint=$(openssl x509 -in "$dir/server.crt" -noout -fingerprint -sha256 | cut -d= -f2)
expect "its names" 0 "names +weir.test" ctl cert show default
expect "its fingerprint" 0 "$fingerprint" ctl cert show
expect "as JSON" 0 "\"fingerprint\": \"$fingerprint\"" ctl --json cert show
before=$(generation)
kill -HUP "$pid"
until_true 5 generation_is $((before + 1)) || fail "SIGHUP did not reload"

# --- captures ---

expect "no such port" 1 "no port side" ctl capture side -w "$dir/c.pcapng" -c 1
expect "no packets" 1 "1 to 1000000 packets, not 0" ctl capture front -w "$dir/c.pcapng" -c 0
expect "no such folder" 1 "$dir/none/c.pcapng cannot be written: No such file" ctl capture front -w "$dir/none/c.pcapng" -c 1
expect "a full disk" 1 "/dev/full cannot be written" ctl capture front -w /dev/full -c 1
"$weirctl" -s "$dir/weir.sock" capture front -w "$dir/c.pcapng" -c 5 >/dev/null 2>&1 &
waiting=$!
pids="$pids $waiting"
until_true 5 test -s "$dir/c.pcapng" || fail "the capture did not begin"
expect "one at a time" 1 "a capture is running already" ctl capture back -w "$dir/d.pcapng" -c 1
expect "commands go on beside it" 0 "^Pool" ctl servers
kill -9 "$waiting"
wait "$waiting" 2>/dev/null || true
: >"$dir/d.pcapng"
again() {
    timeout 1 "$weirctl" -s "$dir/weir.sock" capture back -w "$dir/d.pcapng" -c 1 >/dev/null 2>&1 || test -s "$dir/d.pcapng"
}
until_true 5 again || fail "no capture is possible after one whose weirctl was killed"
expect "it is well after that" 0 "^ok$" curl -s "$http/healthz"

# --- HTTP ---

expect "/metrics" 0 '^weir_port_link_up\{port="front"\} 1$' curl -sf "$http/metrics"
expect "the type of /metrics" 0 "^Content-Type: text/plain; version=0.0.4" curl -sfI "$http/metrics"
expect "another path" 0 "^404$" curl -s -o /dev/null -w '%{http_code}\n' "$http/"
expect "another method" 0 "^Allow: GET, HEAD" curl -si -X POST -d x "$http/metrics"

# --- whoever else connects to the socket ---

python '
import json, socket, sys, time

def ask(data, shut=False):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(sys.argv[1])
    s.sendall(data)
    if shut:
        s.shutdown(socket.SHUT_WR)
    answer = b""
    while chunk := s.recv(65536):
        answer += chunk
    return answer

assert ask(b"", shut=True) == b""                                # nothing
assert ask(b"stats", shut=True) == b""                           # no end of line
assert ask(b"x" * 4095) == b""                                   # too long
assert json.loads(ask(b"\xff\xfe\n"))["ok"] is False             # no UTF-8
assert json.loads(ask(b"drain\tbrokers/\xff\n"))["ok"] is False
assert json.loads(ask(b"drain\t\t\tbrokers/b2\n"))["ok"] is True  # tabs in a row are one
assert json.loads(ask(b"ready\tbrokers/b2\n"))["ok"] is True
# Who drips holds the others up for a moment only.
drip = socket.socket(socket.AF_UNIX)
drip.connect(sys.argv[1])
begin = time.monotonic()
try:
    while time.monotonic() - begin < 6:
        drip.send(b"s")
        time.sleep(0.1)
except BrokenPipeError:
    pass
assert time.monotonic() - begin < 4, "a peer that drips holds the loop"
assert json.loads(ask(b"servers\n"))["ok"] is True
' "$dir/weir.sock" 2>"$dir/said" || fail "odd peers of the socket"

# --- DPDK's telemetry ---

printf '%s\n' /weir/ports /weir/workers /weir/cycles /weir/servers /weir/memory /weir/drops quit |
    timeout 20 dpdk-telemetry.py -f "weir-$pid" >"$dir/said" 2>&1 || fail "dpdk-telemetry.py"
python '
import json, sys
parts = {}
for line in open(sys.argv[1]):
    if line.startswith("{\"/weir/"):
        parts.update(json.loads(line))
assert parts["/weir/ports"]["port_link_up/front"] == 1, parts
assert parts["/weir/workers"]["worker_turns_total/1"] > 0, parts
assert parts["/weir/workers"]["worker_idle_microseconds_total/1"] > 0, parts
assert not any("stage" in name for name in parts["/weir/workers"]), parts
assert all(name.startswith("worker_stage_cycles_total/") for name in parts["/weir/cycles"]), parts
assert parts["/weir/servers"]["server_up/brokers/b2"] == 1, parts
assert parts["/weir/memory"]["memory_pool_bytes/tcp_flows"] > 0, parts
assert parts["/weir/drops"] == {}, parts
' "$dir/said" 2>>"$dir/said" || fail "figures of /weir/... in telemetry"

# --- the log ---

log_is_json() {
    python '
import json, sys
lines = open(sys.argv[1]).read().split("\n")
assert lines.pop() == "" and lines
for line in lines:
    assert list(json.loads(line)) == ["time", "level", "module", "message"], line
' "$1" 2>"$dir/said" || fail "$1 is not one JSON object a line"
}
mv "$dir/weir.log" "$dir/weir.log.1"
log_is_json "$dir/weir.log.1"
kill -USR1 "$pid"
until_true 5 test -e "$dir/weir.log" || fail "SIGUSR1 did not open the log again"
expect "reload, to have a line" 0 ok ctl reload
log_is_json "$dir/weir.log"
expect "the new log has it" 0 '"module":"reload"' cat "$dir/weir.log"

# --- the end ---

began=$(date +%s)
stop TERM
[ "$ended" = 0 ] || fail "SIGTERM: status $ended"
[ $(($(date +%s) - began)) -le 5 ] || fail "SIGTERM took $(($(date +%s) - began)) s"
[ ! -e "$dir/weir.sock" ] || fail "the socket is still there"
[ ! -e "/var/run/dpdk/weir-$pid" ] || fail "DPDK's runtime folder is still there"
expect "nobody listens any more" 1 "is weir running" ctl stats

start weir
stop KILL
[ -e "$dir/weir.sock" ] || fail "kill -9 leaves the socket: what is tested here?"
start weir # takes it over, and the folder of the killed one away
expect "after kill -9" 0 "^Pool" ctl servers
stop INT
[ "$ended" = 0 ] || fail "SIGINT: status $ended"
[ -z "$(find /var/run/dpdk -maxdepth 1 -name "weir-$pid")" ] || fail "DPDK's runtime folder is still there"

[ "$failures" = 0 ] || exit 1
echo "weirctl: all well"
