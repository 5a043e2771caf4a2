# SPDX-License-Identifier: BSD-3-Clause
"""Many connections of one process on the clients' side: a script of this folder, whose output goes to a file."""
import os
import subprocess

import netns


class Crowd:
    def __init__(self, lab, name, script, *args):
        self.path = os.path.join(lab.folder, f"{name}.out")
        here = os.path.dirname(os.path.abspath(__file__))
        with open(self.path, "w", encoding="utf-8") as out:
            self.process = lab.client_ns.popen("/usr/bin/python3", os.path.join(here, script), lab.front, *args,
                                               stdin=subprocess.PIPE, stdout=out, stderr=out, text=True)
        lab.keep(self)

    def says(self, line):
        with open(self.path, encoding="utf-8") as file:
            text = file.read()
        assert line in text or self.process.poll() is None, f"ended with {self.process.returncode}: {text[-2000:]}"
        return line in text.splitlines()

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def close(self):
        netns.end(self.process)
