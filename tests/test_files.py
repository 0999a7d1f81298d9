"""Files and folders are whole or absent; a file that grows is read up to its last whole line."""

import pytest

from lens_impl.files import append_jsonl, read_growing_jsonl, whole_folder, write_text


def test_a_folder_takes_its_place_when_it_is_whole(tmp_path):
    folder = tmp_path / "deeper" / "model"
    for content in ("first", "second"):
        with whole_folder(folder) as new:
            (new / content).touch()
        assert [path.name for path in folder.iterdir()] == [content]
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_failure_leaves_the_folder_as_it_was(tmp_path):
    with whole_folder(tmp_path / "model") as new:
        (new / "first").touch()
    with pytest.raises(KeyError), whole_folder(tmp_path / "model") as new:
        (new / "second").touch()
        raise KeyError
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == [
        "model",
        "model/first",
    ]


def test_what_a_killed_process_left_does_not_get_into_the_folder(tmp_path):
    with whole_folder(tmp_path / "model") as new:
        left_over = new
    left_over.mkdir()
    (left_over / "half").touch()
    with whole_folder(tmp_path / "model") as new:
        assert new == left_over
        (new / "whole").touch()
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["whole"]


def test_a_failed_write_leaves_the_file_as_it_was(tmp_path):
    write_text(tmp_path / "a.txt", "whole")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "a.txt", "half \ud800")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "whole"


def test_a_growing_file_is_read_up_to_its_last_whole_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert read_growing_jsonl(path) == []
    append_jsonl(path, {"step": 1})
    append_jsonl(path, {"step": 2})
    with open(path, "a") as lines:
        lines.write('{"step": 3')
    assert read_growing_jsonl(path) == [{"step": 1}, {"step": 2}]
