"""Write the generated tables of docs/methods.md, after a change of a method.

python -m lens_impl.advantages
"""

import inspect

from lens_impl.advantages import METHODS
from lens_impl.advantages.method import Method
from lens_impl.errors import UserError, run_cli
from lens_impl.files import ROOT, read_yaml, write_text

PAGE = ROOT / "docs" / "methods.md"


def page(text: str) -> str:
    """The page with its generated parts written again."""
    parts = {
        "advantages": _advantages(),
        "options": _options(),
        "deviations": _deviations(),
        "methods.yaml": _methods(read_yaml(ROOT / "config" / "methods.yaml")),
    }
    for name, part in parts.items():
        text = _replaced(text, name, part)
    return text


def _replaced(text: str, name: str, part: str) -> str:
    """The text with `part` between the comment of that name and its end."""
    head, start, rest = text.partition(
        f"<!-- {name}: written by python -m lens_impl.advantages -->\n"
    )
    _, end, tail = rest.partition("<!-- end -->")
    if not end:
        raise UserError(f"{PAGE} has no part {name!r}. Hint: git checkout -- {PAGE}")
    return f"{head}{start}\n{part}\n\n{end}{tail}"


def _advantages() -> str:
    header = ["advantage", "name", "paper", "all-wrong group", "mixed group", "all-correct group"]
    header += ["group of one", "deviations"]
    rows = [
        [
            f"`{method.name}`",
            method.title,
            _paper(method),
            method.all_wrong,
            method.mixed,
            method.all_correct,
            method.group_of_one,
            f"[{_file(method)}](#{_file(method).replace('.', '')})",
        ]
        for method in METHODS.values()
    ]
    return _table(header, rows)


def _options() -> str:
    """One row per option; methods that share it stand together."""
    takers: dict[tuple[str, ...], list[str]] = {}
    for method in METHODS.values():
        for option in method.options.values():
            default = "null" if option.default is None else str(option.default).lower()
            texts = (option.metadata["allowed"], option.metadata["help"])
            takers.setdefault((f"`{option.name}`", default, *texts), []).append(f"`{method.name}`")
    header = ["option", "of", "default", "allowed", "what it decides"]
    return _table(header, [[row[0], ", ".join(names), *row[1:]] for row, names in takers.items()])


def _deviations() -> str:
    """What each file's docstring says after its first line, under the file's name."""
    files = {_file(method): method for method in METHODS.values()}
    parts = []
    for file, method in files.items():
        first, _, rest = (inspect.getdoc(inspect.getmodule(method.function)) or "").partition("\n")
        parts.append(f"### {file}\n{first}\n{rest}".strip())
    return "\n\n".join(parts)


def _methods(methods: dict) -> str:
    header = ["method", "advantage", "options", "clip below", "clip above", "loss", "kept"]
    rows = []
    for name, method in methods.items():
        options = method.get("options", {}).items()
        kept = [method["keep"]] if "keep" in method else []
        kept += ["groups with both correct and wrong"] if "filter_groups" in method else []
        rows.append(
            [
                f"`{name}`",
                f"`{method['advantage']}`",
                ", ".join(f"{key} {str(value).lower()}" for key, value in options),
                *(str(method.get(key, "")) for key in ("clip_low", "clip_high", "loss")),
                ", ".join(kept),
            ]
        )
    return _table(header, rows)


def _file(method: Method) -> str:
    return method.function.__module__.rpartition(".")[2] + ".py"


def _paper(method: Method) -> str:
    paper = method.paper
    link = f"[{paper.arxiv}](https://arxiv.org/abs/{paper.arxiv})"
    return f"{paper.authors} {paper.year}, {link}"


def _table(header: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *rows])


def main() -> None:
    write_text(PAGE, page(PAGE.read_text(encoding="utf-8")))


if __name__ == "__main__":
    run_cli(main)
