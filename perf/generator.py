# SPDX-License-Identifier: BSD-3-Clause
"""What perf/pktgen/run and perf/dperf/run share: how the generator reaches weir, and a weir to go with it.

  memif, virtio-user   weir is started here and the generator is the other end of a shared-memory port
  a PCI address        the generator drives that NIC; weir runs on the machine (or NIC) its cable leads to, started by hand
                       with the weir.yaml that lies beside the script"""
import os
import re
import subprocess
import sys
import tempfile

import yaml

PERF = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(PERF, "e2e"))

import lab  # noqa: E402 (the path above comes first)

PCI = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
BUILD = "build-perf"


def program_of(variable):
    """The generator's binary, from the environment."""
    path = os.environ.get(variable, "")
    if not path or not os.access(path, os.X_OK):
        raise lab.Failure(f"{variable}=/path/to/the/program is needed in the environment"
                          + (f": '{path}' is no program" if path else ""))
    return os.path.abspath(path)


def add_arguments(parser, link):
    """link: the shared-memory port that the generator can drive."""
    parser.add_argument("--port", default=link, help=f"{link} | a PCI address; default {link}")
    parser.add_argument("--weir", metavar="ADDRESS", default="198.18.0.1", help="weir's address; default 198.18.0.1")
    parser.add_argument("--seconds", type=int, default=10, help="length of a trial; default 10")
    parser.add_argument("--cpu", type=int, default=lab.LOAD_CPU, help="the generator's CPU")
    parser.add_argument("--csv", default=os.path.join(PERF, "results", "generators.csv"), help="where the figures go")


def check_port(port, link):
    if port != link and not PCI.fullmatch(port):
        raise lab.Failure(f"--port {port}: {link}, or a PCI address such as 0000:18:00.0")


def need_huge_pages(megabytes):
    with open("/proc/meminfo", encoding="ascii") as file:
        fields = {line.split(":")[0]: int(line.split()[1]) for line in file}
    free_mb = fields["HugePages_Free"] * fields["Hugepagesize"] // 1024
    if free_mb < megabytes:
        raise lab.Failure(f"{free_mb} MB of huge pages are free and {megabytes} are needed: "
                          f"sysctl vm.nr_hugepages={megabytes * 1024 // fields['Hugepagesize']} (and 0 afterwards)")


class _Here:
    """Where lab.Weir runs: no namespace, since nothing of this passes through the kernel."""

    def __init__(self, folder):
        self.folder = folder
        self.weir_ns = self

    popen = staticmethod(lambda *command, **options: subprocess.Popen(command, **options))

    @staticmethod
    def binary(path):
        return os.path.join(lab.ROOT, BUILD, path)


class Link:
    """A temporary folder and, where `weir_device` is given, a weir with the configuration file `config` whose only port is
    that device; {folder} in it stands for the folder."""

    def __init__(self, config, weir_device=None):
        self.config_path, self.weir_device = config, weir_device
        self.weir = None

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="weir-generator-")
        self.folder = self._folder.name
        try:
            if self.weir_device:
                self._start_weir()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start_weir(self):
        lab.build(BUILD, ("app/weir/weir", "app/weirctl/weirctl"))
        with open(self.config_path, encoding="utf-8") as file:
            config = yaml.safe_load(file)
        config["ports"][0]["device"] = self.weir_device.format(folder=self.folder)
        config["cores"] = {"control": lab.CONTROL_CPU, "workers": [lab.SERVER_CPU], "idle": "poll"}
        config["control"] = {"socket": os.path.join(self.folder, "weir.sock")}
        self.weir = lab.Weir(_Here(self.folder), config, 0)

    def __exit__(self, *_):
        try:
            if self.weir:
                self.weir.stop()
        finally:
            self._folder.cleanup()
