"""Draw one figure of the registry.

python -m lens_impl.report.figures figure5_math_dapo --results results/tiny --runs NAME... \\
    --out-pdf X.pdf --out-png X.png
"""

import argparse
from pathlib import Path

from lens_impl.errors import run_cli
from lens_impl.files import write_atomically
from lens_impl.report import registry
from lens_impl.report.figures.style import context
from lens_impl.results import add_arguments, from_arguments


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m lens_impl.report.figures", description=__doc__.splitlines()[0]
    )
    parser.add_argument("figure", help=f"{', '.join(registry.FIGURES)} or pass_at_k_<set>")
    add_arguments(parser)
    parser.add_argument("--out-pdf", type=Path, required=True)
    parser.add_argument("--out-png", type=Path, required=True)
    arguments = parser.parse_args()
    with context():
        figure = registry.figure(arguments.figure)(from_arguments(arguments))
        # No creation date, so that the same files give the same bytes.
        write_atomically(
            arguments.out_pdf, lambda path: figure.savefig(path, metadata={"CreationDate": None})
        )
        write_atomically(arguments.out_png, lambda path: figure.savefig(path))


if __name__ == "__main__":
    run_cli(main)
