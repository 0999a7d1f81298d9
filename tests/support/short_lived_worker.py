"""The real grading worker, which asks to be replaced after its second answer."""

import sys
from multiprocessing.connection import Connection

from lens_impl.grading import worker

worker.GROWN_ANSWERS = 2

if __name__ == "__main__":
    worker.serve(Connection(int(sys.argv[1])))
