# SPDX-License-Identifier: BSD-3-Clause
"""How a command of this folder begins and ends."""
import os
import shutil
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def fail(why, status=1):
    print(f"{os.path.relpath(os.path.realpath(sys.argv[0]), ROOT)}: {why}", file=sys.stderr)
    sys.exit(status)


def need_programs(*programs):
    missing = [name for name in programs if not shutil.which(name)]
    if missing:
        fail(f"missing: {', '.join(missing)}; scripts/setup installs what is needed", 2)


def need_writable(path):
    """End where a result could not be written to path: better now than after the measurement."""
    if path and (os.path.isdir(path) or not os.access(path if os.path.exists(path) else os.path.dirname(path) or ".", os.W_OK)):
        fail(f"{path} cannot be written", 2)


def run(main):
    """main() returns the exit status, or nothing."""
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        sys.exit(130)
