"""The timeline: what a video's annotation says, as lists, tables and a picture."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Union

from . import _program
from ._display import html

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

#: The classes, in the order of all probabilities.
CLASSES = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger")

#: What a table can be about.
_TABLES = ("frames", "segments", "events")


@dataclass(frozen=True)
class Segment:
    """A stretch of one expression. Times are seconds of container time; the end is the end of the last frame."""

    signer: str
    label: str
    start_s: float
    end_s: float
    first_frame: int
    last_frame: int
    #: How steady the label is among its neighbours; ``None`` where a person decided. Not the chance that it is right.
    confidence: Optional[float]
    #: Mean of what the model itself gave the label in single pictures.
    raw_probability: Optional[float]


@dataclass(frozen=True)
class Event:
    """Something the face does for a while: ``blink``, ``brows_raised``, ``nod`` and so on (docs/measures.md)."""

    signer: str
    kind: str
    start_s: float
    end_s: float
    first_frame: int
    last_frame: int
    #: The measure's most extreme value, where the kind has one.
    peak: Optional[float]


class Timeline:
    """One video's annotation, as ``labels.json`` holds it (``data``; its schema is what ``annotate schema`` prints)."""

    def __init__(self, data: Dict[str, Any], file: Path, folder: Optional["tempfile.TemporaryDirectory[str]"] = None) -> None:
        #: The parsed ``labels.json``.
        self.data = data
        self._file = file
        # Where the file lies in a folder of ours, it lives as long as the timeline.
        self._folder = folder

    def __del__(self) -> None:
        folder = getattr(self, "_folder", None)
        if folder is not None:
            folder.cleanup()

    @classmethod
    def load(
        cls, path: Union[str, "os.PathLike[str]"], *, folder: Optional["tempfile.TemporaryDirectory[str]"] = None
    ) -> "Timeline":
        """Reads a ``labels.json``."""
        with open(path, encoding="utf-8") as file:
            return cls(json.load(file), Path(path), folder)

    @property
    def complete(self) -> bool:
        """Whether every frame of the video is there undamaged."""
        return bool(self.data["complete"])

    @property
    def media(self) -> Dict[str, Any]:
        """Path, size, rate, number of frames, duration."""
        return dict(self.data["media"])

    @property
    def model(self) -> Dict[str, Any]:
        """Name and SHA-256 of the model."""
        return dict(self.data["model"])

    @property
    def settings(self) -> Dict[str, Any]:
        """All effective settings."""
        return dict(self.data["settings"])

    @property
    def summary(self) -> Dict[str, Any]:
        """Counts, damage, and why the timeline is not complete."""
        return dict(self.data["summary"])

    @property
    def signers(self) -> List[str]:
        """What the signers are called."""
        return [signer(track) for track in self.data["tracks"]]

    def __len__(self) -> int:
        """Number of frames of the video."""
        return len(self.data["frames"]["pts"])

    def segments(self, who: Optional[str] = None) -> List[Segment]:
        """The stretches of one expression, in order of time; of all signers if not of one."""
        found = [
            Segment(
                name,
                segment["label"],
                segment["start_s"],
                segment["end_s"],
                segment["first_frame"],
                segment["last_frame"],
                segment.get("confidence"),
                segment.get("raw_probability"),
            )
            for name, track in self._tracks(who)
            for segment in track["segments"]
        ]
        return sorted(found, key=lambda segment: (segment.first_frame, segment.signer))

    def events(self, kind: Optional[str] = None, who: Optional[str] = None) -> List[Event]:
        """What the faces do, in order of time: all kinds if not one, of all signers if not of one."""
        found = [
            Event(
                name,
                event["kind"],
                event["start_s"],
                event["end_s"],
                event["first_frame"],
                event["last_frame"],
                event.get("peak"),
            )
            for name, track in self._tracks(who)
            for event in track.get("events", [])
            if kind is None or event["kind"] == kind
        ]
        return sorted(found, key=lambda event: (event.first_frame, event.signer, event.kind))

    def rows(self, who: Optional[str] = None) -> Iterator[Dict[str, Any]]:
        """A dictionary for each frame and signer, with measures relative to the signer's neutral face, and ``events``: the kinds
        that are under way in the frame."""
        frames = self.data["frames"]
        for name, track in self._tracks(who):
            under_way: Dict[int, List[str]] = {}
            for event in track.get("events", []):
                for frame in range(event["first_frame"], event["last_frame"] + 1):
                    under_way.setdefault(frame, []).append(event["kind"])
            for record in track["frames"]:
                frame = record["frame"]
                yield {
                    "track": track["id"],
                    "signer": name,
                    "pts": frames["pts"][frame],
                    "time_s": frames["time_s"][frame],
                    **record,
                    "events": under_way.get(frame, []),
                }

    def save(self, *paths: Union[str, "os.PathLike[str]"], overwrite: bool = False, **settings: Any) -> None:
        """Writes the timeline in the formats that the extensions say: .json, .eaf, .csv, .parquet, .vtt, .TextGrid and others.

        Files that somebody has changed are kept (:class:`OutputError`) unless ``overwrite``. ``settings`` are those of
        ``annotate convert``: ``tiers="dgs"``, ``merge_into="existing.eaf"``.
        """
        if not paths:
            return
        line = ["convert", str(self._file), "-q", *_program.options({"overwrite": overwrite, **settings})]
        _program.run([*line, *(f"--output={os.fspath(path)}" for path in paths)])

    def to_arrow(self, table: str = "frames") -> "pyarrow.Table":
        """An Arrow table: a row a frame and signer (``"frames"``, the columns of docs/columns.md), a segment or an event.

        What takes Arrow (polars, DuckDB, pandas with ``ArrowDtype``) takes it without copying.
        """
        import pyarrow
        from pyarrow import parquet

        if _checked(table) != "frames":
            return pyarrow.Table.from_pylist([vars(row) for row in self._list(table)], schema=_schema(table))
        with tempfile.TemporaryDirectory(prefix="annotate-") as folder:
            path = Path(folder) / "frames.parquet"
            self.save(path)
            # Read whole, as the file goes.
            return parquet.read_table(path)

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """The frames' table for anything that speaks Arrow's C stream interface: ``polars.DataFrame(timeline)``."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def to_pandas(self, table: str = "frames") -> "pandas.DataFrame":
        """A pandas frame: a row a frame and signer (``"frames"``), a segment (``"segments"``) or an event (``"events"``)."""
        import pandas

        if _checked(table) != "frames":
            columns = list(_COLUMNS[table])
            return pandas.DataFrame([vars(row) for row in self._list(table)], columns=columns)
        with tempfile.TemporaryDirectory(prefix="annotate-") as folder:
            try:
                import pyarrow  # noqa: F401  what pandas reads Parquet with
            except ImportError:
                path = Path(folder) / "frames.csv"
                self.save(path)
                # "neutral" is a label; nothing in these tables is called NA.
                return pandas.read_csv(path)
            path = Path(folder) / "frames.parquet"
            self.save(path)
            return pandas.read_parquet(path)

    def to_polars(self, table: str = "frames") -> "polars.DataFrame":
        """A polars frame: a row a frame and signer (``"frames"``), a segment (``"segments"``) or an event (``"events"``)."""
        import polars

        if _checked(table) != "frames":
            rows = [vars(row) for row in self._list(table)]
            kinds = {str: polars.String, float: polars.Float64, int: polars.Int64}
            return polars.DataFrame(rows, schema={name: kinds[kind] for name, kind in _COLUMNS[table].items()})
        with tempfile.TemporaryDirectory(prefix="annotate-") as folder:
            path = Path(folder) / "frames.parquet"
            self.save(path)
            return polars.read_parquet(path, memory_map=False)

    def _list(self, table: str) -> List[Any]:
        return self.segments() if table == "segments" else self.events()

    def _tracks(self, who: Optional[str]) -> Iterator[Any]:
        for track in self.data["tracks"]:
            name = signer(track)
            if who is None or name == who:
                yield name, track

    def _repr_html_(self) -> str:
        return html(self)

    def __repr__(self) -> str:
        media = self.data["media"]
        state = "" if self.complete else ", partial"
        return f"<Timeline of {media['path']}: {len(self)} frames, {media['duration_s']:.1f} s, signers {self.signers}{state}>"

    def __getstate__(self) -> Dict[str, Any]:
        return {"data": self.data}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.data = state["data"]
        self._folder = tempfile.TemporaryDirectory(prefix="annotate-")
        self._file = Path(self._folder.name) / "labels.json"
        with open(self._file, "w", encoding="utf-8") as file:
            json.dump(self.data, file)

    def copy_json(self, path: Union[str, "os.PathLike[str]"]) -> None:
        """Copies ``labels.json`` byte for byte, as the program wrote it."""
        shutil.copyfile(self._file, path)


def signer(track: Dict[str, Any]) -> str:
    """What a track's signer is called: by a person's name, else A to Z, AA and so on."""
    if track.get("name"):
        return str(track["name"])
    letters, rest = "", track["id"]
    while rest > 0:
        rest, letter = divmod(rest - 1, 26)
        letters = chr(ord("A") + letter) + letters
    return letters


#: Columns of the tables that are made here, with their types.
_COLUMNS: Dict[str, Dict[str, type]] = {
    "segments": {
        "signer": str,
        "label": str,
        "start_s": float,
        "end_s": float,
        "first_frame": int,
        "last_frame": int,
        "confidence": float,
        "raw_probability": float,
    },
    "events": {
        "signer": str,
        "kind": str,
        "start_s": float,
        "end_s": float,
        "first_frame": int,
        "last_frame": int,
        "peak": float,
    },
}


def _schema(table: str) -> Any:
    import pyarrow

    kinds = {str: pyarrow.string(), float: pyarrow.float64(), int: pyarrow.int64()}
    return pyarrow.schema([(name, kinds[kind]) for name, kind in _COLUMNS[table].items()])


def _checked(table: str) -> str:
    if table not in _TABLES:
        raise ValueError(f"{table!r} is none of {', '.join(_TABLES)}")
    return table
