//! What the main job promises, with the program run as a person runs it.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::material::{clips, ffmpeg, ffprobe, program};
use annotate::palette::colour_of;
use annotate::timeline::{Expression, FacePart, JSON_SCHEMA, NeutralSource, Status, Timeline, Track};
use serde_json::Value;

/// Runs the program over `input` and reads the timeline it writes.
fn annotated(input: &Path, arguments: &[&str]) -> (Timeline, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.json");
    let output = program().arg(input).arg("-o").arg(&path).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}: {}", input.display(), String::from_utf8_lossy(&output.stderr));
    (Timeline::read(&path).unwrap(), std::fs::read(&path).unwrap())
}

fn demo() -> &'static Path {
    Path::new("assets/demo/demo.mp4")
}

fn truth() -> Value {
    serde_json::from_slice(&std::fs::read("assets/demo/truth.json").unwrap()).unwrap()
}

#[test]
fn every_real_clip_gives_a_valid_timeline_and_the_same_bytes_whatever_the_threads_and_batches() {
    let schema: Value = serde_json::from_str(JSON_SCHEMA).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let test = "every_real_clip_gives_a_valid_timeline_and_the_same_bytes_whatever_the_threads_and_batches";
    for clip in clips(test) {
        let (timeline, whole) = annotated(&clip, &[]);
        let (_, one) = annotated(&clip, &["--end", "3", "--threads", "1", "--batch-size", "1"]);
        let (_, two) = annotated(&clip, &["--end", "3", "--threads", "2", "--batch-size", "16"]);
        assert!(one == two, "{}: threads change the result", clip.display());
        let errors: Vec<_> =
            validator.iter_errors(&serde_json::from_slice(&whole).unwrap()).map(|e| e.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new(), "{}", clip.display());
        timeline.check().unwrap();
        assert!(timeline.complete, "{}: {:?}", clip.display(), timeline.summary.incomplete_because);
        let counted: usize = ffprobe(&clip, "frame=pict_type").len();
        assert_eq!(timeline.frames.pts.len(), counted, "{}", clip.display());
        assert_eq!(timeline.tracks.len(), 1, "{}: one signer, one id", clip.display());
    }
}

#[test]
fn the_bundled_clip_is_read_as_it_was_made() {
    let (timeline, _) = annotated(demo(), &[]);
    let truth = truth();
    assert_eq!(timeline.frames.pts.len() as u64, truth["frames"].as_u64().unwrap());
    assert_eq!(timeline.tracks.len(), 1);
    let label_at = |frame: usize| timeline.tracks[0].frames.iter().find(|r| r.frame == frame).and_then(|r| r.label);
    let (mut right, mut all) = (0, 0);
    for span in truth["spans"].as_array().unwrap() {
        let number = |name: &str| span[name].as_u64().unwrap() as usize;
        let frames = number("first_frame")..=number("last_frame");
        match span["kind"].as_str().unwrap() {
            "absent" => {
                assert!(frames.into_iter().all(|f| label_at(f).is_none()), "nobody is there, nobody is labelled")
            }
            "held" => {
                let label = Expression::from_name(span["label"].as_str().unwrap());
                all += frames.clone().count();
                right += frames.filter(|f| label_at(*f) == label).count();
            }
            _ => {}
        }
    }
    // Composites are averages of faces whose crowd agreed; what is left open is one expression out of seven.
    assert!(right as f64 > 0.8 * all as f64, "{right} of {all} held frames are read right");
}

#[test]
fn a_frame_without_a_face_never_gets_a_label() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nobody.mp4");
    ffmpeg("-f lavfi -i testsrc2=size=320x240:rate=25:duration=2 -c:v libx264", &path);
    let (timeline, _) = annotated(&path, &[]);
    assert_eq!(timeline.frames.status, vec![Status::NoFace; 50]);
    assert!(timeline.tracks.is_empty() && timeline.complete);
}

#[test]
fn all_formats_are_written_from_one_run_and_agree() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["json", "jsonl", "csv", "tsv", "srt", "vtt", "ass", "segments", "textgrid"];
    let output = program()
        .arg(demo())
        .args(["--end", "2", "-f", &names.join(","), "--json", "--output_dir"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["frames"], 50);
    assert_eq!(summary["outputs"].as_array().unwrap().len(), names.len());
    let text = |name: &str| std::fs::read_to_string(folder.path().join(format!("demo.{name}"))).unwrap();
    let timeline = Timeline::read(&folder.path().join("demo.json")).unwrap();
    let labels: Vec<Option<Expression>> = timeline.tracks[0].frames.iter().map(|r| r.label).collect();
    let from_lines: Vec<Option<Expression>> = text("jsonl")
        .lines()
        .skip(1)
        .filter_map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            line.get("track").is_some().then(|| line["label"].as_str().and_then(Expression::from_name))
        })
        .collect();
    assert_eq!(labels, from_lines);
    let mut reader = csv::Reader::from_path(folder.path().join("demo.csv")).unwrap();
    let column = reader.headers().unwrap().iter().position(|name| name == "label").unwrap();
    let from_csv: Vec<Option<Expression>> =
        reader.records().map(|row| Expression::from_name(&row.unwrap()[column])).collect();
    assert_eq!(labels, from_csv);
    assert!(text("vtt").starts_with("WEBVTT") && text("srt").contains("-->"));
    let track = &timeline.tracks[0];
    let segments = track.segments.len();
    assert_eq!(text("segments.tsv").lines().count(), segments + track.events.len() + 1);
    let stretches: usize = FacePart::ALL.into_iter().map(|part| track.going_on(part).len()).sum();
    assert_eq!(
        text("TextGrid").matches("text = \"").count() - text("TextGrid").matches("text = \"\"").count(),
        segments + stretches
    );
    assert!(text("ass").matches("Dialogue: 0").count() >= segments);
}

#[test]
fn standard_input_and_a_named_pipe_give_what_the_file_gives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("streamable.ts");
    ffmpeg(&format!("-i {} -t 2 -c copy", demo().display()), &path);
    let (expected, _) = annotated(&path, &[]);
    let lines = |command: &mut Command| {
        let output = command.args(["-o", "-.jsonl"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().count()
    };
    let from_stdin = lines(program().arg("-").stdin(std::fs::File::open(&path).unwrap()));
    assert_eq!(from_stdin, expected.frames.pts.len() + 2);
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let feeder = Command::new("cp").arg(&path).arg(&pipe).spawn().unwrap();
    assert_eq!(lines(program().arg(&pipe)), from_stdin);
    feeder.wait_with_output().unwrap();
}

#[test]
fn lines_come_while_the_video_is_still_arriving() {
    use std::io::{BufRead as _, BufReader, Write as _};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("live.ts");
    ffmpeg(&format!("-i {} -t 6 -c:v mpeg2video -q:v 3", demo().display()), &path);
    let bytes = std::fs::read(&path).unwrap();
    let mut child =
        program().args(["-", "-o", "-.jsonl"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&bytes[..bytes.len() * 9 / 10]).unwrap();
    // The rest is held back until a labelled line has been read.
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("\"label\"")));
    input.write_all(&bytes[bytes.len() * 9 / 10..]).unwrap();
    drop(input);
    assert!(lines.last().unwrap().contains("\"complete\":true"));
    assert!(child.wait().unwrap().success());
}

#[test]
fn ctrl_c_keeps_what_is_done_and_says_that_it_is_partial() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.mp4");
    ffmpeg(&format!("-stream_loop 20 -i {} -c copy", demo().display()), &path);
    let labels = folder.path().join("labels.json");
    let child = program().arg(&path).arg("-o").arg(&labels).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{message}");
    assert!(message.contains("long.mp4") && message.contains("interrupted"), "{message}");
    let timeline = Timeline::read(&labels).unwrap();
    assert!(!timeline.complete && !timeline.frames.pts.is_empty());
    timeline.check().unwrap();
}

#[test]
fn a_part_of_a_video_keeps_the_videos_own_time() {
    let (timeline, _) = annotated(demo(), &["--start", "0:02", "--end", "3.5"]);
    let times = &timeline.frames.time_s;
    assert!(times[0] >= 2.0 && *times.last().unwrap() < 3.5);
    assert_eq!(times.len(), 38);
}

#[test]
fn a_precision_that_is_asked_for_is_used_and_stands_in_the_settings() {
    let (whole, _) = annotated(demo(), &["--end", "1"]);
    assert_eq!(whole.settings["precision"], "f32");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.json");
    let output = program().arg(demo()).args(["--end", "1", "--precision", "bf16", "-o"]).arg(&path).output().unwrap();
    if output.status.code() == Some(5) {
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("this CPU has no AVX512-BF16"), "{stderr}");
        return;
    }
    let narrow = Timeline::read(&path).unwrap();
    assert_eq!(narrow.settings["precision"], "bf16");
    let probabilities = |timeline: &Timeline| -> Vec<f32> {
        timeline.tracks.iter().flat_map(|t| &t.frames).filter_map(|f| f.probabilities).flatten().collect()
    };
    let (whole, narrow) = (probabilities(&whole), probabilities(&narrow));
    assert!(whole.len() == narrow.len() && whole != narrow);
    assert!(whole.iter().zip(&narrow).all(|(a, b)| (a - b).abs() < 0.1));
}

#[test]
fn an_overlay_has_the_same_frames_at_the_same_times_and_the_sound() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("odd, [name]: it's.mkv");
    // Variable frame rate, an odd width, a late start, sound.
    let filter = "-vf scale=321:181,select='not(eq(mod(n\\,7)\\,3))',setpts=PTS+1/TB -fps_mode vfr -t 3 -shortest";
    let sound = "-f lavfi -i sine=duration=4";
    ffmpeg(&format!("-i {} {sound} {filter} -pix_fmt yuv444p -c:v ffv1 -c:a aac", demo().display()), &input);
    for extension in ["mp4", "mkv"] {
        let drawn = folder.path().join("drawn").with_extension(extension);
        annotated(&input, &["--overlay", drawn.to_str().unwrap()]);
        let times = |path: &Path| -> Vec<f64> {
            ffprobe(path, "frame=pts_time").iter().map(|l| l.trim_end_matches(',').parse().unwrap()).collect()
        };
        let (expected, found) = (times(&input), times(&drawn));
        assert_eq!(expected.len(), found.len(), "{extension}");
        for (expected, found) in expected.iter().zip(&found) {
            assert!((expected - found).abs() < 1e-3, "{extension}: {expected} became {found}");
        }
        let streams = Command::new("ffprobe")
            .args(["-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0"])
            .arg(&drawn)
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&streams.stdout), "h264\naac\n", "{extension}");
    }
}

#[test]
fn an_overlay_shows_boxes_names_and_strips_where_they_belong() {
    let folder = tempfile::tempdir().unwrap();
    let drawn = folder.path().join("drawn.mp4");
    let (timeline, _) = annotated(demo(), &["--end", "2", "--measures", "none", "--overlay", drawn.to_str().unwrap()]);
    let frame = 30;
    let pictures = [demo(), &drawn].map(|path| rgb_picture(path, frame));
    let [source, drawn] = &pictures;
    let (width, height) = (timeline.media.width as usize, timeline.media.height as usize);
    let record = &timeline.tracks[0].frames[frame - timeline.tracks[0].first_frame];
    let (face, label) = (record.face.unwrap(), record.label.unwrap());
    let at = |picture: &[u8], x: usize, y: usize| -> [i32; 3] {
        std::array::from_fn(|channel| i32::from(picture[3 * (y * width + x) + channel]))
    };
    let colour = colour_of(label);
    let colour = [colour.red, colour.green, colour.blue].map(i32::from);
    let differs = |a: [i32; 3], b: [i32; 3]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).max().unwrap();
    let [left, top, right, bottom] =
        [face.x, face.y, face.x + face.w, face.y + face.h].map(|edge| edge.round() as usize);
    // The middle of each side, three pixels thick, outside the face's box.
    for (x, y) in [(left - 2, (top + bottom) / 2), (right + 1, (top + bottom) / 2), ((left + right) / 2, bottom + 1)] {
        assert!(differs(at(drawn, x, y), colour) < 40, "{:?} at {x}, {y} is not {colour:?}", at(drawn, x, y));
        assert!(differs(at(source, x, y), colour) > 60, "it would look so anyway");
    }
    // Inside and far away, the picture is as it was.
    for (x, y) in [((left + right) / 2, (top + bottom) / 2), (10, 10), (width - 10, height / 2)] {
        assert!(differs(at(drawn, x, y), at(source, x, y)) < 20, "at {x}, {y}");
    }
    // The name: letters in the face's colour on a dark border, as high as a thirtieth of the picture.
    let name = (top - 3 - height / 30..top - 3).flat_map(|y| (left..left + 80).map(move |x| (x, y)));
    let name: Vec<[i32; 3]> = name.map(|(x, y)| at(drawn, x, y)).collect();
    let like = |wanted: [i32; 3]| name.iter().filter(|found| differs(**found, wanted) < 40).count();
    assert!(like(colour) > name.len() / 12, "{} of {}", like(colour), name.len());
    assert!(like([32; 3]) > name.len() / 12, "{} of {}", like([32; 3]), name.len());
    // The strip at the lower edge, most of it the segment's colour, with the cursor where the frame is.
    let time_s = timeline.frames.time_s[frame];
    let cursor = (time_s / 2.0 * width as f64) as usize + 1;
    assert!(at(drawn, cursor, height - 6).iter().all(|channel| *channel > 200), "{:?}", at(drawn, cursor, height - 6));
    let segment =
        timeline.tracks[0].segments.iter().find(|segment| segment.start_s <= time_s && time_s < segment.end_s);
    let colour = colour_of(segment.unwrap().label);
    let found = at(drawn, cursor - 30, height - 6);
    assert!(differs(found, [colour.red, colour.green, colour.blue].map(i32::from)) < 60, "{found:?}");
}

/// Red, green and blue of a frame's pixels, row by row.
fn rgb_picture(path: &Path, frame: usize) -> Vec<u8> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args(["-vf", &format!("select=eq(n\\,{frame})"), "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn an_overlay_that_cannot_be_written_is_refused_before_the_video_is_read() {
    let output = program().arg("missing.mp4").args(["-o", "-", "--overlay", "drawn.avi"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("drawn.avi: a video is written as .mp4, .mov or .mkv"));
}

#[test]
fn calibration_is_stored_reused_and_changes_nothing_where_there_is_nothing_to_correct() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, plain_bytes) = annotated(demo(), &[]);
    let (_, off) = annotated(demo(), &["--calibrate", "off"]);
    assert!(off == plain_bytes, "off is the default");
    let (auto, bytes) = annotated(demo(), &["--calibrate", "auto"]);
    let calibration = &auto.settings["calibration"]["signers"][0];
    assert_eq!(calibration["signer"], "A");
    assert!(calibration["rest_s"].as_f64().unwrap() > 1.0);
    // The composites' neutral face looks neutral: each change has its reason in a correction.
    let is_corrected = calibration["correction"].as_array().unwrap().iter().any(|c| c.as_f64().unwrap() < 0.0);
    assert!(is_corrected || auto.tracks == plain.tracks);
    let earlier = folder.path().join("earlier.json");
    std::fs::write(&earlier, &bytes).unwrap();
    let (again, _) = annotated(demo(), &["--calibrate", earlier.to_str().unwrap()]);
    // The neutral face comes along, and says from where.
    let beside_it = |timeline: &Timeline| -> Vec<Track> {
        timeline.tracks.iter().map(|track| Track { neutral: None, ..track.clone() }).collect()
    };
    assert_eq!(beside_it(&again), beside_it(&auto));
    let neutral = |timeline: &Timeline| timeline.tracks[0].neutral.clone().unwrap();
    assert_eq!(neutral(&again).values, neutral(&auto).values);
    assert!(matches!(neutral(&again).source, NeutralSource::Other { .. }));
    std::fs::write(&earlier, &plain_bytes).unwrap();
    let output = program().arg(demo()).args(["-o", "-", "--calibrate"]).arg(&earlier).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&output.stderr).contains("holds no calibration"));
}
