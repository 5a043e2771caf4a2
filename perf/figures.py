# SPDX-License-Identifier: BSD-3-Clause
"""Figures of single programs as rows of a CSV: which commit, which machine, what was measured, its value. A file holds the
newest figure of each (name, metric); measuring a part of them again leaves the others, with the commit they came from.
And a picture of those that depend on a number: what a flow lookup costs among so many flows."""
import csv
import datetime
import json
import os
import platform
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
COLUMNS = ["commit", "dirty", "date", "machine", "options", "name", "metric", "value"]


def _git(*args):
    return subprocess.run(["git", "-C", ROOT, *args], capture_output=True, text=True, check=False).stdout.strip()


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return f"{models[0] if models else platform.machine()}, {len(models)} cores, Linux {platform.release()}"


def origin(options):
    """What all rows of a run share. Files that a run writes itself do not make the tree dirty. options: how the program
    was built."""
    changed = [line for line in _git("status", "--porcelain", "-uno").splitlines() if "perf/results/" not in line]
    return {"commit": _git("rev-parse", "--short=12", "HEAD") or "unknown", "dirty": "yes" if changed else "no",
            "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "machine": machine(), "options": options}


def built(folder):
    """How the programs of a build directory were compiled."""
    done = subprocess.run(["meson", "introspect", "--buildoptions", folder], capture_output=True, text=True, check=True)
    options = {option["name"]: option["value"] for option in json.loads(done.stdout)}
    compiler = subprocess.run(["cc", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    return "; ".join([compiler, *(f"{name}={str(options[name]).lower()}" for name in ("buildtype", "b_lto", "b_ndebug"))])


def read(path):
    """{(name, metric): row} of a file; empty where there is none."""
    if not os.path.exists(path):
        return {}
    with open(path, newline="", encoding="utf-8") as file:
        return {(row["name"], row["metric"]): row for row in csv.DictReader(file)}


def merge(path, shared, figures):
    """Put figures, [(name, metric, value)], into the file at path beside those it has. shared: from origin()."""
    rows = read(path)
    for name, metric, value in figures:
        rows[(name, metric)] = dict(shared, name=name, metric=metric, value=f"{value:.10g}")
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path + ".new", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows.values())
    os.replace(path + ".new", path)


# --- what a lookup costs, as a picture ---

# (what the operation's name begins with, metric, title, colour, dash type, where its numbers stand)
LOOKUPS = [
    ("flow lookup, one of ", "cycles_warm_min", "found, one alone", "#d55e00", 1, "-2.2,0.5"),
    ("flow lookup, bursts of 32 of ", "cycles_cold_min", "found, bursts of 32, caches emptied before", "#0072b2", 2, "0,0.8"),
    ("flow lookup, bursts of 32 of ", "cycles_warm_min", "found, bursts of 32", "#0072b2", 1, "2,-0.7"),
    ("flow lookup, bursts of 32 missing in ", "cycles_cold_min", "not there, bursts of 32, caches emptied before", "#009e73", 2, "0,0.8"),
    ("flow lookup, bursts of 32 missing in ", "cycles_warm_min", "not there, bursts of 32", "#009e73", 1, "0,-0.8"),
]


def _points(rows, prefix, metric):
    """[(flows, cycles)]."""
    return sorted((int(name[len(prefix):]), float(row["value"])) for (name, kind), row in rows.items()
                  if name.startswith(prefix) and kind == metric)


def draw_lookup(csv_path, svg_path):
    """Cycles a lookup beside the number of flows, from the figures of perf/micro. False: there are none."""
    rows = read(csv_path)
    series = [(_points(rows, prefix, metric), *looks) for prefix, metric, *looks in LOOKUPS]
    series = [one for one in series if one[0]]
    if not series:
        return False
    script = ['set terminal svg size 900,520 font "DejaVu Sans,12" background rgb "#ffffff"', f'set output "{svg_path}"',
              "set encoding utf8", 'set title "A flow lookup with the first read of the flow: TSC cycles a packet" font ",15"',
              'set xlabel "flows in the table, all drawn at random"', "set logscale x", "set xrange [700:1400000]",
              'set xtics ("1,000" 1e3, "10,000" 1e4, "100,000" 1e5, "1,000,000" 1e6)', "set yrange [0:*]",
              'set border 3 lc rgb "#888888"', 'set grid ytics lc rgb "#dddddd"', "set tics nomirror",
              'set key top left Left reverse font ",11"']
    for number, (points, *_) in enumerate(series):
        script += [f"$s{number} << EOD", *(f"{flows} {cycles:g}" for flows, cycles in points), "EOD"]
    script.append("plot " + ", ".join(
        f'$s{number} using 1:2 with linespoints lw 2 pt 7 ps 0.6 dt {dash} lc rgb "{colour}" title "{title}", '
        f'$s{number} using 1:2:(sprintf("%.0f", $2)) with labels offset {at} font ",9" textcolor rgb "{colour}" notitle'
        for number, (_, title, colour, dash, at) in enumerate(series)))
    done = subprocess.run(["gnuplot"], input="\n".join(script) + "\n", capture_output=True, text=True, check=False)
    if done.returncode != 0 or "error" in done.stderr.lower():
        raise RuntimeError(f"gnuplot: {done.stderr}")
    return True
