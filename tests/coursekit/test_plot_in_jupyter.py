"""Figures in a real Jupyter kernel: each is shown once, by its own cell."""

import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook


@pytest.mark.slow
def test_every_figure_is_shown_once_by_its_own_cell():
    cells = [
        "import matplotlib.pyplot as plt\nimport torch\nfrom coursekit import plot",
        "plot.images(torch.rand(4, 8, 8))",
        "_, axes = plt.subplots(1, 2)",
        "plt.plot([1, 2]);",
        "plot.images(torch.rand(4, 8, 8));",
    ]
    notebook = new_notebook(cells=[new_code_cell(source) for source in cells])
    NotebookClient(notebook, timeout=120).execute()
    pictures = [
        sum("image/png" in output.get("data", {}) for output in cell.outputs) for cell in notebook.cells
    ]
    assert pictures == [0, 1, 1, 1, 0]
