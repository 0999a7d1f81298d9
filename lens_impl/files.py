"""Files that are either whole or absent, and where the project is."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
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


def metrics_lines(folder: Path) -> list[dict]:
    """The steps that were written; the last line of a killed training may be half of one."""
    metrics = folder / "metrics.jsonl"
    lines = metrics.read_text().splitlines(keepends=True) if metrics.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def read_yaml(path: Path | str) -> dict:
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
