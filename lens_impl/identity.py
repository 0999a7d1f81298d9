"""Hashes that are the same in every process."""

import hashlib
import json
from pathlib import Path


def fingerprint(*paths: Path) -> dict:
    """Size and time of every file, to notice that data or model have been made again."""
    files = [
        file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])
    ]
    return {str(file): [file.stat().st_size, file.stat().st_mtime_ns] for file in files}


def stable_hash(*parts: object) -> int:
    """A 63-bit integer from the text of `parts`, the same in every process (sha256)."""
    digest = hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
