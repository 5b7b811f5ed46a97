"""The notebook in the documentation runs from its first cell to its last."""

import pytest
from conftest import CHECKOUT

NOTEBOOK = CHECKOUT / "docs/notebook.ipynb"


def test_the_notebook_runs(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    pytest.importorskip("pandas")
    pytest.importorskip("polars")
    if not NOTEBOOK.is_file():
        pytest.skip("no checkout around these tests")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "the notebook is kept without outputs"
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": tmp_path}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("<svg" in output.get("data", {}).get("text/html", "") for output in outputs)
    text = "".join(output.get("data", {}).get("text/plain", "") for output in outputs)
    assert "Segment(signer='A', label='neutral'" in text and "clip.eaf" in text
