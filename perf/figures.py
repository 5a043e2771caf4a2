# SPDX-License-Identifier: BSD-3-Clause
"""Figures of single programs as rows of a CSV: which commit, which machine, what was measured, its value. A file holds the
newest figure of each (name, metric); measuring a part of them again leaves the others, with the commit they came from."""
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
