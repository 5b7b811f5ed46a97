#!/usr/bin/env python3
"""What a corpus costs beyond its videos: benches/corpus.py ANNOTATE [PART...]

Parts (all of them if none is named): overhead, jobs, small, cuts. Prints processor time beside wall time, because wall
time means little while the machine has other work. docs/benchmarks.md has the results.
"""
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import time
from datetime import datetime

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
DATA = pathlib.Path(os.environ.get("ANNOTATE_DATA", REPOSITORY / "../shared/data"))
MINUTES, ROUNDS = 20, 2  # one-minute videos, and how often each way processes them
SMALL = 10_000  # files of a second
SHARDS = range(1, 17)


class Run:
    """One run of the program: wall and processor time (seconds), most memory (MiB), and samples (time, processor time, MiB)."""

    def __init__(self, *arguments, samples=False):
        began = time.time()
        command = [ANNOTATE, *map(str, arguments)]
        self.samples = []
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE if not samples else None)
        if samples:
            while os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                self.samples.append(self.sample(child.pid))
                time.sleep(0.05)
            talk = b""
        else:
            talk = child.stderr.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        self.wall, self.cpu = time.time() - began, usage.ru_utime + usage.ru_stime
        self.mib = usage.ru_maxrss / 1024
        if child.returncode:
            sys.exit(f"{' '.join(command)}: exit code {child.returncode}: {talk.decode(errors='replace')}")

    @staticmethod
    def sample(pid):
        # proc(5): behind the name in brackets, fields 14 and 15 are the processor time in ticks, 24 the pages resident.
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return time.time(), cpu, int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def __str__(self):
        return f"{self.cpu:.2f} s of processor time, {self.wall:.1f} s, at most {self.mib:.0f} MiB"


def ffmpeg(arguments, to):
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, arguments), to], check=True)


def clip(seconds, rate, to):
    """A signing person, looped and small; the bundled clip if the real one is missing."""
    real = DATA / "videos/dfki_testvideo.mp4"
    source = real if real.is_file() else REPOSITORY / "assets/demo/demo.mp4"
    scale = f"scale=-2:240,fps={rate}"
    encode = ["-c:v", "libx264", "-preset", "veryfast", "-g", "50", "-bf", "2", "-an"]
    ffmpeg(["-stream_loop", 99, "-i", source, "-t", seconds, "-vf", scale, *encode], to)
    print(f"{source.name}, 240 lines, {rate} frames/s, looped to {seconds} s")


def minutes(folder):
    """One-minute videos that differ, so that no work can be shared between them."""
    videos = folder / "minutes"
    if not videos.exists():
        clip(60, 10, folder / "minute.mp4")
        videos.mkdir()
        for number in range(MINUTES):
            name = videos / f"{number:02}.mp4"
            ffmpeg(["-i", folder / "minute.mp4", "-c", "copy", "-metadata", f"comment={number}"], name)
    return videos


def overhead(folder):
    """`batch` against the plain command, file by file, in turns."""
    videos = minutes(folder)
    for number in range(ROUNDS):
        plain = [Run(video, "-o", folder / f"{video.name}.json", "-q") for video in sorted(videos.iterdir())]
        batch = Run("batch", videos, "--jobs", 1, "-q", "--output-dir", folder / f"batch-{number}")
        cpu, wall = (sum(getattr(run, what) for run in plain) for what in ("cpu", "wall"))
        print(
            f"round {number + 1}: {MINUTES} plain runs {cpu:.2f} s of processor time, {wall:.1f} s; batch --jobs 1 {batch}: "
            f"{100 * (batch.cpu / cpu - 1):+.2f} % processor time, {100 * (batch.wall / wall - 1):+.2f} % wall"
        )
        for video in videos.iterdir():
            same = (folder / f"{video.name}.json").read_bytes() == (folder / f"batch-{number}/{video.name}.json").read_bytes()
            assert same, video


def jobs(folder):
    """Two videos at a time against one, in turns."""
    videos = minutes(folder)
    for number in range(ROUNDS):
        common = ["batch", videos, "--threads", 1, "-q", "--output-dir"]
        one = Run(*common, folder / f"one-{number}", "--jobs", 1)
        two = Run(*common, folder / f"two-{number}", "--jobs", 2)
        print(f"round {number + 1}: --jobs 1 --threads 1: {one}, {one.cpu / one.wall:.2f} cores")
        print(f"         --jobs 2 --threads 1: {two}, {two.cpu / two.wall:.2f} cores")
        print(f"         {one.wall / two.wall:.2f} times as fast, {two.cpu / one.cpu:.3f} times the processor time")


def small(folder):
    """Thousands of files of a second: whether the last ones take longer than the first."""
    videos, out = folder / "small", folder / "many"
    videos.mkdir()
    ffmpeg("-f lavfi -i testsrc2=size=64x64:rate=5:duration=1 -c:v mpeg4".split(), folder / "small.mp4")
    content = (folder / "small.mp4").read_bytes()
    for number in range(SMALL):
        # A box that readers skip (ISO/IEC 14496-12, 8.1.2), so that no two files are equal.
        free = struct.pack(">I4sQ", 16, b"free", number)
        (videos / f"{number:05}.mp4").write_bytes(content + free)
    # Only large faces, so that the cost of a file beyond its pictures stands out.
    common = [videos, "--min-face", 0.6, "-q"]
    run = Run("batch", *common, "--output-dir", out, samples=True)
    print(f"{SMALL} files of a second: {run}")
    entries = map(json.loads, (out / "run.jsonl").read_text().splitlines())
    times = [datetime.fromisoformat(entry["time"]).timestamp() for entry in entries if entry["event"] == "item"]
    assert len(times) == SMALL
    step = SMALL // 10
    # The log lacks the beginning of the first file, so the first of each thousand counts as the one before.
    marks = [times[0]] + times[step - 1 :: step]
    at = [min(run.samples, key=lambda sample: abs(sample[0] - mark)) for mark in marks]
    for index, (a, b) in enumerate(zip(at, at[1:])):
        wall = marks[index + 1] - marks[index]
        print(f"  files {index * step + 1} to {(index + 1) * step}: {b[1] - a[1]:.2f} s of processor time, {wall:.1f} s; {b[2]:.0f} MiB")
    print(f"  again, all skipped: {Run('batch', *common, '--output-dir', out)}")
    print(f"  planned: {Run('plan', *common, '-o', folder / 'small.jsonl')}")


def cuts(folder):
    """One video in ranges of two seconds, processed in every number of shards: how many bytes differ."""
    long, formats = folder / "long.mp4", "json,jsonl,csv,tsv,srt,vtt,ass,segments,textgrid,parquet"
    clip(60, 15, long)
    whole = Run("batch", long, "-q", "--jobs", 1, "-f", formats, "--output-dir", folder / "whole")
    print(f"whole: {whole}")

    def results(folder):
        return {path.name: path.read_bytes() for path in folder.rglob("long.mp4.*")}

    expected = results(folder / "whole")
    assert len(expected) == len(formats.split(",")), sorted(expected)
    plan = Run("plan", long, "--segment", "2s", "-q", "-o", folder / "plan.jsonl")
    units = len((folder / "plan.jsonl").read_text().splitlines()) - 1
    print(f"plan: {plan}; {units} units")
    for shards in SHARDS:
        parts, out = folder / f"parts-{shards}", folder / f"cut-{shards}"
        work = [Run("work", folder / "plan.jsonl", "--shard", f"{i}/{shards}", "-q", "--jobs", 1, "--out", parts) for i in range(shards)]
        collect = Run("collect", folder / "plan.jsonl", parts, "-q", "-f", formats, "--output-dir", out)
        found = results(out)
        assert found.keys() == expected.keys(), sorted(found)
        differing = sum(
            abs(len(a) - len(b)) + sum(x != y for x, y in zip(a, b)) for a, b in ((found[name], expected[name]) for name in found) if a != b
        )
        cpu = sum(run.cpu for run in work)
        kib = sum(path.stat().st_size for path in parts.iterdir()) / 1024
        print(
            f"{shards} shards: {differing} bytes differ in {len(found)} formats; work {cpu:.2f} s of processor time "
            f"({cpu / whole.cpu:.3f} of the whole), collect {collect.cpu:.2f} s, parts {kib:.0f} KiB",
        )
        assert differing == 0


PARTS = {part.__name__: part for part in (overhead, jobs, small, cuts)}

if __name__ == "__main__":
    if len(sys.argv) < 2 or not set(sys.argv[2:]) <= PARTS.keys():
        sys.exit(__doc__)
    ANNOTATE = str(pathlib.Path(sys.argv[1]).resolve())
    sys.stdout.reconfigure(line_buffering=True)
    for name in sys.argv[2:] or PARTS:
        print(f"== {name}: {PARTS[name].__doc__}\nload {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        with tempfile.TemporaryDirectory() as scratch:
            PARTS[name](pathlib.Path(scratch))
