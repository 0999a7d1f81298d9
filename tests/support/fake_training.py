"""`lens_impl.training.supervisor` with a quick stand-in for verl's process, for tests of failures.

The supervisor, its lock, its resuming and its files are the real ones. The stand-in keeps verl's
contract with it: one line in metrics.jsonl per step, a checkpoint marked by resume.json, SIGUSR1.
Each step is a function of the one before, so that a gap, a double step or a wrong resume changes
everything after it. The failure that FAKE_FAULT names happens once:
    exit: at step 6; deaf: ignores SIGUSR1, as a step longer than the notice does
"""

import hashlib
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pandas as pd


def verl(request: Path) -> None:
    """The stand-in for verl's process."""
    from lens_impl.files import write_parquet
    from lens_impl.verl_plugin import stopping
    from lens_impl.verl_plugin.main import exit_with_parent

    stopping.listen()
    exit_with_parent()
    folder = request.parent
    write_parquet(folder / "validation" / "step_0.parquet", pd.DataFrame({"step": [0]}))
    values = dict(line.split("=", 1) for line in json.loads(request.read_text())["overrides"])
    steps = int(values["trainer.total_training_steps"])
    every = int(values["trainer.save_freq"])
    fault, once = os.environ.get("FAKE_FAULT", ""), folder / "fault-was"
    if fault == "deaf" and not once.exists():
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        once.touch()
    step, state = 0, "start"
    if "trainer.resume_from_path" in values:
        checkpoint = Path(json.loads(values["trainer.resume_from_path"]))
        step, state = json.loads((checkpoint / "actor" / "state.json").read_text())
    while step < steps:
        time.sleep(float(os.environ["FAKE_SECONDS"]))
        step += 1
        state = hashlib.sha256(f"{state} {step}".encode()).hexdigest()
        if fault == "exit" and step == 6 and not once.exists():
            once.touch()
            sys.exit("the stand-in was told to fail")
        with open(folder / "metrics.jsonl", "a") as lines:
            line = {"step": step, "reward": int(state[:8], 16) / 16**8, "state": state}
            line |= {"groups_all_wrong": 0.5, "seconds": {"step": 1.0}}
            lines.write(json.dumps(line) + "\n")
        stop = stopping.requested()
        if stop or step % every == 0 or step == steps:
            actor = folder / f"global_step_{step}" / "actor"
            shutil.rmtree(actor, ignore_errors=True)
            (actor / "huggingface").mkdir(parents=True)
            (actor / "huggingface" / "config.json").write_text(state)
            (actor / "state.json").write_text(json.dumps([step, state]))
            (folder / "resume.json.new").write_text(json.dumps({"step": step}))
            os.replace(folder / "resume.json.new", folder / "resume.json")
        if stop:
            return


def supervisor() -> None:
    """The real supervisor, which starts the stand-in and polls more often."""
    from lens_impl.errors import run_cli
    from lens_impl.training import checkpoints, slurm
    from lens_impl.training import supervisor as train

    train.VERL = (__file__, "verl")
    train.MINIMUM_FREE_BYTES = 2**20
    slurm.POLL_SECONDS = 1
    train.ROOM_SECONDS = checkpoints.WAIT_SECONDS = 0.5
    run_cli(train.main)


if __name__ == "__main__":
    if sys.argv[1:2] == ["verl"]:
        verl(Path(sys.argv[2]))
    else:
        supervisor()
