"""Tables for pandas, polars and Arrow, and the picture in a notebook."""

import csv
import re
import subprocess
import sys

import pytest
from conftest import CHECKOUT

import annotate_sign
from annotate_sign import _display


@pytest.fixture(scope="module")
def expected(timeline, tmp_path_factory):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    timeline.save(path)
    with open(path) as file:
        return list(csv.DictReader(file))


def same(found, text):
    if text == "":
        return found is None or found != found
    if isinstance(found, float):
        return abs(found - float(text)) < 1e-9
    return str(found) == text


def check(rows, expected):
    assert len(rows) == len(expected)
    for row, wanted in zip(rows, expected):
        assert all(same(row[name], text) for name, text in wanted.items()), (row, wanted)


def test_pandas_has_the_table(timeline, expected):
    pandas = pytest.importorskip("pandas")
    frame = timeline.to_pandas()
    check(frame.to_dict("records"), expected)
    assert isinstance(frame, pandas.DataFrame) and "yaw" in frame.columns


WITHOUT_ARROW = """
import sys
sys.modules["pyarrow"] = None
import annotate_sign
frame = annotate_sign.Timeline.load(sys.argv[1]).to_pandas()
print(len(frame), ",".join(frame.columns))
"""


def test_pandas_has_it_without_arrow(folder, timeline, expected):
    pytest.importorskip("pandas")
    # In a process of its own, as pandas decides when it is imported.
    command = [sys.executable, "-c", WITHOUT_ARROW, folder / "demo.json"]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    assert found == [str(len(expected)), ",".join(expected[0])]


def test_polars_has_the_table(timeline, expected):
    pytest.importorskip("polars")
    check(timeline.to_polars().to_dicts(), expected)


def test_arrow_has_the_table_and_hands_it_on_without_copies(timeline, expected):
    pyarrow = pytest.importorskip("pyarrow")
    table = timeline.to_arrow()
    check(table.to_pylist(), expected)
    polars = pytest.importorskip("polars")
    frame = polars.from_arrow(table)
    # The same buffer, seen from both sides.
    column = frame["time_s"].to_arrow()
    addresses = {chunk.buffers()[1].address for chunk in table["time_s"].chunks}
    chunks = column.chunks if isinstance(column, pyarrow.ChunkedArray) else [column]
    assert {chunk.buffers()[1].address for chunk in chunks} <= addresses
    assert polars.DataFrame(timeline).height == len(expected)


@pytest.mark.parametrize("table", ["segments", "events"])
def test_segments_and_events_are_tables_too(timeline, table):
    rows = [vars(row) for row in getattr(timeline, table)()]
    assert rows
    if _has("pandas"):
        assert timeline.to_pandas(table).to_dict("records") == rows
    if _has("polars"):
        assert timeline.to_polars(table).to_dicts() == rows
    if _has("pyarrow"):
        assert timeline.to_arrow(table).to_pylist() == rows


def test_a_video_without_anybody_has_empty_tables_with_columns(timeline):
    import copy

    empty = annotate_sign.Timeline({**copy.deepcopy(timeline.data), "tracks": []}, timeline._file)
    assert empty.segments() == [] and empty.events() == [] and list(empty.rows()) == []
    assert empty._repr_html_().startswith("<div")
    if _has("pandas"):
        assert list(empty.to_pandas("segments").columns)[0] == "signer"
    if _has("polars"):
        assert empty.to_polars("events").columns[0] == "signer"
    if _has("pyarrow"):
        assert empty.to_arrow("events").num_rows == 0


def test_an_unknown_table_is_refused(timeline):
    pytest.importorskip("pandas")
    with pytest.raises(ValueError, match="frames, segments, events"):
        timeline.to_pandas("faces")


def test_the_picture_shows_every_segment_in_its_colour_and_no_name_runs_as_code(timeline):
    import copy
    from xml.etree import ElementTree

    data = copy.deepcopy(timeline.data)
    data["media"]["path"] = "<script>alert(1)</script>.mp4"
    data["tracks"][0]["name"] = "<b>Eve</b>"
    shown = annotate_sign.Timeline(data, timeline._file)._repr_html_()
    assert "<script>" not in shown and "<b>Eve" not in shown
    page = ElementTree.fromstring(shown)
    titles = [title.text for title in page.iter("title")]
    for segment in timeline.segments():
        assert any(t.startswith(f"{segment.label}, {segment.start_s:.2f} to {segment.end_s:.2f} s") for t in titles)
    assert {rect.get("fill") for rect in page.iter("rect")} >= {_display.COLOURS["happiness"]}


def test_colours_are_those_of_the_program():
    palette = CHECKOUT / "src/palette.rs"
    if not palette.is_file():
        pytest.skip("no checkout around these tests")
    found = re.findall(r"Expression::(\w+) => \((\d+), (\d+), (\d+)\)", palette.read_text())
    assert {name.lower(): "#%02x%02x%02x" % tuple(map(int, rgb)) for name, *rgb in found} == _display.COLOURS
    assert tuple(_display.COLOURS) == annotate_sign.CLASSES


def _has(name):
    import importlib.util

    return importlib.util.find_spec(name) is not None
