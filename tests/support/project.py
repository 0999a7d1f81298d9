"""Copies of the project in a folder of their own, for tests that run Snakemake in them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from lens_impl.files import ROOT


class Project:
    """A copy of all that Snakemake reads, in a folder of its own."""

    def __init__(self, folder: Path, *options: str):
        self.folder, self.options = folder, options

    def snakemake(self, *arguments: str) -> tuple[int, str]:
        """Exit status and output of one call."""
        path = f"{self.folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}
        command = ["snakemake", *self.options, *arguments]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.returncode, done.stdout

    def planned(self, *arguments: str) -> dict[str, int]:
        """Rule -> number of jobs that a dry run says it would run."""
        status, output = self.snakemake("--dry-run", *arguments)
        assert status == 0, output
        if "Nothing to be done" in output:
            return {}
        table = output.split("Job stats:")[1].split("total")[0]
        return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.M)}

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


def copy_project(folder: Path, *options: str) -> Project:
    """A copy whose `snakemake` calls all have these options."""
    for name in ("rules", "config", "workflow", "notebooks"):
        shutil.copytree(ROOT / name, folder / name)
    # Conda files stand in the job's record, and are not used.
    shutil.copytree(ROOT / "envs", folder / "envs")
    shutil.copy(ROOT / "Snakefile", folder)
    for link in ("profiles", "slurm"):
        shutil.copy(ROOT / link, folder, follow_symlinks=False)
    (folder / "results").mkdir()
    fake = folder / "bin" / "python"
    fake.parent.mkdir()
    shutil.copy(ROOT / "tests" / "support" / "fake_python.sh", fake)
    fake.chmod(0o755)
    return Project(folder, *options)


def copy_tracked(folder: Path) -> None:
    """The project's files as a clone would have them."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        # `profiles` and `slurm` are links to folders.
        if (ROOT / name).is_file() or (ROOT / name).is_symlink():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)


def python(project: Path, *arguments: object) -> subprocess.CompletedProcess:
    """An interpreter that runs the code of a copy."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PYTHONPATH": str(project), "PATH": path}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)


def files(project: Path) -> dict[str, bytes]:
    """Name -> content of all files of a copy."""
    found = (path for path in project.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {str(path.relative_to(project)): path.read_bytes() for path in found}


def changed(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    """The files that are new or have another content."""
    return {name for name in after if after[name] != before.get(name)}
