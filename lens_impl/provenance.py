"""Which code, packages and machine made a result."""

import platform
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "torch",
    "transformers",
    "verl",
    "ray",
    "vllm",
    "math-verify",
    "numpy",
    "pandas",
    "snakemake",
    "mlflow",
)
UNKNOWN = "unknown"  # the commit of a run outside git


def git_state(repo: Path | str) -> dict:
    """{commit: 40 hex digits, dirty: tracked files have changes}, both null outside git."""
    try:
        commit = _git(repo, "rev-parse", "HEAD")
        dirty = bool(_git(repo, "status", "--porcelain", "--untracked-files=no"))
    except (subprocess.CalledProcessError, FileNotFoundError):
        return {"commit": None, "dirty": None}
    return {"commit": commit, "dirty": dirty}


def _git(repo: Path | str, *arguments: str) -> str:
    command = ["git", "-C", str(repo), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def versions() -> dict[str, str | None]:
    """Python's version and those of the packages that can move a result; null = not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


@dataclass(frozen=True)
class Origin:
    """Which code made some runs, and when; as a string one line about it.

    runs_by_commit: commit ("unknown" outside git) -> names of its runs; dirty: names of the runs
    made with uncommitted changes; days: the different days on which a run finished (ISO), sorted.
    """

    runs_by_commit: dict[str, list[str]]
    dirty: list[str]
    days: list[str]

    @property
    def commits(self) -> list[str]:
        """The first 12 digits of each."""
        return [commit[:12] for commit in self.runs_by_commit]

    @property
    def commit(self) -> str | None:
        """The one commit that made all runs without other changes, in full; None otherwise."""
        is_one = len(self.runs_by_commit) == 1 and UNKNOWN not in self.runs_by_commit
        return next(iter(self.runs_by_commit)) if is_one and not self.dirty else None

    def __str__(self) -> str:
        runs = sum(map(len, self.runs_by_commit.values()))
        if not runs:
            return "0 runs"
        parts = [
            f"{runs} run" + "s" * (runs > 1),
            "commit" + "s" * (len(self.commits) > 1) + f" {' and '.join(self.commits)}",
            f"{len(self.dirty)} with uncommitted changes" if self.dirty else "",
            "finished " + " to ".join(dict.fromkeys((self.days[0], self.days[-1]))),
        ]
        return ", ".join(filter(None, parts))


def origin(manifests: Iterable[dict]) -> Origin:
    """Where the runs of some manifest.json come from, in the order of the manifests."""
    runs_by_commit: dict[str, list[str]] = {}
    dirty, days = [], set()
    for manifest in manifests:
        commit = manifest["git"]["commit"] or UNKNOWN
        runs_by_commit.setdefault(commit, []).append(manifest["run"])
        days.add(manifest["finished"][:10])
        if manifest["git"]["dirty"]:
            dirty.append(manifest["run"])
    return Origin(runs_by_commit, dirty, sorted(days))


def cpu_name() -> str:
    """The name of the CPU as Linux gives it, else what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
