"""Data sets from the Hugging Face hub, at a pinned revision.

    python -m lens_impl.data.download fetch --set numina --out raw/numina    one set
    python -m lens_impl.data.download all --out FOLDER    every set, for data.local_dir elsewhere
    python -m lens_impl.data.download pin                 pinned and newest revision of every set

huggingface_hub shows the progress, checks the files and keeps what it has in its own cache
(HF_HOME), so a download that was stopped resumes where it was.
"""

import argparse
import shutil
import sys
import time
from pathlib import Path

from lens_impl.data.rows import read_rows
from lens_impl.data.sources import SOURCES, Source
from lens_impl.errors import UserError, run_cli
from lens_impl.files import whole_folder, write_json

ATTEMPTS = 5
WAIT_S = 10.0  # before the second attempt; doubled before each further one


def fetch(name: str, out: Path, attempts: int = ATTEMPTS, wait_s: float = WAIT_S) -> None:
    """Put the files of one set and a source.json into the folder `out`; all of it or nothing.

    UserError for an unknown set, an unreachable hub, and a repository of another form.
    """
    if name not in SOURCES:
        raise UserError(f"unknown set {name!r}. Hint: the sets are {', '.join(SOURCES)}.")
    source = SOURCES[name]
    snapshot = _with_retries(lambda: _snapshot(source), name, source, attempts, wait_s)
    files = sorted(path for path in snapshot.glob(source.files) if path.is_file())
    if not files:
        raise UserError(
            f"{source.hub}@{source.revision} has no file {source.files}. Hint: look at "
            "https://huggingface.co/datasets/" + source.hub + " and correct SOURCES in "
            "lens_impl/data/sources.py, or use data.local_dir."
        )
    _check_columns(files[0], source)
    with whole_folder(out) as folder:
        for path in files:
            shutil.copyfile(path, folder / path.name)
        write_json(folder / "source.json", {"hub": source.hub, "revision": source.revision})


def _snapshot(source: Source) -> Path:
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            source.hub,
            repo_type="dataset",
            revision=source.revision,
            allow_patterns=[source.files],
        )
    )


def _with_retries(call, name: str, source: Source, attempts: int, wait_s: float):
    """The value of `call`, tried again while the hub cannot be reached."""
    import httpx
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    for attempt in range(1, attempts + 1):
        try:
            return call()
        except (httpx.HTTPError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
            reason = " ".join(str(error).split())[:200]
            final = isinstance(error, OfflineModeIsEnabled) or attempt == attempts
            if final or not _may_pass(error):
                raise UserError(
                    f"{source.hub}@{source.revision} could not be fetched ({reason}). Hint: run "
                    f"`python -m lens_impl.data.download all --out FOLDER` where the hub can be "
                    "reached, copy the folder here and set data.local_dir to it; a file "
                    f"{name}.jsonl, .json, .parquet or .csv in such a folder does as well."
                ) from error
            wait = wait_s * 2 ** (attempt - 1)
            print(f"attempt {attempt} failed ({reason}); again in {wait:.0f} s", file=sys.stderr)
            time.sleep(wait)


def _may_pass(error: Exception) -> bool:
    """Whether another attempt can help: not where the hub has answered that it will not."""
    response = getattr(error, "response", None)
    return response is None or response.status_code in (408, 429) or response.status_code >= 500


def _check_columns(path: Path, source: Source) -> None:
    _, row = next(read_rows(path))
    if missing := [column for column in source.columns if column not in row]:
        raise UserError(
            f"{source.hub}@{source.revision} has no column {missing[0]!r} in {path.name}, its "
            f"columns are {sorted(row)}. Hint: pin a revision that has {list(source.columns)}."
        )


def pins() -> list[tuple[str, str, str]]:
    """(set, pinned revision, the hub's newest) for every set. UserError without the hub."""
    from huggingface_hub import HfApi

    return [
        (
            name,
            source.revision,
            _with_retries(lambda s=source: HfApi().dataset_info(s.hub).sha, name, source, 2, 1.0),
        )
        for name, source in SOURCES.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("fetch", help="one set")
    one.add_argument("--set", required=True, help=", ".join(SOURCES))
    one.add_argument("--out", type=Path, required=True, help="folder for its files")
    every = commands.add_parser("all", help="every set, each in a folder of its name")
    every.add_argument("--out", type=Path, required=True)
    commands.add_parser("pin", help="compare the pinned revisions with the hub's newest")
    arguments = parser.parse_args()
    if arguments.command == "fetch":
        fetch(arguments.set, arguments.out)
    elif arguments.command == "all":
        for name in SOURCES:
            fetch(name, arguments.out / name)
    else:
        for name, pinned, newest in pins():
            print(f"{name}: {pinned}" + ("" if newest == pinned else f", newest is {newest}"))


if __name__ == "__main__":
    run_cli(main)
