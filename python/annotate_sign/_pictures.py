"""Pictures: which expression a face shows, and where faces are.

One process of the program stays and answers over pipes (``annotate pictures``). docs/benchmarks.md says what the pipes cost beside calling the
library from within the interpreter: next to nothing, as samples travel at gigabytes a second and a face takes a tenth of a
millisecond to classify.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

from . import _program

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

#: Bytes of one question; the program takes up to 256 MiB.
_MOST = 64 << 20


@dataclass(frozen=True)
class Face:
    """A face that was found."""

    #: An upright square about the face, ``(x, y, width, height)`` in pixels from the picture's top left corner.
    box: Tuple[float, float, float, float]
    #: Rarely below 1, likely a face from 2, almost certainly a face from 5.
    score: float
    #: In-plane turn of the head, degrees clockwise.
    roll_degrees: float


def classify(crops: "NDArray[numpy.uint8]", **settings: Any) -> "NDArray[numpy.float32]":
    """Probabilities ``[n, 7]``, in the order of :data:`CLASSES`, of ``n`` pictures of faces that are cut out already.

    Args:
        crops: ``[n, height, width]`` or ``[n, height, width, 1]`` (grey) or ``[n, height, width, 3]`` (red, green, blue), unsigned 8-bit,
            from above the brows to the chin as :func:`detect` draws its squares. They are resized and converted as the model
            wants them, as ``annotate evaluate`` does it.
        settings: ``model``, ``device``, ``threads``, ``batch_size``, ``precision``.
    """
    import numpy

    crops = _pictures(crops)
    if crops.ndim == 3:
        crops = crops[..., None]
    if crops.ndim != 4:
        raise ValueError(f"crops have the shape {crops.shape}; [n, height, width] or [n, height, width, 1 or 3] is wanted")
    count, height, width, channels = crops.shape
    if count == 0:
        return numpy.zeros((0, 7), numpy.float32)
    together = max(1, _MOST // max(1, height * width * channels))
    parts = []
    with _asked(settings) as asked:
        for first in range(0, count, together):
            part = numpy.ascontiguousarray(crops[first : first + together])
            question = {"do": "classify", "count": len(part), "width": width, "height": height, "channels": channels}
            answer, data = asked.ask(question, part)
            parts.append(numpy.frombuffer(data, "<f4").reshape(-1, 7))
    return numpy.concatenate(parts).astype(numpy.float32, copy=False)


def detect(image: "NDArray[numpy.uint8]", *, min_face: Optional[float] = None, **settings: Any) -> List[Face]:
    """The faces in one picture, the surest first.

    Args:
        image: ``[height, width]`` (grey) or ``[height, width, 3]`` (red, green, blue), unsigned 8-bit.
        min_face: smallest face looked for, as a share of the picture's shorter side; 0.1 if not given.
        settings: ``detector``, ``detector_model``.
    """
    import numpy

    image = _pictures(image)
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3:
        raise ValueError(f"the image has the shape {image.shape}; [height, width] or [height, width, 3] is wanted")
    height, width, channels = image.shape
    question: Dict[str, Any] = {"do": "detect", "width": width, "height": height, "channels": channels}
    if min_face is not None:
        question["min_face"] = min_face
    with _asked(settings) as asked:
        answer, _ = asked.ask(question, numpy.ascontiguousarray(image))
    return [Face(tuple(face["box"]), face["score"], face["roll_degrees"]) for face in answer["faces"]]


def _pictures(values: Any) -> Any:
    import numpy

    values = numpy.asarray(values)
    if values.dtype != numpy.uint8:
        raise TypeError(f"samples are {values.dtype}; unsigned 8-bit (numpy.uint8, 0 to 255) is wanted")
    return values


class _Asked:
    """A process of the program that answers."""

    def __init__(self, line: List[str]) -> None:
        self.lock = threading.Lock()
        #: After a fork, the pipes are the parent's.
        self.owner = os.getpid()
        #: The seconds that the program took for the last answer, without the pipes.
        self.compute_s = 0.0
        self._said = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [str(_program.program()), "pictures", *line],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            start_new_session=os.name == "posix",
        )

    def __enter__(self) -> "_Asked":
        self.lock.acquire()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None and not (isinstance(kind, type) and issubclass(kind, _program.UsageError)):
            # Half a question or answer may be in the pipes.
            self.close()
        self.lock.release()

    def ask(self, question: Dict[str, Any], samples: Any) -> Tuple[Dict[str, Any], bytes]:
        to, answers = self._process.stdin, self._process.stdout
        assert to is not None and answers is not None
        try:
            to.write(json.dumps(question).encode() + b"\n")
            to.write(memoryview(samples).cast("B"))
            to.flush()
            line = answers.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            raise self._failure()
        answer = json.loads(line)
        if "error" in answer:
            raise _program.UsageError(answer["error"])
        self.compute_s = answer["compute_s"]
        size = answer.get("probabilities", 0)
        data = answers.read(size)
        if len(data) != size:
            raise self._failure()
        return answer, data

    def is_alive(self) -> bool:
        return self.owner == os.getpid() and self._process.poll() is None

    def close(self) -> None:
        if self.owner != os.getpid():
            return
        for pipe in (self._process.stdin, self._process.stdout):
            try:
                if pipe:
                    pipe.close()
            except BrokenPipeError:
                pass
        self._process.terminate()
        self._process.wait()

    def _failure(self) -> _program.AnnotateError:
        code = self._process.wait()
        self._said.seek(0)
        return _program.error(code, self._said.read().decode(errors="replace"))


_processes: Dict[Tuple[str, ...], _Asked] = {}
_guard = threading.Lock()


def _asked(settings: Dict[str, Any]) -> _Asked:
    """The process with these settings, started where there is none."""
    line = _program.options(settings)
    key = (str(_program.program()), *line)
    with _guard:
        asked = _processes.get(key)
        if asked is None or not asked.is_alive():
            asked = _processes[key] = _Asked(line)
        return asked


@atexit.register
def _close_all() -> None:
    for asked in _processes.values():
        asked.close()
    _processes.clear()
