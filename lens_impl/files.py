"""Files and folders that are either whole or absent, and where the project is."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from lens_impl.errors import UserError

if TYPE_CHECKING:
    # Its import takes longer than most commands that need a file of another kind.
    import pandas as pd

ROOT = Path(__file__).resolve().parent.parent  # of the project


def write_atomically(path: Path | str, write: Callable[[Path], object]) -> None:
    """Call `write` on a temporary neighbour of `path`, then move it into place."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last, since some writers choose their format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """An empty folder to fill, which takes the place of `path` unless the block raises."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    # A killed process of the same number may have left one: in containers numbers come again.
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        shutil.rmtree(path, ignore_errors=True)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path | str, text: str) -> None:
    write_atomically(path, lambda p: p.write_text(text, encoding="utf-8"))


def write_json(path: Path | str, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def write_jsonl(path: Path | str, rows: Iterable[dict]) -> None:
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def write_parquet(path: Path | str, frame: pd.DataFrame) -> None:
    write_atomically(path, lambda p: frame.to_parquet(p, index=False))


def write_csv(path: Path | str, frame: pd.DataFrame) -> None:
    write_atomically(path, lambda p: frame.to_csv(p, index=False))


def read_jsonl(path: Path | str) -> list[dict]:
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def read_json(path: Path | str) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def read_growing_jsonl(path: Path) -> list[dict]:
    """The complete lines of a file that another process appends to; none where it is absent.

    The last line may be half written, by a process that is still running or was killed.
    """
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def append_jsonl(path: Path, row: dict) -> None:
    """Add one line, which is on the disk when this returns."""
    with open(path, "a", encoding="utf-8") as lines:
        lines.write(json.dumps(row) + "\n")
        lines.flush()
        os.fsync(lines.fileno())


def read_yaml(path: Path | str) -> dict:
    """A YAML file's mapping; UserError if it is missing or not valid."""
    try:
        # The parser in C: the one in Python takes a tenth of a dry run.
        return yaml.load(Path(path).read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except FileNotFoundError:
        raise UserError(f"{path} is missing. Hint: git checkout -- {path}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None


def read_parquet(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """pandas.read_parquet; a UserError where there is no such file."""
    if not path.is_file():
        raise UserError(f"{path} does not exist. Hint: make it with `snakemake {path}`.")
    import pandas as pd

    return pd.read_parquet(path, columns=columns)
