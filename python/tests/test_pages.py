"""What the pages show in Python runs as it stands."""

import os
import shutil
import subprocess

import pytest
from conftest import CHECKOUT

import annotate_sign


def shown(page):
    """The Python of a page, a text each fence."""
    path = CHECKOUT / "docs" / page
    if not path.is_file():
        pytest.skip("no checkout around these tests")
    blocks = [block.split("```", 1)[0] for block in path.read_text().split("```python\n")[1:]]
    assert blocks, f"{page} shows no Python"
    return blocks


@pytest.fixture
def place(clip, tmp_path, monkeypatch):
    """A folder with the clip under the pages' names, in which they run."""
    (tmp_path / "corpus").mkdir()
    shutil.copy(clip, tmp_path / "corpus.mp4")
    shutil.copy(clip, tmp_path / "corpus" / "a.mp4")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_of_installing(place):
    numpy = pytest.importorskip("numpy")
    pytest.importorskip("pandas")
    pytest.importorskip("polars")
    pytest.importorskip("pyarrow")
    names = {"image": numpy.zeros((90, 120, 3), numpy.uint8), "crops": numpy.zeros((2, 48, 48), numpy.uint8)}
    for block in shown("install.md"):
        exec(compile(block, "install.md", "exec"), names)
    assert names["timeline"].complete
    assert (place / "corpus.eaf").is_file() and (place / "corpus.TextGrid").is_file()


def test_the_page_of_a_corpus(place):
    duckdb = pytest.importorskip("duckdb")
    batch = ["batch", "corpus", "-q", "--output-dir", "labels", "-f", "parquet"]
    subprocess.run([annotate_sign.program(), *batch], check=True, env=os.environ)
    # As in a notebook, where the last line's value is shown.
    (block,) = shown("tutorial_corpus.md")
    *before, last = block.strip().splitlines()
    names = {}
    exec("\n".join(before), names)
    rows = eval(last, names).fetchall()
    assert ("a.mp4", "A") in {(media, signer) for media, signer, *_ in rows} and duckdb
