"""Bad input ends with one sentence, and leaves nothing behind."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.source_rows import MATH, NUMINA

from lens_impl.data.sources import read_problems, set_files
from lens_impl.errors import UserError
from lens_impl.files import write_jsonl


def truncated_parquet(folder):
    pd.DataFrame([NUMINA] * 500).to_parquet(folder / "numina.parquet")
    content = (folder / "numina.parquet").read_bytes()
    (folder / "numina.parquet").write_bytes(content[: len(content) // 2])


def broken_pages(folder):
    pd.DataFrame([NUMINA | {"problem": f"{n} {n * n}"} for n in range(5000)]).to_parquet(
        folder / "numina.parquet"
    )
    content = bytearray((folder / "numina.parquet").read_bytes())
    content[200:2000] = b"\xff" * 1800
    (folder / "numina.parquet").write_bytes(content)


def text_that_is_not_utf8(folder):
    """Arrow writes the bytes of a text as they are, and checks them where they are read."""
    offsets, content = pa.py_buffer(np.array([0, 2], "int32")), pa.py_buffer(b"\xff\xfe")
    broken = pa.StringArray.from_buffers(1, offsets, content)
    columns = {name: [value] for name, value in NUMINA.items()} | {"problem": broken}
    pq.write_table(pa.table(columns), folder / "numina.parquet")


def write(name, content):
    return lambda folder: (folder / name).write_bytes(content)


ROW = json.dumps(NUMINA).encode()
LATIN = json.dumps(NUMINA | {"problem": "na\u00efve"}, ensure_ascii=False).encode("latin1")

BAD = {
    "truncated jsonl": (write("numina.jsonl", ROW + b"\n" + ROW[:40]), "line 2 is not JSON"),
    "truncated json": (write("numina.json", b"[" + ROW), "is not JSON"),
    "truncated parquet": (truncated_parquet, "is not a whole parquet file"),
    "broken parquet": (broken_pages, "is not a whole parquet file"),
    "text in parquet that is not UTF-8": (text_that_is_not_utf8, "cannot be read.*UnicodeDecode"),
    "half a character": (
        write("numina.jsonl", ROW + b"\n" + ROW.replace(b"What", b"\\ud835")),
        r"line 2 contains half a character \('\\ud835'\)",
    ),
    "truncated csv": (write("numina.csv", b'problem,answer\n"What,4'), "is not a whole csv file"),
    "mixed encodings": (
        write("numina.jsonl", ROW + b"\n" + LATIN),
        "line 2 is not UTF-8: byte 0xef at position.*iconv",
    ),
    "csv in latin1": (write("numina.csv", b"problem,answer\nna\xefve,4"), "is not UTF-8"),
    "wrong column": (
        write("numina.jsonl", json.dumps({"question": "q"}).encode()),
        r"row 1 is not a row of AI-MO/NuminaMath-1.5 \(problem, answer.*columns are \['question'\]",
    ),
    "no rows": (write("numina.jsonl", b"\n"), "contains no rows"),
    "an empty file": (write("numina.csv", b""), "is not a whole csv file"),
    "not rows": (write("numina.json", b'{"a": 1}'), "not a list of rows"),
    "lists as rows": (write("numina.jsonl", b"[1, 2]"), r"row 1 is \[1, 2\], not a mapping"),
    "without the set": (write("other.jsonl", ROW), "no file numina.*which contains other.jsonl"),
}


@pytest.mark.parametrize(("make", "words"), BAD.values(), ids=BAD)
def test_one_sentence(tmp_path, make, words):
    make(tmp_path)
    with pytest.raises(UserError, match=words) as error:
        list(read_problems(tmp_path, "numina"))
    assert "Hint: " in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["truncated parquet", "mixed encodings", "without the set"])
def test_nothing_is_left_behind(tmp_path, kind):
    raw = tmp_path / "raw"
    raw.mkdir()
    write_jsonl(raw / "math_train.jsonl", [MATH])
    write_jsonl(raw / "math_test.jsonl", [MATH | {"problem": "Another?"}])
    BAD[kind][0](raw)
    command = [sys.executable, "-m", "lens_impl.data.prepare", "mix", "--mix", "m", "--seed", "0"]
    command += ["--sizes", '{"math": null, "numina": 5}', "--evaluation-sets", '["math"]']
    command += ["--raw", str(raw), "--out", str(tmp_path / "out" / "m.parquet")]
    command += ["--report", str(tmp_path / "out" / "m.json"), "--out-md", str(tmp_path / "m.md")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw"]


def test_what_arrow_cannot_read_is_one_sentence(tmp_path, monkeypatch):
    """Nested columns beyond 2 GB are one such case, too large to be made here."""
    pd.DataFrame([NUMINA]).to_parquet(tmp_path / "numina.parquet")

    def refuse(_):
        raise pa.ArrowNotImplementedError("Nested data conversions not implemented")

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", refuse)
    with pytest.raises(UserError, match="cannot be read.*Nested data.*Hint: write it again"):
        list(read_problems(tmp_path, "numina"))


def test_whole_characters_in_two_halves_are_read(tmp_path):
    (tmp_path / "numina.jsonl").write_bytes(ROW.replace(b"What", b"\\ud835\\udc65"))
    (problem,) = read_problems(tmp_path, "numina")
    assert problem.text == "\U0001d465 is $2+2$?"


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    (tmp_path / "numina.jsonl").write_bytes(b"\xef\xbb\xbf" + ROW)
    assert [problem.answer for problem in read_problems(tmp_path, "numina")] == ["4"]


def test_a_folder_like_the_hubs_is_read_without_its_other_splits(tmp_path):
    folder = tmp_path / "math_train" / "data"
    folder.mkdir(parents=True)
    for split in ("train-00001-of-00002", "train-00000-of-00002", "test-00000-of-00001"):
        frame = pd.DataFrame([MATH | {"problem": f"{split}?"}])
        frame.to_parquet(folder / f"{split}.parquet")
    (tmp_path / "math_train" / "README.md").write_text("card")
    texts = [problem.text for problem in read_problems(tmp_path, "math_train")]
    assert texts == ["train-00000-of-00002?", "train-00001-of-00002?"]
    assert len(set_files(tmp_path, "math_train")) == 2
