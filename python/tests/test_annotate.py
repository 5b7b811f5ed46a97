"""Videos: what comes back, while it runs and after."""

import csv
import json
import pickle
import subprocess
import threading
import time
import warnings

import pytest

import annotate_sign


def running(name):
    """Whether a process was started with `name` among its arguments."""
    return subprocess.run(["pgrep", "-f", str(name)], stdout=subprocess.DEVNULL).returncode == 0


def test_a_video_gives_what_the_command_writes(clip, timeline, tmp_path):
    ours = annotate_sign.annotate(clip)
    subprocess.run([annotate_sign.program(), "-q", "-o", tmp_path / "labels.json", clip], check=True)
    assert ours.data == json.loads((tmp_path / "labels.json").read_text())
    assert ours.data["tracks"] == timeline.data["tracks"]
    assert ours.complete and len(ours) == 602 and ours.signers == ["A"]
    assert "602 frames" in repr(ours)
    ours.copy_json(tmp_path / "copy.json")
    assert (tmp_path / "copy.json").read_bytes() == (tmp_path / "labels.json").read_bytes()


def test_settings_reach_the_program_and_stand_in_the_timeline(clip):
    part = annotate_sign.annotate(clip, start=2, end=3, max_faces=1, measures=["head", "brows"], latency=None)
    assert len(part) == 25
    assert part.settings["track"]["max_faces"] == 1
    assert part.settings["measures"] == ["head", "brows"]
    assert all(2 <= time_s < 3 for time_s in part.data["frames"]["time_s"])


def test_rows_come_while_the_video_runs(clip):
    with annotate_sign.stream(clip, end=4) as run:
        first = next(run)
        assert run.header["media"]["width"] == 1280
        rows = [first, *run]
        timeline = run.timeline()
    assert [row["frame"] for row in rows] == list(range(100))
    assert all(abs(sum(row["probabilities"]) - 1) < 1e-3 for row in rows if row["status"] == "ok")
    assert [row["label"] for row in rows] == [row["label"] for row in timeline.rows()]
    assert "yaw" in rows[50]["measures"]


def test_the_first_row_is_there_long_before_the_last(clip, tmp_path):
    long = tmp_path / "long.mp4"
    loop = ["ffmpeg", "-v", "error", "-stream_loop", "10", "-i", clip, "-c", "copy", long]
    try:
        subprocess.run(loop, check=True)
    except FileNotFoundError:
        pytest.skip("ffmpeg, which makes the long clip, is not installed")
    with annotate_sign.stream(long) as run:
        next(run)
        assert run._process.poll() is None
    # Leaving early ended the program.
    assert run._process.poll() is not None
    assert not running(long)
    with pytest.raises(annotate_sign.AnnotateError, match="ended before"):
        run.timeline()


def test_many_videos_at_once_do_not_disturb_each_other(clip, timeline):
    results = {}

    def one(number):
        results[number] = annotate_sign.annotate(clip, start=number, end=number + 1)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, part in results.items():
        assert part.data["frames"]["pts"] == timeline.data["frames"]["pts"][25 * number : 25 * (number + 1)]


def test_segments_and_events_are_those_of_the_timeline(timeline):
    segments = timeline.segments()
    assert segments == timeline.segments("A") and timeline.segments("B") == []
    assert segments[0].label == "neutral" and segments[0].first_frame == 0
    assert all(a.end_s <= b.start_s + 1e-6 for a, b in zip(segments, segments[1:]))
    events = timeline.events()
    assert len(events) == len(timeline.data["tracks"][0]["events"])
    for kind in {event.kind for event in events}:
        assert all(event.kind == kind for event in timeline.events(kind)) and timeline.events(kind)


def test_rows_say_which_events_are_under_way(timeline):
    rows = {row["frame"]: row for row in timeline.rows()}
    assert len(rows) == len(timeline.data["tracks"][0]["frames"])
    for event in timeline.events():
        assert event.kind in rows[event.first_frame]["events"]
        assert event.kind in rows[event.last_frame]["events"]
    counted = sum(len(row["events"]) for row in rows.values())
    assert counted == sum(event.last_frame - event.first_frame + 1 for event in timeline.events())


def test_any_format_is_saved_and_a_changed_file_is_kept(timeline, tmp_path):
    paths = [tmp_path / name for name in ("a.csv", "a.eaf", "a.vtt", "a.TextGrid", "a.json")]
    timeline.save(*paths)
    assert all(path.stat().st_size > 0 for path in paths)
    assert annotate_sign.Timeline.load(tmp_path / "a.json").data == timeline.data
    with open(tmp_path / "a.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 602
    (tmp_path / "a.vtt").write_text("mine")
    with pytest.raises(annotate_sign.OutputError, match="a.vtt"):
        timeline.save(tmp_path / "a.vtt")
    timeline.save(tmp_path / "a.vtt", overwrite=True)
    assert (tmp_path / "a.vtt").read_text().startswith("WEBVTT")


def test_a_timeline_travels_between_processes(timeline, tmp_path):
    again = pickle.loads(pickle.dumps(timeline))
    assert again.data == timeline.data
    again.save(tmp_path / "a.srt")
    assert (tmp_path / "a.srt").stat().st_size > 0


@pytest.mark.parametrize(
    ("path", "settings", "kind", "says"),
    [
        ("no-such-video.mp4", {}, annotate_sign.InputError, "no-such-video.mp4"),
        ("-", {}, annotate_sign.InputError, "./-"),
        ("--help", {}, annotate_sign.InputError, "--help"),
        ("CLIP", {"colour": "red"}, annotate_sign.UsageError, "--colour"),
        ("CLIP", {"min_face": 7}, annotate_sign.UsageError, "min_face"),
        ("CLIP", {"model": "no-such-model"}, annotate_sign.ConfigurationError, "no-such-model"),
        ("CLIP", {"output": "x.json"}, annotate_sign.UsageError, "output"),
        ("CLIP", {"max_memory": 1}, annotate_sign.LimitError, "max-memory"),
        ("http://127.0.0.1:9/a.mp4", {}, annotate_sign.InputError, "--allow-url"),
    ],
)
def test_refusals_are_errors_of_their_kind_that_say_why(clip, path, settings, kind, says):
    with pytest.raises(kind, match=says) as caught:
        annotate_sign.annotate(clip if path == "CLIP" else path, **settings)
    assert caught.value.code == kind.code


def test_a_partial_result_is_a_result_with_a_warning(clip, tmp_path):
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(clip.read_bytes()[: clip.stat().st_size * 2 // 3])
    # The clip's index stands at its beginning, so that what is left can be read.
    with pytest.warns(annotate_sign.PartialWarning, match="partial"):
        timeline = annotate_sign.annotate(cut)
    assert not timeline.complete and 0 < len(timeline) < 602
    assert timeline.summary["incomplete_because"]
    assert "<b>partial</b>" in timeline._repr_html_()


def test_nothing_is_left_behind(clip, tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        timeline = annotate_sign.annotate(clip, end=1)
        timeline.to_pandas() if _has("pandas") else None
        assert len(list(tmp_path.iterdir())) == 1
        del timeline
        time.sleep(0.1)
    assert not list(tmp_path.iterdir())


def test_the_program_is_the_one_that_is_named(monkeypatch, tmp_path):
    assert annotate_sign.version().count(".") == 2
    monkeypatch.setenv("ANNOTATE_PROGRAM", str(tmp_path / "nothing"))
    with pytest.raises(FileNotFoundError):
        annotate_sign.version()


def _has(name):
    import importlib.util

    return importlib.util.find_spec(name) is not None
