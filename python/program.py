"""Puts the built program and its licences into the wheel, and says which systems the wheel is for.

The program is `target/dist/annotate` (`make dist`), or the file that ANNOTATE_WHEEL_PROGRAM names.
"""

import os
import re
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CHECKOUT = Path(__file__).resolve().parents[1]
#: Oldest C library for which a wheel's platform has a name of its own (PEP 600).
OLDEST_GLIBC = (2, 17)


class Program(BuildHookInterface):
    """The hook that hatchling calls."""

    def initialize(self, version, build_data):
        """Adds the program, its licences, and the wheel's tag."""
        named = os.environ.get("ANNOTATE_WHEEL_PROGRAM")
        program = Path(named) if named else CHECKOUT / "target/dist/annotate"
        if not program.is_file():
            raise FileNotFoundError(f"{program}: no program; `make dist` builds it")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform(program.read_bytes())}"
        build_data["shared_scripts"] = {str(program): "annotate"}
        for licence in licences():
            build_data["force_include"][str(licence)] = f"annotate_sign/licences/{licence.name}"


def licences():
    """The program's licence, and the texts and sources of what is linked into it."""
    named = ["LICENSE", "scripts/dist/sources.txt", "scripts/dist/LICENCES.md", "assets/font/DejaVu-LICENSE.txt"]
    return [CHECKOUT / name for name in named] + sorted((CHECKOUT / "target/dist/ffmpeg/licences").glob("*"))


#: Libraries that every Linux of PEP 600 has.
EVERYWHERE = {b"libc", b"libm", b"libdl", b"librt", b"libpthread", b"libgcc_s", b"ld-linux-x86-64"}


def platform(program):
    """The platform of an ELF program for x86-64, by the newest symbol version of glibc that it needs.

    A program that needs other libraries, such as a development build with the system's FFmpeg, is for this machine alone.
    """
    if program[:5] != b"\x7fELF\x02" or program[18:20] != b"\x3e\x00":
        raise ValueError("the program is not one for x86-64 Linux; wheels for other systems are not built yet")
    libraries = set(re.findall(rb"\x00(lib[\w+-]+|ld-linux-x86-64)\.so\.\d+(?=\x00)", program))
    if libraries - EVERYWHERE:
        return "linux_x86_64"
    needed = {tuple(map(int, version.split(b"."))) for version in re.findall(rb"\x00GLIBC_(\d+\.\d+)", program)}
    newest = max(needed | {OLDEST_GLIBC})
    return f"manylinux_{newest[0]}_{newest[1]}_x86_64"
