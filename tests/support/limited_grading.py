"""Grade one answer under a hard limit of address space: MIB SCRIPT, the program of the worker."""

import resource
import sys
from pathlib import Path

from lens_impl.errors import run_cli
from lens_impl.grading.grader import grade
from lens_impl.grading.pool import Pool


def main() -> None:
    limit = int(sys.argv[1]) * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with Pool(size=1, script=Path(sys.argv[2])) as pool:
        print(grade("1/2", r"\boxed{0.5}", pool=pool).status)
        print(resource.prlimit(pool.idle[0].process.pid, resource.RLIMIT_AS))


if __name__ == "__main__":
    run_cli(main)
