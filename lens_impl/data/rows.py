"""Rows of jsonl, json, parquet and csv files. Whatever is wrong with a file is one sentence.

pandas and pyarrow are imported where a file needs them: Snakemake imports this module to plan.
"""

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from lens_impl.errors import UserError

ENDINGS = ("jsonl", "json", "parquet", "csv")
# In a csv file these columns contain JSON text.
NESTED_COLUMNS = {"prompt", "reward_model", "extra_info"}
# JSON can spell half a character, a surrogate without its other half.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def find_files(folder: Path, name: str, pattern: str = "*") -> list[Path]:
    """The files of one set: {name}.jsonl, .json, .parquet or .csv, or those of the folder {name}.

    pattern: which files of such a folder count, since a copy of a hub repository can contain the
    test split next to the training split. Only its last part is compared.
    """
    for ending in ENDINGS:
        path = folder / f"{name}.{ending}"
        if path.is_file():
            return [path]
    wanted = PurePosixPath(pattern).name
    return sorted(
        path
        for path in (folder / name).rglob("*")
        if path.suffix[1:] in ENDINGS and fnmatch(path.name, wanted) and path.is_file()
    )


def read_rows(path: Path) -> Iterator[tuple[int, dict]]:
    """Rows of a file with their line or row number, counted from 1. UserError for a bad file."""
    count = 0
    for number, row in _rows(path):
        if not isinstance(row, dict):
            raise UserError(
                f"{path} row {number} is {short(row)}, not a mapping of columns to values. "
                "Hint: a jsonl file has one JSON object per line, a json file a list of them."
            )
        count += 1
        yield number, row
    if not count:
        raise UserError(f"{path} contains no rows. Hint: download or convert the file again.")


def _rows(path: Path) -> Iterator[tuple[int, object]]:
    match path.suffix:
        case ".jsonl":
            # Bytes, so that a line separator inside a text does not end its line.
            with open(path, "rb") as lines:
                for number, line in enumerate(lines, start=1):
                    if line.strip():
                        where = f"{path} line {number}"
                        yield number, _parse_json(_decode(line, where), where)
        case ".json":
            rows = _parse_json(_decode(path.read_bytes(), str(path)), str(path))
            if not isinstance(rows, list):
                raise UserError(
                    f"{path} contains {short(rows)}, not a list of rows. "
                    "Hint: write the rows as one JSON list, or as jsonl."
                )
            yield from enumerate(rows, start=1)
        case ".parquet":
            yield from enumerate(_parquet_rows(path), start=1)
        case ".csv":
            yield from enumerate(_csv_rows(path), start=1)


def _parquet_rows(path: Path) -> Iterator[dict]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # In batches, since DAPO-Math-17k has 1.8 million rows.
        for batch in pq.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(
            f"{path} is not a whole parquet file ({_line(error)}). "
            "Hint: download or convert it again."
        ) from error
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} is a parquet file that cannot be read ({type(error).__name__}: "
            f"{_line(error)}). Hint: write it again with smaller row groups, or as jsonl."
        ) from error


def _csv_rows(path: Path) -> list[dict]:
    import pandas as pd

    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf8(str(path), error) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UserError(
            f"{path} is not a whole csv file ({error}). Hint: download or convert it again."
        ) from error
    for column in NESTED_COLUMNS & set(frame):
        where = f"{path} column {column}"
        frame[column] = [
            _parse_json(text, where) if text[:1] in ("{", "[") else text for text in frame[column]
        ]
    return frame.to_dict("records")


def _decode(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf8(where, error) from error


def _not_utf8(where: str, error: UnicodeDecodeError) -> UserError:
    byte = error.object[error.start : error.start + 1].hex()
    return UserError(
        f"{where} is not UTF-8: byte 0x{byte} at position {error.start}. "
        "Hint: convert the file, for instance with iconv -f latin1 -t utf-8, or download it again."
    )


def _parse_json(text: str, where: str) -> object:
    try:
        value = json.loads(text)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise UserError(
            f"{where} is not JSON ({error}). Hint: download or convert the file again."
        ) from error
    except UnicodeEncodeError as error:
        half = ascii(error.object[error.start])
        raise UserError(
            f"{where} contains half a character ({half}), which no file can store. "
            "Hint: correct or remove the row, or download the file again."
        ) from error
    return value


def _line(error: Exception) -> str:
    """The error's message on one line."""
    return " ".join(str(error).split())


def short(value: object) -> str:
    """The value as JSON, cut to 60 characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
