"""Models of the hub, from a cache laid out as huggingface_hub does it; nothing is downloaded."""

import sys

import pytest

from lens_impl.errors import UserError
from lens_impl.models import hub
from lens_impl.models.prompts import chat_template
from lens_impl.models.toy import make_tokenizer

REPO, REVISION = "owner/model", "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A model in a cache, and a process that may not go online."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    snapshot = tmp_path / "hub" / "models--owner--model" / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    blobs = snapshot.parent.parent / "blobs"
    blobs.mkdir()
    make_tokenizer().save_pretrained(blobs)
    (blobs / "config.json").write_text("{}")
    (blobs / "model.safetensors").write_text("model.safetensors")
    for file in blobs.iterdir():
        (snapshot / file.name).symlink_to(file)
    return tmp_path


def fetch(monkeypatch, folder, repo=REPO):
    values = ["--repo", repo, "--revision", REVISION, "--template", "qwen"]
    values += ["--out", str(folder)]
    monkeypatch.setattr(sys, "argv", ["hub", *values])
    hub.main()


def test_a_model_folder_links_to_the_cache(cache, monkeypatch):
    folder = cache / "results" / "model"
    fetch(monkeypatch, folder)
    assert (folder / "model.safetensors").read_text() == "model.safetensors"
    assert (folder / "model.safetensors").is_symlink()
    fetch(monkeypatch, folder)
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_the_folder_gets_the_template_and_the_cache_keeps_its_own(cache, monkeypatch):
    from transformers import AutoTokenizer

    blobs = cache / "hub" / "models--owner--model" / "blobs"
    before = {file.name: file.read_bytes() for file in blobs.iterdir()}
    fetch(monkeypatch, cache / "results" / "model")
    tokenizer = AutoTokenizer.from_pretrained(cache / "results" / "model")
    assert tokenizer.chat_template == chat_template("qwen", None)
    assert {file.name: file.read_bytes() for file in blobs.iterdir()} == before


def test_what_is_not_in_the_cache_says_how_to_get_it_there(cache, monkeypatch):
    with pytest.raises(UserError, match="hf download owner/other --revision 0123"):
        fetch(monkeypatch, cache / "results" / "other", "owner/other")
    assert not (cache / "results").exists()
