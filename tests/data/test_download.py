"""Downloads against a hub on this machine: whole or nothing, resumed, sentences for failures."""

import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lens_impl.data.sources import SOURCES, read_problems

SOURCE = SOURCES["math500_test"]
# 24 MB, since huggingface_hub writes pieces of 10 MB.
ROWS = [
    {
        "problem": f"What is ${n}+1$?" + " " * 80_000,
        "answer": str(n + 1),
        "level": 1,
        "subject": "A",
    }
    for n in range(300)
]
# What the hub says of every set; MATH-500 has a newer commit than the pinned one.
NEWEST = {source.hub: source.revision for source in SOURCES.values()} | {SOURCE.hub: "f" * 40}
CONTENT = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


class Hub(BaseHTTPRequestHandler):
    """The few answers of the hub that a download needs. The first download breaks off half-way."""

    content = CONTENT
    asked: list[str]
    broken_off: bool

    def do_GET(self):
        self.answer(with_body=True)

    def do_HEAD(self):
        self.answer(with_body=False)

    def answer(self, with_body: bool):
        self.server.asked.append((self.command, self.path, self.headers.get("Range")))
        if self.path.removeprefix("/api/datasets/") in NEWEST:
            hub = self.path.removeprefix("/api/datasets/")
            self.send(200, json.dumps({"id": hub, "sha": NEWEST[hub]}).encode(), {}, True)
        elif self.path.startswith(f"/api/datasets/{SOURCE.hub}/revision/{SOURCE.revision}"):
            info = {"id": SOURCE.hub, "sha": SOURCE.revision, "siblings": [], "private": False}
            self.send(200, json.dumps(info).encode(), {}, True)
        elif self.path.startswith(f"/api/datasets/{SOURCE.hub}/tree/{SOURCE.revision}"):
            sizes = {"README.md": 10, "test.jsonl": len(self.server.content)}
            files = [{"type": "file", "oid": "0", "path": p, "size": n} for p, n in sizes.items()]
            self.send(200, json.dumps(files).encode(), {}, True)
        elif self.path == f"/datasets/{SOURCE.hub}/resolve/{SOURCE.revision}/test.jsonl":
            self.send_file(with_body)
        else:
            self.send(404, b"", {"X-Error-Code": "RepoNotFound"}, with_body)

    def send_file(self, with_body: bool):
        headers = {"ETag": '"abc"', "X-Repo-Commit": SOURCE.revision, "Accept-Ranges": "bytes"}
        start = re.fullmatch(r"bytes=(\d+)-\d*", self.headers.get("Range") or "bytes=0-")
        start = int(start[1])
        part, size = self.server.content[start:], len(self.server.content)
        status = 206 if start else 200
        if start:
            headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        if with_body and not self.server.broken_off:
            self.server.broken_off = True
            self.send(status, part, headers, True, cut=len(part) // 2)
        else:
            self.send(status, part, headers, with_body)

    def send(self, status, body, headers, with_body, cut=None):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body[:cut])
        if cut is not None:
            self.close_connection = True

    def log_message(self, *arguments):
        pass


@pytest.fixture
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked, server.broken_off, server.content = [], False, CONTENT
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def environment(folder: Path, endpoint: str) -> dict[str, str]:
    hub = {"HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "hf"), "HF_HUB_DISABLE_XET": "1"}
    return os.environ | hub | {"HF_HUB_OFFLINE": "0", "no_proxy": "127.0.0.1"}


def fetch(folder: Path, endpoint: str, **changes: str) -> subprocess.CompletedProcess:
    code = (
        "import sys; from pathlib import Path; from lens_impl.data.download import fetch\n"
        "from lens_impl.errors import run_cli\n"
        "run_cli(lambda: fetch('math500_test', Path(sys.argv[1]), attempts=2, wait_s=0.1))"
    )
    return subprocess.run(
        [sys.executable, "-c", code, str(folder / "raw" / "math500_test")],
        env=environment(folder, endpoint) | changes,
        capture_output=True,
        text=True,
    )


def test_a_broken_download_resumes_where_it_was(hub, tmp_path):
    result = fetch(tmp_path, f"http://127.0.0.1:{hub.server_port}")
    assert result.returncode == 0, result.stderr
    folder = tmp_path / "raw" / "math500_test"
    assert (folder / "test.jsonl").read_bytes() == CONTENT
    assert json.loads((folder / "source.json").read_text())["revision"] == SOURCE.revision
    assert sorted(path.name for path in folder.parent.iterdir()) == ["math500_test"]
    assert len(list(read_problems(tmp_path / "raw", "math500_test"))) == 300
    ranges = [wanted for method, path, wanted in hub.asked if method == "GET" and wanted]
    assert ranges and all(int(wanted[6:-1]) > 0 for wanted in ranges)
    assert not any(path.endswith("README.md") for _, path, _ in hub.asked)


@pytest.mark.parametrize("offline", ["0", "1"])
def test_an_unreachable_hub_names_the_local_folder(tmp_path, offline):
    result = fetch(tmp_path, "http://127.0.0.1:9", HF_HUB_OFFLINE=offline)
    assert result.returncode == 2
    assert f"error: {SOURCE.hub}@{SOURCE.revision} could not be fetched" in result.stderr
    assert "set data.local_dir to it" in result.stderr
    assert ("again in" in result.stderr) == (offline == "0")
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "raw").exists()


def test_a_set_of_another_form_leaves_nothing(hub, tmp_path):
    hub.content = b'{"question": "What?"}\n'
    result = fetch(tmp_path, f"http://127.0.0.1:{hub.server_port}")
    assert result.returncode == 2
    assert "has no column 'problem' in test.jsonl, its columns are ['question']" in result.stderr
    assert not (tmp_path / "raw").exists()


def test_an_unknown_set_is_named():
    command = [sys.executable, "-m", "lens_impl.data.download", "fetch", "--set", "x", "--out", "y"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert "error: unknown set 'x'. Hint: the sets are math_train, math_test" in result.stderr


def test_pinned_and_newest_revisions(hub, tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "lens_impl.data.download", "pin"],
        env=environment(tmp_path, f"http://127.0.0.1:{hub.server_port}"),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    lines = dict(line.split(": ", 1) for line in result.stdout.splitlines())
    assert lines == {
        name: source.revision + (f", newest is {'f' * 40}" if name == "math500_test" else "")
        for name, source in SOURCES.items()
    }


def test_every_revision_is_a_full_commit():
    assert all(re.fullmatch("[0-9a-f]{40}", source.revision) for source in SOURCES.values())
