"""What a signer's face does, frame by frame, from sign-language video.

>>> import annotate_sign
>>> timeline = annotate_sign.annotate("corpus.mp4")          # doctest: +SKIP
>>> timeline.segments()[0]                                   # doctest: +SKIP
Segment(signer='A', label='happiness', start_s=1.52, end_s=3.76, ...)
>>> timeline.to_pandas().groupby("label").size()             # doctest: +SKIP

The work is done by the program ``annotate``, which lies in the same wheel and runs as a process of its own: its limit of memory, its
threads and its signals are not those of the interpreter. It is found beside the interpreter, or where ``ANNOTATE_PROGRAM`` says.
Nothing is sent anywhere.
"""

from ._pictures import Face, classify, detect
from ._program import (
    AnnotateError,
    ConfigurationError,
    InputError,
    LimitError,
    OutputError,
    PartialWarning,
    TemporaryError,
    UsageError,
    program,
    version,
)
from ._run import Run, annotate, demo, stream
from ._timeline import CLASSES, Event, Segment, Timeline

__all__ = [
    "CLASSES",
    "AnnotateError",
    "ConfigurationError",
    "Event",
    "Face",
    "InputError",
    "LimitError",
    "OutputError",
    "PartialWarning",
    "Run",
    "Segment",
    "TemporaryError",
    "Timeline",
    "UsageError",
    "annotate",
    "classify",
    "demo",
    "detect",
    "program",
    "stream",
    "version",
]
