"""How far labels of whole runs stay when only the copy of the video changes: mirrored, half size, compressed, another rate.

    python pipelines/default/stability.py target/release/annotate stability.csv VIDEO...

For each video and change, a line of the csv: frames compared, share of frames with the same label, Cohen's kappa; then one line
for each change over all videos. Every frame of the copy is compared with the frame of the original that is nearest in time;
frames without a label on either side count as a class of their own, those without one on both sides are left out. Only videos
with one signer: two change their names when the picture is mirrored. Needs the program `ffmpeg`, with x264; nothing else.
"""

import bisect
import collections
import csv
import json
import pathlib
import subprocess
import sys
import tempfile

X264 = ["-an", "-c:v", "libx264", "-preset", "medium"]
CHANGES = {
    "mirrored": ["-vf", "hflip", *X264, "-crf", "12"],
    "half size": ["-vf", "scale=trunc(iw/4)*2:trunc(ih/4)*2:flags=area", *X264, "-crf", "12"],
    "crf 18": [*X264, "-crf", "18"],
    "crf 28": [*X264, "-crf", "28"],
    "crf 35": [*X264, "-crf", "35"],
    # Of a video with a higher rate, a copy with 25 frames/s; of any other, one with every second frame.
    "fewer frames": None,
    "darker": ["-vf", "eq=brightness=-0.1:contrast=0.8", *X264, "-crf", "12"],
    "another container": ["-an", "-c:v", "copy"],
}


def annotate(program, video, folder):
    """Times in seconds and labels of the first signer's frames; `None` where there is more than one signer."""
    out = folder / "labels.json"
    subprocess.run([program, "--quiet", "--overwrite", "-o", out, video], check=True)
    timeline = json.loads(out.read_text())
    if len(timeline["tracks"]) != 1:
        return None
    times, frames = timeline["frames"]["time_s"], timeline["tracks"][0]["frames"]
    return [times[frame["frame"]] for frame in frames], [frame.get("label") or "-" for frame in frames]


def copy(video, change, folder):
    options = CHANGES[change]
    if options is None:
        ask = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "stream=avg_frame_rate", "-of", "csv=p=0", video]
        over, under = subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip().split("/")
        rate = int(over) / int(under)
        options = ["-vf", f"fps={25 if rate > 40 else rate / 2}", *X264, "-crf", "12"]
    out = folder / ("copy.mkv" if change == "another container" else "copy.mp4")
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", video, *options, out], check=True)
    return out


def pairs(original, other):
    times, labels = original
    for time, label in zip(*other):
        after = bisect.bisect_left(times, time)
        nearest = min(range(max(after - 1, 0), min(after + 1, len(times))), key=lambda i: abs(times[i] - time))
        if (labels[nearest], label) != ("-", "-"):
            yield labels[nearest], label


def kappa(counts):
    """Agreement and Cohen's kappa (1960) of a table of pairs; kappa is 1 where both sides have one and the same class alone."""
    n = sum(counts.values())
    same = sum(count for (a, b), count in counts.items() if a == b) / n
    left, right = collections.Counter(), collections.Counter()
    for (a, b), count in counts.items():
        left[a] += count
        right[b] += count
    chance = sum(left[c] * right[c] for c in left) / n**2
    return n, same, 1.0 if chance == 1 else (same - chance) / (1 - chance)


def main(program, out, *videos):
    pooled = collections.defaultdict(collections.Counter)
    with open(out, "w", newline="") as file, tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        table = csv.writer(file)
        table.writerow(["video", "change", "frames", "same", "kappa"])
        for video in videos:
            original = annotate(program, video, folder)
            if original is None:
                print(f"left out: {video}: not one signer", file=sys.stderr)
                continue
            for change in CHANGES:
                other = annotate(program, copy(video, change, folder), folder)
                if other is None:
                    print(f"left out: {video}, {change}: not one signer any more", file=sys.stderr)
                    continue
                counts = collections.Counter(pairs(original, other))
                pooled[change].update(counts)
                table.writerow([pathlib.Path(video).name, change, *kappa(counts)])
                file.flush()
        for change, counts in pooled.items():
            n, same, value = kappa(counts)
            table.writerow(["all", change, n, same, value])
            print(f"{change:20} {n:6} frames  same {100 * same:5.1f} %  kappa {value:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
