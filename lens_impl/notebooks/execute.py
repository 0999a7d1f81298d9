"""Execute a notebook and keep it as a page."""

import argparse
import os
from pathlib import Path
from tempfile import TemporaryDirectory

from lens_impl.errors import UserError, run_cli
from lens_impl.files import ROOT, write_text
from lens_impl.notebooks.views import VARIABLE

# In seconds. nbclient's own limits are for an idle machine.
PATIENCE = {"startup_timeout": 300, "timeout": 600}


def execute(notebook: Path, results: Path, out: Path) -> None:
    """Run a notebook on results/{scale} and write it as HTML; UserError where a cell fails."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    from nbconvert import HTMLExporter

    from lens_impl.notebooks.kernel import PollingClient

    os.environ[VARIABLE] = str(results.resolve())
    executed = nbformat.read(notebook, as_version=4)
    where = {"metadata": {"path": str(ROOT)}}
    client = NotebookClient(executed, resources=where, **PATIENCE)
    client.create_kernel_manager().client_factory = PollingClient
    with TemporaryDirectory() as sockets:
        # Sockets in the file system: a TCP port would be open to every user of the machine. In a
        # folder of their own: by default all kernels that start at once take the same names.
        client.km.transport, client.km.ip = "ipc", f"{sockets}/kernel"
        try:
            client.execute()
        except CellExecutionError as error:
            raise UserError(f"{notebook}: {error.evalue}") from error
    html, _ = HTMLExporter(exclude_input_prompt=True).from_notebook_node(executed)
    write_text(out, html)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m lens_impl.notebooks.execute", description=__doc__
    )
    parser.add_argument("--notebook", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True, help="results/{scale}")
    parser.add_argument("--out", type=Path, required=True, help="the executed notebook as HTML")
    arguments = parser.parse_args()
    execute(arguments.notebook, arguments.results, arguments.out)


if __name__ == "__main__":
    run_cli(main)
