"""Pass@k on an evaluation set that the paper does not have, as a page."""

import pandas as pd

from lens_impl.comparison.evaluations import Evaluations, read_evaluations
from lens_impl.comparison.gains import pass_at_k_of_mixes
from lens_impl.evaluation.levels import ALL
from lens_impl.report.names import TOY, method_name, percent, warnings
from lens_impl.report.page import Page
from lens_impl.results import Results
from lens_impl.text import grid, p_value, wrap


def ks_of(results: Results) -> list[int]:
    """The k that an evaluation set was evaluated for."""
    return sorted({int(k) for name in results.evaluated for k in results.pass_at_k(name)["k"]})


def pass_at_k(results: Results) -> Page:
    """Pass@k of every method and its gain over GRPO, by mix and model."""
    ks = ks_of(results)
    found = read_evaluations(results, ks)
    rows = pass_at_k_of_mixes(found, ks)
    rows = rows[["mix", *(column for column in rows.columns if column != "mix")]]
    return Page(rows, _markdown(rows, found, results), faults=found.faults)


def _markdown(rows: pd.DataFrame, found: Evaluations, results: Results) -> str:
    parts = [f"# Pass@k on {results.evaluation_set}"]
    if results.toy:
        parts.append(f"**{TOY}**")
    parts += warnings(found)
    for (mix, model, level), part in rows.groupby(["mix", "model", "level"], sort=False):
        ks = list(dict.fromkeys(part["k"]))
        levels = "" if level == ALL else f", Levels {level}"
        problems, n = part["problems"].iloc[0], part["n"].iloc[0]
        passes, gains = part[part["versus"] == ""], part[part["versus"] != ""]
        cells = [_cells(method_name(method), of, ks) for method, of in _by_method(passes)]
        cells += [
            _cells(f"gain of {method_name(method)}", of, ks, "+")
            for method, of in _by_method(gains)
        ]
        parts += [
            f"## {model} on {mix}{levels}: {problems} problems x {n} samples per run",
            grid(["", "seeds", *map("Pass@{}".format, ks), "p"], cells),
        ]
    parts.append(
        wrap(
            "In %, gains over GRPO in points and paired by problem. ±: half of the 95 % interval "
            "over problems and, with several seeds, over seeds. p: of the gains, the smallest over "
            "k, corrected for all gains of a mix and model (Holm)."
        )
    )
    return "\n\n".join(parts) + "\n"


def _by_method(rows: pd.DataFrame):
    return rows.groupby("method", sort=False)


def _cells(name: str, rows: pd.DataFrame, ks: list[int], sign: str = "") -> list[str]:
    """One line of a table: name, seeds, estimate with half its interval per k, smallest p."""
    of_k = {row.k: percent(row, sign) for row in rows.itertuples()}
    smallest = rows["p_holm"].astype(float).min()
    p = "" if pd.isna(smallest) else p_value(smallest)
    return [name, rows["seeds"].iloc[0], *(of_k.get(k, "") for k in ks), p]
