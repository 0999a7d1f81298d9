"""Write one table of the registry.

python -m lens_impl.report.tables table1 --results results/tiny --runs NAME... \\
    --out-csv X.csv --out-md X.md --out-tex X.tex
"""

import argparse
from pathlib import Path

from lens_impl.errors import UserError, run_cli
from lens_impl.files import write_csv, write_text
from lens_impl.report import registry
from lens_impl.report.page import Page
from lens_impl.results import add_arguments, from_arguments


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m lens_impl.report.tables", description=__doc__.splitlines()[0]
    )
    parser.add_argument("table", help=f"{', '.join(registry.TABLES)} or pass_at_k_<set>")
    add_arguments(parser)
    parser.add_argument("--out-csv", type=Path, required=True, help="fractions, all levels")
    parser.add_argument("--out-md", type=Path, required=True)
    parser.add_argument("--out-tex", type=Path, help="of the paper's tables alone")
    arguments = parser.parse_args()
    page: Page = registry.table(arguments.table)(from_arguments(arguments))
    write_csv(arguments.out_csv, page.rows)
    write_text(arguments.out_md, page.markdown)
    if arguments.out_tex:
        if page.latex is None:
            raise UserError(f"--out-tex: {arguments.table} has no LaTeX form. Hint: leave it out.")
        write_text(arguments.out_tex, page.latex)
    if page.faults:
        print(page.markdown)  # into the log: Snakemake removes the files of a command that fails
        raise UserError(
            f"{arguments.table} is incomplete: {' '.join(page.faults)} "
            "Hint: delete the damaged file and run the workflow again; it is made again."
        )


if __name__ == "__main__":
    run_cli(main)
