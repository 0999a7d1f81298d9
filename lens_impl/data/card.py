"""The data card of a mix: what is in it, from where, and what was left out and why."""

import hashlib
import json
from pathlib import Path

from lens_impl.data.matching import NEAR
from lens_impl.data.sources import SOURCES, set_files
from lens_impl.text import grid

# What the reasons in a report's `dropped` mean.
REASONS = {
    "empty_answer": "no answer: an empty box, or an empty column",
    "empty_problem": "no problem text",
    "unusable_level": "a level other than 1 to 5 (MATH has two rows with `Level ?`)",
    "proof": "asks for a proof",
    "answer_not_found": "the set says `notfound`",
    "multiple_choice": "multiple choice whose answer is a letter, which can be guessed",
    "invalid_problem": "the set marks the problem as not valid",
    "invalid_solution": "the set marks the solution as not valid",
    "needs_picture": "shows or names a picture that is not in the text",
    "language": "in a language that data.languages leaves out",
    "in_evaluation_set": "an evaluation problem in some spelling",
    "near_evaluation_problem": "close to an evaluation problem in wording (Jaccard similarity of "
    f"word 3-grams at least {NEAR}), with the same numbers and the same answer",
    "duplicate_across_sources": "in an earlier source of this mix",
    "conflicting_answers": "one problem with different answers, all its rows",
    "duplicate": "a repeat within its source",
    "unparseable_answer": "Math-Verify does not accept the answer as its own equal",
    "misread_answer": "Math-Verify takes the answer for something else: it does not accept the "
    "same answer in a plainer spelling",
    "prompt_too_long": "longer than train.max_prompt_tokens for some model",
    "not_sampled": "usable, but more than asked",
}


def provenance(folder: Path, names: list[str]) -> dict[str, dict]:
    """Set -> whose columns it has, the revision that was downloaded, licence, sha256 of its files.

    Revision and licence are None where the files were not downloaded here (no source.json): their
    content is then their owner's word.
    """
    return {name: _origin(set_files(folder, name), name) for name in names}


def _origin(files: list[Path], name: str) -> dict:
    record = files[0].parent / "source.json"
    source = SOURCES.get(name)
    downloaded = json.loads(record.read_text()) if record.exists() else {}
    return {
        "columns_of": source.hub if source else None,
        "revision": downloaded.get("revision"),
        "licence": source.licence if source and downloaded else None,
        "sha256": {path.name: _sha256(path) for path in files},
    }


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def card(report: dict) -> str:
    """A report of `prepare_mix` for people, as markdown."""
    parts = {**report["sources"], "all": report}
    sections = [
        f"# Data card: {report['mix']}",
        f"{report['rows_out']:,} problems of {report['rows_in']:,} rows. Seed {report['seed']}; "
        f"languages {', '.join(report['languages'] or ['all'])}; kept apart from the evaluation "
        f"sets {', '.join(report['evaluation_sets'])}. sha256 `{report['sha256']}`.",
        *(f"Warning: {warning}." for warning in report["warnings"]),
        "## Rows",
        _table("", {name: _rows(part) for name, part in parts.items()}),
        "\n".join(f"- {reason}: {REASONS[reason]}" for reason in report["dropped"]),
        "## Levels",
        _table("level", {name: part["levels"] for name, part in parts.items()}),
        "Level 0: the set has none.",
        "## Types",
        _table("type", {name: part["types"] for name, part in parts.items()}),
        "## Prompt lengths",
        _lengths(report),
        "## Sources",
        _provenance(report["provenance"]),
    ]
    return "\n\n".join(sections) + "\n"


def _rows(part: dict) -> dict[str, int]:
    """What became of the rows of one source, or of all."""
    dropped = {f"dropped: {reason}": count for reason, count in part["dropped"].items()}
    return {"read": part["rows_in"], **dropped, "in the mix": part["rows_out"]}


def _table(title: str, counts: dict[str, dict[str, int]]) -> str:
    """Label -> count per source; "all" comes last and has every label."""
    rows = [
        [label or "(none)", *(f"{column.get(label, 0):,}" for column in counts.values())]
        for label in counts["all"]
    ]
    return grid([title, *counts], rows)


def _lengths(report: dict) -> str:
    tokens = report["prompt_tokens"]
    if not tokens:
        return "Not measured: no tokenizer was given."
    labels = list(next(iter(tokens.values())))
    rows = [[model, *(f"{row[label]:g}" for label in labels)] for model, row in tokens.items()]
    limit = report["max_prompt_tokens"]
    text = f"Tokens of a prompt in the model's own template; longest allowed: {limit}."
    return f"{text}\n\n{grid(['model', *labels], rows)}"


def _provenance(origins: dict[str, dict]) -> str:
    lines = []
    for name, origin in origins.items():
        hub = origin["columns_of"] or "no known set"
        if origin["revision"]:
            lines.append(f"- {name}: {hub}@{origin['revision']}; licence {origin['licence']}")
        else:
            lines.append(f"- {name}: local files in the columns of {hub}")
        lines += [f"  - {file} sha256 `{digest}`" for file, digest in origin["sha256"].items()]
    return "\n".join(lines)
