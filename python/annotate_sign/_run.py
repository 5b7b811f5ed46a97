"""Annotating a video: all at once, or row by row while it runs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Union

from . import _program
from ._timeline import Timeline

#: What this module says itself.
_OURS = ("output", "format", "output_dir", "json", "quiet", "verbose", "progress", "merge_into", "overwrite")
#: How long the program may take to end once it was asked to.
_PATIENCE_S = 10
_PLAIN = re.compile(rb": \d+/(\d+) frames, ")

Path_ = Union[str, "os.PathLike[str]"]
Row = Dict[str, Any]


def annotate(path: Path_, *, progress: Optional[bool] = None, **settings: Any) -> Timeline:
    """Annotates the video at ``path``.

    Args:
        path: a file, or an address where ``allow_url=True``.
        progress: whether a bar is shown; if not given, in notebooks and terminals where ``tqdm`` is installed.
        settings: the command's options with underscores: ``start=60``, ``model="..."``, ``measures=["head", "brows"]``,
            ``max_faces=2``. ``annotate --help`` has all.

    Returns:
        The timeline. Where it is partial, a :class:`PartialWarning` says so, and ``timeline.complete`` is false.

    Raises:
        AnnotateError: its subclasses say whether input, settings, model or a limit is the reason.
    """
    with stream(path, progress=progress, **settings) as run:
        return run.timeline()


def stream(path: Path_, *, progress: Optional[bool] = False, **settings: Any) -> "Run":
    """Begins to annotate the video at ``path``; the rows come while it runs.

    >>> with annotate_sign.stream("corpus.mp4") as run:      # doctest: +SKIP
    ...     for row in run:
    ...         if row["status"] == "ok":
    ...             print(row["time_s"], row["signer"], row["label"], row["measures"]["yaw"])
    >>> timeline = run.timeline()                            # doctest: +SKIP

    A row is what a line of ``.jsonl`` holds (docs/columns.md): ``frame``, ``pts``, ``time_s``, ``status``, and where somebody is there
    ``track``, ``signer``, ``box``, ``probabilities``, ``label``, ``measures``. The measures of a running video are not yet relative
    to the signer's neutral face, which is known at the end; those of the timeline are.

    Leaving the ``with`` block early ends the program; Ctrl-C does, too.
    """
    return Run(path, progress, settings)


def demo(folder: Path_) -> Timeline:
    """Annotates the clip that is built in, into ``folder`` (demo.mp4 and results), and gives its timeline."""
    _program.run(["demo", "--output-dir", os.fspath(folder)])
    return Timeline.load(Path(folder) / "demo.json")


class Run:
    """A video being annotated: an iterator over rows, then a :meth:`timeline`."""

    #: The first line: ``media``, ``model``, ``settings``; known once the first row is there.
    header: Optional[Dict[str, Any]] = None

    def __init__(self, path: Path_, progress: Optional[bool], settings: Dict[str, Any]) -> None:
        line = _program.options(settings, refused=_OURS)
        name = os.fspath(path)
        # A lone dash would be standard input, which is the interpreter's.
        name = "./-" if name == "-" else name
        self._folder = tempfile.TemporaryDirectory(prefix="annotate-")
        self._file = Path(self._folder.name) / "labels.json"
        command = [str(_program.program()), "-o", "-.jsonl", "-o", str(self._file), "--progress=plain", *line, "--", name]
        self._said: list[bytes] = []
        self._timeline: Optional[Timeline] = None
        self._bar = _bar(progress, name)
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **_own_group()
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._rows = self._read()

    def __iter__(self) -> Iterator[Row]:
        return self

    def __next__(self) -> Row:
        # Once it was closed, whoever left early gets no more.
        if self._process.stdout is None or self._process.stdout.closed:
            raise StopIteration
        return next(self._rows)

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def timeline(self) -> Timeline:
        """The finished timeline; reads what rows are left."""
        for _ in self:
            pass
        if self._timeline is None:
            raise _program.AnnotateError("the run was ended before its timeline was there")
        return self._timeline

    def close(self) -> None:
        """Ends the program if it still runs."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._listener.join(_PATIENCE_S)
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __del__(self) -> None:
        if getattr(self, "_listener", None) is not None:
            self.close()
            if self._timeline is None:
                self._folder.cleanup()

    def _read(self) -> Iterator[Row]:
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                row = json.loads(line)
                if "frame" in row:
                    self._show(row["frame"] + 1)
                    yield row
                elif self.header is None:
                    self.header = row
            code = self._process.wait()
        except BaseException:
            # Ctrl-C in a cell, or a consumer that gives up.
            self.close()
            raise
        self.close()
        said = b"".join(self._said).decode(errors="replace")
        if code not in (0, _program.PARTIAL):
            self._folder.cleanup()
            raise _program.error(code, said)
        self._timeline = Timeline.load(self._file, folder=self._folder)
        if code == _program.PARTIAL:
            warnings.warn(str(_program.error(code, said)), _program.PartialWarning, stacklevel=3)

    def _listen(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            for line in stream:
                total = _PLAIN.search(line)
                if total is None:
                    self._said.append(line)
                elif self._bar is not None:
                    self._bar.total = int(total.group(1))

    def _show(self, frames: int) -> None:
        if self._bar is not None and frames > self._bar.n:
            self._bar.update(frames - self._bar.n)


def _own_group() -> Dict[str, Any]:
    """Ctrl-C in a terminal goes to us, and we end the program: it need not end twice."""
    return {"start_new_session": True} if os.name == "posix" else {}


def _bar(progress: Optional[bool], name: str) -> Any:
    if progress is False:
        return None
    if progress is None and "ipykernel" not in sys.modules and not sys.stderr.isatty():
        return None
    try:
        from tqdm.auto import tqdm
    except ImportError:
        if progress:
            raise
        return None
    return tqdm(unit="frame", desc=Path(name).name)
