//! Copies of videos that browsers do not play, and where the page's clock begins.

use std::path::Path;
use std::process::{Command, Stdio};

use annotate::timeline::Timeline;

use super::browser::Opened;
use super::succeeds;
use crate::material::{ffmpeg, ffprobe};

/// A video with a moving pattern: every frame is another picture.
const PATTERN: &str = "-f lavfi -i testsrc2=size=320x240:rate=25 -t 2";

/// Times of a video's frames, seconds, as FFmpeg's own tool gives them; `None` where it has none, as for the last frames of an AVI.
fn times_of(video: &Path) -> Vec<Option<f64>> {
    let times = ffprobe(video, "frame=best_effort_timestamp_time");
    times.iter().map(|time| time.trim_end_matches(',').parse().ok()).collect()
}

/// Frames as FFmpeg's own tool decodes them, 16 by 12 pixels, RGB.
fn pictures_of(video: &Path, filter: &str) -> Vec<Vec<f64>> {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(video)
        .args([
            "-map",
            "0:v:0",
            "-fps_mode",
            "passthrough",
            "-vf",
            &format!("{filter}format=yuv420p,scale=16:12:flags=area"),
            "-pix_fmt",
            "rgb24",
            "-f",
            "rawvideo",
            "-",
        ])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout.chunks(16 * 12 * 3).map(|frame| frame.iter().map(|v| f64::from(*v)).collect()).collect()
}

fn difference(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>() / a.len() as f64
}

/// The copy of `video` has its frames: `times_s` from the first on, and the pictures of `source`.
fn assert_copied(copy: &Path, times_s: &[f64], source: &[Vec<f64>], name: &str) {
    let copied = times_of(copy);
    assert_eq!(copied.len(), times_s.len(), "{name}");
    for (copy_s, time_s) in copied.iter().zip(times_s) {
        let copy_s = copy_s.unwrap();
        assert!((copy_s - (time_s - times_s[0])).abs() < 2e-5, "{name}: {copy_s} is not {time_s} - {}", times_s[0]);
    }
    let pictures = pictures_of(copy, "");
    assert_eq!(pictures.len(), source.len(), "{name}");
    for (frame, picture) in pictures.iter().enumerate() {
        let near = frame.saturating_sub(3)..(frame + 4).min(source.len());
        let nearest = near.min_by(|a, b| difference(picture, &source[*a]).total_cmp(&difference(picture, &source[*b])));
        assert_eq!(nearest, Some(frame), "{name}: another frame's picture");
    }
    // In the same colours: full range taken for limited is 4.6 levels away on the mean.
    let far = pictures.iter().zip(source).map(|(a, b)| difference(a, b)).sum::<f64>() / source.len() as f64;
    assert!(far < 2.0, "{name}: its pictures differ by {far:.1} levels");
}

#[test]
fn every_kind_that_browsers_do_not_play_gets_a_copy_with_the_same_frames_at_the_same_times() {
    let test = "every_kind_that_browsers_do_not_play_gets_a_copy_with_the_same_frames_at_the_same_times";
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let ntsc = "-f lavfi -i testsrc2=size=320x240:rate=30000/1001 -t 2";
    let uneven = "-vf settb=1/100,setpts=N*5+floor(N/7)*5 -enc_time_base 1/100 -fps_mode passthrough";
    let mut page: Option<Opened> = None;
    for (name, arguments, filter) in [
        ("part2.avi", format!("{PATTERN} -c:v mpeg4 -bf 2 -q:v 3"), ""),
        ("full range.avi", format!("{PATTERN} -c:v mjpeg -pix_fmt yuvj420p -q:v 3"), ""),
        ("part2.mp4", format!("{ntsc} -c:v mpeg4 -bf 2 -q:v 3"), ""),
        ("camera.mts", "-f lavfi -i testsrc2=size=320x240:rate=50 -t 2 -vf interlace -c:v libx264 -x264opts tff=1 -flags +ildct+ilme -mpegts_m2ts_mode 1 -f mpegts".into(), "yadif,"),
        ("late.mpg", format!("{ntsc} -c:v mpeg2video -bf 2 -q:v 3 -f vob"), ""),
        ("late.m2v.ts", format!("{PATTERN} -c:v mpeg2video -bf 2 -q:v 3 -output_ts_offset 3 -f mpegts"), ""),
        ("prores.mov", format!("{PATTERN} -c:v prores_ks -pix_fmt yuv422p10le"), ""),
        ("uneven.gif", format!("{PATTERN} {uneven}"), ""),
        ("grey.mkv", format!("{PATTERN} {uneven} -c:v ffv1 -pix_fmt gray"), ""),
    ] {
        let video = path(name);
        ffmpeg(&arguments, &video);
        let (labels, html) = (path("labels.json"), path("labels.html"));
        succeeds(&[video.as_ref(), "-q".as_ref(), "-o".as_ref(), labels.as_ref()]);
        let talk = succeeds(&["review".as_ref(), labels.as_ref(), "--language".as_ref(), "en".as_ref()]);
        assert!(talk.contains("browsers do not play") && talk.contains("--proxy makes a copy"), "{name}: {talk}");
        // Without the copy the page says what to do.
        match &page {
            Some(page) => page.open(&html),
            None => page = Opened::new(&html, test),
        }
        if let Some(page) = &page {
            page.until("!document.getElementById('novideo').hidden");
            let shown = page.text("document.getElementById('novideo').textContent");
            assert!(shown.contains("annotate review labels.json --proxy"), "{name}: {shown}");
        }
        succeeds(&["review".as_ref(), labels.as_ref(), "--proxy".as_ref(), "--language".as_ref(), "en".as_ref()]);
        let timeline = Timeline::read(&labels).unwrap();
        let times_s = &timeline.frames.time_s;
        let known = times_of(&video);
        assert_eq!(known.len(), times_s.len(), "{name}");
        assert!(known.iter().filter(|time| time.is_none()).count() <= 1, "{name}: {known:?}");
        for (ours, theirs) in times_s.iter().zip(&known) {
            assert!(theirs.is_none_or(|theirs| (ours - theirs).abs() < 1e-5), "{name}: {ours} is not {theirs:?}");
        }
        assert_copied(&path("labels.proxy.mp4"), times_s, &pictures_of(&video, filter), name);
        if let Some(page) = &page {
            page.open(&html);
            page.until("video.readyState >= 2");
            assert_eq!(page.warnings(), "", "{name}");
            let last = timeline.frames.time_s.len() - 1;
            for frame in [0, 1, last / 2, last] {
                page.seek(frame);
                page.until(&format!("document.documentElement.dataset.shownFrame === '{frame}' && !video.seeking"));
            }
        }
        // The next one has names of its own.
        for file in ["labels.json", "labels.html", "labels.proxy.mp4"] {
            std::fs::remove_file(path(file)).unwrap();
        }
    }
}

#[test]
fn the_page_knows_where_the_containers_clock_starts_and_another_video() {
    let test = "the_page_knows_where_the_containers_clock_starts_and_another_video";
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut page: Option<Opened> = None;
    for (name, arguments) in [
        ("late.webm", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -output_ts_offset 3"),
        ("late.mp4", "-c:v libx264 -bf 2 -output_ts_offset 3"),
        ("b-frames.mp4", "-c:v libx264 -bf 3"),
    ] {
        let video = path(name);
        ffmpeg(&format!("{PATTERN} {arguments}"), &video);
        // The labels' name has to be quoted in a shell.
        let (labels, html) = (path("it's mine.json"), path("it's mine.html"));
        succeeds(&[video.as_ref(), "-q".as_ref(), "-o".as_ref(), labels.as_ref()]);
        succeeds(&["review".as_ref(), labels.as_ref(), "--language".as_ref(), "en".as_ref()]);
        match &page {
            Some(page) => page.open(&html),
            None => page = Opened::new(&html, test),
        }
        let Some(page) = &page else { return };
        page.until("video.readyState >= 2");
        assert_eq!(page.warnings(), "", "{name}");
        for frame in [0, 1, 17, 49] {
            page.seek(frame);
            page.until(&format!("document.documentElement.dataset.shownFrame === '{frame}' && !video.seeking"));
        }
        assert!(page.number("times[0]") < 0.1, "{name}: players count from the container's start");
        for file in ["it's mine.json", "it's mine.html"] {
            std::fs::copy(path(file), path(&format!("kept {file}"))).unwrap();
            std::fs::remove_file(path(file)).unwrap();
        }
    }
    let Some(page) = &page else { return };
    // Another video in its place: of another shape, or shorter.
    for arguments in [
        "-f lavfi -i testsrc2=size=320x120:rate=25 -t 2 -c:v libx264",
        "-f lavfi -i testsrc2=size=320x240:rate=25 -t 1 -c:v libx264",
    ] {
        ffmpeg(arguments, &path("b-frames.mp4"));
        page.open(&path("kept it's mine.html"));
        page.until("video.readyState >= 2");
        assert!(page.warnings().contains("looks like another video"), "{}", page.warnings());
    }
    // And a proxy of another video is refused.
    let labels = path("kept it's mine.json");
    let talk = super::fails(&["review".as_ref(), labels.as_ref(), "--proxy".as_ref()], 3);
    assert!(talk.contains("is it another video than the one annotated?"), "{talk}");
    std::fs::remove_file(path("b-frames.mp4")).unwrap();
    page.open(&path("kept it's mine.html"));
    page.until("!document.getElementById('novideo').hidden");
    let command = page.text("document.querySelector('#novideo code').textContent");
    let shown = Command::new("sh").args(["-c", &command.replace("annotate review", "printf '%s|'")]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&shown.stdout), "it's mine.json|--proxy|", "{command}");
}
