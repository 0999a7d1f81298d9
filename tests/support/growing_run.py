"""Stands for a run that trains: appends the lines of a finished one and mirrors after each.

python -m support.growing_run URI FOLDER METRICS RUN
"""

import json
import sys
import time
from pathlib import Path

from lens_impl.tracking.mirror import LiveMirror
from support.mlflow_store import EXPERIMENT


def main() -> None:
    uri, folder, source, run = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
    mirror = LiveMirror(uri, EXPERIMENT, folder, {"run": run}, retry_after_s=0.5)
    for line in source.read_text().splitlines(keepends=True):
        with open(folder / "metrics.jsonl", "a") as lines:
            lines.write(line)
        mirror()
        print(json.loads(line)["step"], flush=True)
        time.sleep(0.2)


if __name__ == "__main__":
    main()
