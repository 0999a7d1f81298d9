"""A figure as CONTRIBUTING.md asks for it: one function of results."""

import pandas as pd
from matplotlib.figure import Figure

from lens_impl.report.figures.style import panels
from lens_impl.results import Results


def response_length(results: Results) -> Figure:
    """Mean length of a response against step, one line per run."""
    figure, axes = panels(1, 1, (4.8, 3.2), 0.0, results)
    for run in results.runs:
        lines = pd.DataFrame(results.metrics(run.name))
        axes[0, 0].plot(lines["step"], lines["response_length"], label=run.name)
    return figure
