"""Holds the lock of a checkpoint folder until its input ends: `holds_lock.py FOLDER [wait]`."""

import sys
from pathlib import Path

from lens_impl.errors import run_cli
from lens_impl.training import checkpoints


def main() -> None:
    checkpoints.WAIT_SECONDS = 0.01
    with checkpoints.locked(Path(sys.argv[1]), wait="wait" in sys.argv):
        print("has it", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    run_cli(main)
