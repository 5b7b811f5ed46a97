"""Where the program is, how settings become its options, and what its exit codes mean."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any, Iterable, Mapping


class AnnotateError(Exception):
    """The program refused or failed; ``code`` is its exit code, the text what it said."""

    code: int = 1

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class UsageError(AnnotateError):
    """The settings make no sense (2)."""

    code = 2


class InputError(AnnotateError):
    """The input is missing, no video, or damaged beyond use (3)."""

    code = 3


class ConfigurationError(AnnotateError):
    """The model or the configuration is refused (5)."""

    code = 5


class OutputError(AnnotateError):
    """An output cannot be written, or is kept because somebody has changed it (6)."""

    code = 6


class LimitError(AnnotateError):
    """A limit was reached (7)."""

    code = 7


class TemporaryError(AnnotateError):
    """It could not be done now; trying again may help (75)."""

    code = 75


class PartialWarning(UserWarning):
    """The timeline is there but partial; ``timeline.summary['incomplete_because']`` says why."""


_ERRORS = {error.code: error for error in AnnotateError.__subclasses__()}

#: The exit code of a result that is written but partial.
PARTIAL = 4


def program() -> Path:
    """The path of the program ``annotate``.

    ``ANNOTATE_PROGRAM`` if it is set; else the one that was installed with this module; else the first on the ``PATH``.

    Raises:
        FileNotFoundError: if there is none.
    """
    named = os.environ.get("ANNOTATE_PROGRAM")
    if named:
        return Path(named)
    name = "annotate.exe" if os.name == "nt" else "annotate"
    folders = [sysconfig.get_path("scripts"), os.path.dirname(sys.executable)]
    if sys.version_info >= (3, 10):
        folders.append(sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user")))
    # `pip install --target FOLDER` puts programs into FOLDER/bin.
    folders.append(str(Path(__file__).resolve().parent.parent / "bin"))
    for folder in folders:
        path = Path(folder) / name
        if path.is_file():
            return path
    found = shutil.which(name)
    if found:
        return Path(found)
    raise FileNotFoundError(
        "the program 'annotate' is neither beside this Python nor on the PATH; install the wheel 'annotate-sign', or set "
        "ANNOTATE_PROGRAM"
    )


def version() -> str:
    """What ``annotate --version`` says, without the name."""
    return run(["--version"]).stdout.decode().split()[-1]


def options(settings: Mapping[str, Any], refused: Iterable[str] = ()) -> list[str]:
    """Settings as options: ``min_face=0.2`` is ``--min-face=0.2``, ``True`` a flag, a list a list with commas, ``None`` nothing."""
    line = []
    for name, value in settings.items():
        if name in refused:
            raise UsageError(f"{name!r} is not a setting here: this function sees to it itself")
        option = "--" + name.replace("_", "-")
        if value is None or value is False:
            continue
        if value is True:
            line.append(option)
        elif isinstance(value, (list, tuple)):
            line.append(f"{option}={','.join(map(str, value))}")
        else:
            line.append(f"{option}={os.fspath(value) if isinstance(value, os.PathLike) else value}")
    return line


def run(line: list[str]) -> subprocess.CompletedProcess[bytes]:
    """Runs the program to its end.

    Raises:
        AnnotateError: if it does not end well; the class says how.
    """
    ended = subprocess.run([str(program()), *line], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if ended.returncode != 0:
        raise error(ended.returncode, ended.stderr.decode(errors="replace"))
    return ended


def error(code: int, said: str) -> AnnotateError:
    """The error for an exit code and what was said on standard error."""
    lines = [line for line in said.splitlines() if line.strip()]
    for beginning in ("annotate: ", "error: "):
        told = [line[len(beginning) :] for line in lines if line.startswith(beginning)]
        if told:
            break
    else:
        told = lines[-3:] or [f"the program ended with code {code} and said nothing"]
    message = "\n".join(told)
    return _ERRORS.get(code, AnnotateError)(message, code)
