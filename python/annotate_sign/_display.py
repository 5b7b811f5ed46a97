"""The timeline as a picture, for notebooks: a strip a signer, and what it adds up to."""

from __future__ import annotations

from collections import Counter, defaultdict
from html import escape
from typing import TYPE_CHECKING, Any, Dict, List

if TYPE_CHECKING:
    from ._timeline import Timeline

#: Okabe and Ito's colours, as everywhere else in the program (src/palette.rs).
COLOURS = {
    "neutral": "#56b4e9",
    "happiness": "#f0e442",
    "sadness": "#0072b2",
    "surprise": "#e69f00",
    "fear": "#cc79a7",
    "disgust": "#009e73",
    "anger": "#d55e00",
}
#: A face that is seen and not read.
UNREAD = "#808080"
_WIDTH, _STRIP, _EVENTS = 1000, 22, 8
#: Strips that are shown.
_MOST = 12


def html(timeline: "Timeline") -> str:
    """Strips over an axis in seconds, a legend and a line of words. Names in it may come from anywhere."""
    from ._timeline import signer

    media = timeline.data["media"]
    times = timeline.data["frames"]["time_s"]
    start_s = float(times[0]) if times else 0.0
    length_s = max(float(media["duration_s"]), 1e-9)

    def place(time_s: float) -> float:
        return min(max((time_s - start_s) / length_s, 0.0), 1.0) * _WIDTH

    rows: List[str] = []
    tracks = sorted(timeline.data["tracks"], key=lambda track: -len(track["frames"]))[:_MOST]
    for track in sorted(tracks, key=lambda track: track["id"]):
        name = escape(signer(track))
        rows.append(
            f'<tr><th style="text-align:right;padding-right:.6em;vertical-align:top">{name}</th>'
            f'<td style="text-align:left;width:100%">{_strip(track, times, place, length_s + start_s)}</td></tr>'
        )
    left_out = len(timeline.data["tracks"]) - len(tracks)
    if left_out:
        rows.append(f"<tr><td></td><td style='text-align:left'>and {left_out} more with fewer frames</td></tr>")
    ticks = "".join(
        f'<span style="position:absolute;left:{place(time_s) / _WIDTH:.2%}">{time_s:g} s</span>'
        for time_s in _ticks(start_s, length_s)
    )
    rows.append(f'<tr><td></td><td><div style="position:relative;height:1.3em;font-size:85%">{ticks}</div></td></tr>')
    return (
        '<div style="max-width:64em">'
        f"<div><b>{escape(str(media['path']))}</b>: {_words(timeline)}</div>"
        f'<table style="width:100%;border-collapse:collapse">{"".join(rows)}</table>'
        f"<div>{_legend(timeline)}</div></div>"
    )


def _strip(track: Dict[str, Any], times: List[float], place: Any, end_s: float) -> str:
    def until(frame: int) -> float:
        return times[frame + 1] if frame + 1 < len(times) else end_s

    seen = _runs(record["frame"] for record in track["frames"] if record["status"] != "no_face")
    bars = [(times[first], until(last), UNREAD, "seen, not read", 0, _STRIP) for first, last in seen]
    for segment in track["segments"]:
        confidence = segment.get("confidence")
        sure = "" if confidence is None else f", confidence {confidence:.2f}"
        said = f"{segment['label']}, {segment['start_s']:.2f} to {segment['end_s']:.2f} s{sure}"
        bars.append((segment["start_s"], segment["end_s"], COLOURS[segment["label"]], said, 0, _STRIP))
    for event in track.get("events", []):
        said = f"{event['kind'].replace('_', ' ')}, {event['start_s']:.2f} to {event['end_s']:.2f} s"
        bars.append((event["start_s"], event["end_s"], "currentColor", said, _STRIP + 3, _EVENTS - 3))
    drawn = "".join(
        f'<rect x="{place(from_s):.2f}" y="{y}" width="{max(place(to_s) - place(from_s), 0.5):.2f}" height="{height}" '
        f'fill="{colour}"><title>{escape(said)}</title></rect>'
        for from_s, to_s, colour, said, y, height in bars
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_STRIP + _EVENTS}" preserveAspectRatio="none" '
        f'style="width:100%;height:{_STRIP + _EVENTS}px" role="img">{drawn}</svg>'
    )


def _runs(frames: Any) -> List[Any]:
    """First and last of each run of successive frames."""
    runs: List[List[int]] = []
    for frame in frames:
        if runs and runs[-1][1] == frame - 1:
            runs[-1][1] = frame
        else:
            runs.append([frame, frame])
    return runs


def _ticks(start_s: float, length_s: float) -> List[float]:
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
    step = next((step for step in steps if length_s / step <= 10), 14400)
    first = int(-(-start_s // step))
    return [number * step for number in range(first, first + 12) if number * step <= start_s + length_s * 0.97]


def _words(timeline: "Timeline") -> str:
    media = timeline.data["media"]
    words = f"{len(timeline)} frames, {media['duration_s']:.1f} s"
    if timeline.complete:
        return words
    why = "; ".join(timeline.data["summary"].get("incomplete_because", []))
    return f"{words}, <b>partial</b>: {escape(why)}"


def _legend(timeline: "Timeline") -> str:
    lengths: Dict[str, float] = defaultdict(float)
    for segment in timeline.segments():
        lengths[segment.label] += segment.end_s - segment.start_s
    entries = [
        f'<span style="white-space:nowrap;margin-right:1em"><span style="color:{COLOURS[label]}">&#9632;</span> '
        f"{label} {lengths[label]:.1f} s</span>"
        for label in COLOURS
        if lengths[label]
    ]
    kinds = Counter(event.kind for event in timeline.events())
    events = ", ".join(f"{escape(kind.replace('_', ' '))} {count}" for kind, count in sorted(kinds.items()))
    return "".join(entries) + (f"<div>events below the strips: {events}</div>" if events else "")
