//! Frames come out once each, in order, with the container's own times, upright and with square pixels.

use std::path::Path;

use crate::material::{clips, ffmpeg, ffprobe};
use annotate::pipeline::decode::{DecodeError, DecodeErrorKind, DecodeOptions, Decoded, Decoder, Deinterlace, Source};
use annotate::timeline::DamageKind;

/// One frame as the tests look at it.
struct Seen {
    pts: i64,
    time_s: f64,
    size: (usize, usize),
    /// Mean luma of the four quarters: top left, top right, bottom left, bottom right.
    quarters: [f32; 4],
}

fn decode_with(path: &Path, options: DecodeOptions) -> Result<(Vec<Seen>, Decoded), DecodeError> {
    let mut decoder = Decoder::open(&Source::File(path.into()), options)?;
    let mut frames = Vec::new();
    while let Some(frame) = decoder.next_frame()? {
        assert_eq!(frame.index, frames.len());
        let luma = frame.picture.luma();
        let mean = |right: bool, lower: bool| {
            let columns = if right { luma.width / 2..luma.width } else { 0..luma.width / 2 };
            let rows = if lower { luma.height / 2..luma.height } else { 0..luma.height / 2 };
            let count = (rows.len() * columns.len()) as f32;
            rows.map(|y| luma.row(y)[columns.clone()].iter().map(|v| f32::from(*v)).sum::<f32>()).sum::<f32>() / count
        };
        let quarters = [mean(false, false), mean(true, false), mean(false, true), mean(true, true)];
        frames.push(Seen { pts: frame.pts, time_s: frame.time_s, size: (luma.width, luma.height), quarters });
    }
    let decoded = decoder.finish();
    assert_eq!(decoded.media.frames, frames.len());
    assert!(frames.windows(2).all(|pair| pair[1].time_s > pair[0].time_s), "times rise strictly");
    Ok((frames, decoded))
}

fn decode(path: &Path) -> (Vec<Seen>, Decoded) {
    decode_with(path, DecodeOptions::default()).unwrap()
}

/// Pts as FFmpeg's own prober states them.
fn probed_pts(path: &Path) -> Vec<i64> {
    ffprobe(path, "frame=best_effort_timestamp")
        .iter()
        .map(|line| line.trim_end_matches(',').parse().unwrap())
        .collect()
}

#[test]
fn every_real_clip_has_the_frames_and_times_ffprobe_counts_and_is_complete() {
    for clip in clips("every_real_clip_has_the_frames_and_times_ffprobe_counts_and_is_complete") {
        let (frames, decoded) = decode(&clip);
        let pts: Vec<i64> = frames.iter().map(|f| f.pts).collect();
        assert_eq!(pts, probed_pts(&clip), "{}", clip.display());
        let [numerator, denominator] = decoded.media.time_base;
        for frame in &frames {
            assert_eq!(frame.time_s, frame.pts as f64 * f64::from(numerator) / f64::from(denominator));
        }
        assert_eq!(decoded.incomplete_because, Vec::<String>::new(), "{}", clip.display());
    }
}

#[test]
fn every_container_and_pixel_format_decodes_to_the_same_number_of_frames() {
    let folder = tempfile::tempdir().unwrap();
    for (name, arguments) in [
        ("b-frames.mp4", "-c:v libx264 -bf 3"),
        ("ten-bit.mkv", "-c:v libx264 -pix_fmt yuv420p10le"),
        ("four-two-two.mkv", "-c:v libx264 -pix_fmt yuv422p"),
        ("four-four-four.mkv", "-c:v libx264 -pix_fmt yuv444p"),
        ("grey.mkv", "-c:v ffv1 -pix_fmt gray"),
        ("grey-ten.mkv", "-c:v ffv1 -pix_fmt gray10le"),
        ("rgb.mkv", "-c:v ffv1 -pix_fmt bgr0"),
        ("png.avi", "-c:v png"),
        ("mjpeg.avi", "-c:v mjpeg -pix_fmt yuvj420p"),
        ("mpeg4.avi", "-c:v mpeg4"),
        ("mpeg2.ts", "-c:v mpeg2video"),
        ("vp9.webm", "-c:v libvpx-vp9 -deadline realtime"),
        ("gif.gif", ""),
        ("late.mp4", "-c:v libx264 -output_ts_offset 5"),
        ("late.mkv", "-c:v libx264 -output_ts_offset 5"),
    ] {
        let path = folder.path().join(name);
        ffmpeg(&format!("-f lavfi -i testsrc2=size=64x48:rate=25:duration=0.8 {arguments}"), &path);
        let (frames, decoded) = decode(&path);
        assert_eq!(frames.len(), probed_pts(&path).len(), "{name}");
        assert_eq!(frames.iter().map(|f| f.pts).collect::<Vec<_>>(), probed_pts(&path), "{name}");
        assert!(frames.iter().all(|f| f.size == (64, 48)), "{name}");
        assert_eq!(decoded.incomplete_because, Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_stream_without_time_stamps_still_has_rising_times_at_its_frame_rate() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("raw.h264");
    ffmpeg("-f lavfi -i testsrc2=size=64x48:rate=25:duration=0.8 -c:v libx264", &path);
    let (frames, _) = decode(&path);
    assert_eq!(frames.len(), 20);
    assert!(frames.windows(2).all(|pair| (pair[1].time_s - pair[0].time_s - 0.04).abs() < 1e-9));
}

#[test]
fn conversions_keep_the_brightness() {
    let folder = tempfile::tempdir().unwrap();
    let reference = folder.path().join("reference.mkv");
    // Left half dark grey, right half light grey.
    let source = "-f lavfi -i color=0x404040:size=64x48:rate=5:duration=1 \
                  -vf drawbox=x=32:y=0:w=32:h=48:color=0xC0C0C0:t=fill";
    ffmpeg(&format!("{source} -c:v ffv1 -pix_fmt yuv420p"), &reference);
    let expected = decode(&reference).0[0].quarters;
    for format in ["yuv420p10le", "yuv444p", "bgr0", "yuv422p12le"] {
        let path = folder.path().join(format!("{format}.mkv"));
        ffmpeg(&format!("{source} -c:v ffv1 -pix_fmt {format}"), &path);
        for (found, expected) in decode(&path).0[0].quarters.into_iter().zip(expected) {
            assert!((found - expected).abs() < 2.0, "{format}: {found} against {expected}");
        }
    }
}

#[test]
fn rotation_turns_the_picture_upright() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain.mp4");
    let source = "-f lavfi -i color=black:size=64x32:rate=5:duration=1 \
                  -vf drawbox=x=0:y=0:w=32:h=16:color=white:t=fill -c:v libx264";
    ffmpeg(source, &plain);
    let corner = |path: &Path| {
        let (frames, decoded) = decode(path);
        let quarters = frames[0].quarters;
        let brightest = (0..4).max_by(|a, b| quarters[*a].total_cmp(&quarters[*b])).unwrap();
        ((brightest, frames[0].size), decoded.media.rotation)
    };
    assert_eq!(corner(&plain), ((0, (64, 32)), 0));
    // FFmpeg 5.1's muxer takes the tag as counter-clockwise; its player turns the picture as the matrix says.
    for (tag, rotation) in [(90, 270), (180, 180), (270, 90)] {
        let turned = folder.path().join(format!("{tag}.mp4"));
        ffmpeg(&format!("-i {} -c copy -metadata:s:v:0 rotate={tag}", plain.display()), &turned);
        let shown = folder.path().join("shown.y4m");
        ffmpeg(&format!("-i {} -pix_fmt yuv420p", turned.display()), &shown);
        assert_eq!(corner(&turned), (corner(&shown).0, rotation));
    }
}

#[test]
fn pixels_are_made_square() {
    let folder = tempfile::tempdir().unwrap();
    for (aspect, size) in [("4/3", (96, 48)), ("3/4", (72, 64)), ("1/1", (72, 48))] {
        let path = folder.path().join("anamorphic.mkv");
        ffmpeg(&format!("-f lavfi -i testsrc2=size=72x48:rate=5:duration=1 -vf setsar={aspect} -c:v ffv1"), &path);
        assert_eq!(decode(&path).0[0].size, size);
    }
}

#[test]
fn interlaced_pictures_are_deinterlaced_one_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("interlaced.ts");
    // A bright bar that moves fast: in an interlaced picture its edges are combs.
    ffmpeg(
        "-f lavfi -i testsrc2=size=128x96:rate=50:duration=1 -vf interlace=scan=tff -c:v mpeg2video -flags +ildct+ilme -q:v 2",
        &path,
    );
    let comb = |mode| {
        let mut decoder =
            Decoder::open(&Source::File(path.clone()), DecodeOptions { deinterlace: mode, ..DecodeOptions::default() })
                .unwrap();
        let (mut sum, mut pts) = (0.0, Vec::new());
        while let Some(frame) = decoder.next_frame().unwrap() {
            let luma = frame.picture.luma();
            for y in 1..luma.height - 1 {
                for x in 0..luma.width {
                    let [above, here, below] = [y - 1, y, y + 1].map(|y| f64::from(luma.row(y)[x]));
                    sum += (above - here).max(0.0) * (below - here).max(0.0);
                }
            }
            pts.push(frame.pts);
        }
        assert!(decoder.finish().media.interlaced);
        (sum, pts)
    };
    let (auto, pts) = comb(Deinterlace::Auto);
    let (off, _) = comb(Deinterlace::Off);
    assert!(auto < 0.7 * off, "{auto} against {off}");
    assert_eq!(pts, probed_pts(&path));
    assert_eq!(comb(Deinterlace::On).1, pts);
}

#[test]
fn variable_frame_rate_keeps_each_frames_own_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("variable.mkv");
    ffmpeg(
        "-f lavfi -i testsrc2=size=64x48:rate=25:duration=2 -vf select='not(mod(n\\,3))+lt(n\\,10)' -vsync vfr -c:v libx264",
        &path,
    );
    let (frames, decoded) = decode(&path);
    assert_eq!(frames.iter().map(|f| f.pts).collect::<Vec<_>>(), probed_pts(&path));
    assert!(decoded.media.variable_frame_rate);
}

#[test]
fn a_change_of_size_in_mid_stream_loses_no_frame() {
    let folder = tempfile::tempdir().unwrap();
    let joined = folder.path().join("joined.ts");
    let mut bytes = Vec::new();
    for size in ["64x48", "96x64"] {
        let part = folder.path().join("part.m2v");
        ffmpeg(&format!("-f lavfi -i testsrc2=size={size}:rate=25:duration=1 -c:v mpeg2video -bf 0"), &part);
        bytes.extend(std::fs::read(&part).unwrap());
    }
    let pictures = folder.path().join("joined.m2v");
    std::fs::write(&pictures, bytes).unwrap();
    ffmpeg(&format!("-fflags +genpts -r 25 -i {} -c copy", pictures.display()), &joined);
    let (frames, decoded) = decode(&joined);
    assert_eq!(frames.len(), probed_pts(&joined).len());
    assert_eq!(frames.first().unwrap().size, (64, 48));
    // One system of coordinates: all are fitted into the first size.
    assert!(frames.iter().all(|frame| frame.size == (64, 48)));
    assert_eq!(decoded.damage.iter().filter(|d| d.kind == DamageKind::SizeChanged).count(), 1, "{:?}", decoded.damage);
    assert_eq!(decoded.incomplete_because, Vec::<String>::new());
}

/// Containers and structures of groups of pictures, from one key frame a second to one in all.
const STRUCTURES: [(&str, &str); 16] = [
    ("closed.mp4", "-c:v libx264 -g 25 -bf 2"),
    ("open.mp4", "-c:v libx264 -g 20 -bf 3 -x264-params open-gop=1"),
    ("open.mkv", "-c:v libx264 -g 20 -bf 3 -x264-params open-gop=1"),
    ("open.ts", "-c:v libx264 -g 20 -bf 3 -x264-params open-gop=1"),
    ("refresh.mp4", "-c:v libx264 -g 30 -x264-params intra-refresh=1"),
    ("refresh.ts", "-c:v libx264 -g 30 -x264-params intra-refresh=1"),
    ("long.mkv", "-c:v libx264 -g 1000 -keyint_min 1000 -sc_threshold 0"),
    ("long.ts", "-c:v libx264 -g 1000 -keyint_min 1000 -sc_threshold 0 -bf 2"),
    ("short.m2ts", "-c:v libx264 -g 12 -bf 2 -f mpegts -mpegts_m2ts_mode 1"),
    ("late.ts", "-c:v mpeg2video -g 12 -bf 2 -output_ts_offset 39600"),
    ("open.mpg", "-c:v mpeg2video -g 12 -bf 2"),
    ("b-frames.avi", "-c:v mpeg4 -bf 2 -g 15"),
    ("hidden.webm", "-c:v libvpx -deadline realtime -auto-alt-ref 1 -lag-in-frames 10 -g 30"),
    ("plain.flv", "-c:v flv -g 25"),
    ("plain.nut", "-c:v mpeg4 -bf 2 -g 25"),
    ("fragments.mp4", "-c:v libx264 -g 25 -bf 2 -movflags frag_keyframe+empty_moov"),
];

#[test]
fn a_range_has_exactly_the_frames_of_the_whole_in_every_container_and_structure() {
    let folder = tempfile::tempdir().unwrap();
    for (name, arguments) in STRUCTURES {
        let path = folder.path().join(name);
        ffmpeg(&format!("-f lavfi -i testsrc2=size=64x48:rate=25:duration=9 -preset ultrafast {arguments}"), &path);
        let (whole, _) = decode(&path);
        let first_s = whole[0].time_s;
        // Between frames, on a frame, at the very end.
        for (start, end) in [(0.0, 0.3), (1.301, 1.9), (4.4, 5.0), (6.02, 6.5), (8.1, 99.0)] {
            let (start_s, end_s) = (first_s + start, first_s + end);
            let range = DecodeOptions { start_s: Some(start_s), end_s: Some(end_s), ..DecodeOptions::default() };
            let (part, decoded) = decode_with(&path, range).unwrap_or_else(|error| panic!("{start}: {error}"));
            // Sums of doubles are not exact; ranges are (`a_range_is_decided_on_exact_times`).
            let is_wanted = |f: &&Seen| f.time_s >= start_s - 1e-9 && f.time_s < end_s - 1e-9;
            let expected: Vec<&Seen> = whole.iter().filter(is_wanted).collect();
            let pts = |frames: &[&Seen]| frames.iter().map(|frame| frame.pts).collect::<Vec<_>>();
            assert_eq!(pts(&part.iter().collect::<Vec<_>>()), pts(&expected), "{name} from {start} s");
            for (part, expected) in part.iter().zip(expected) {
                assert_eq!(part.quarters, expected.quarters, "{name} from {start} s: the picture at {} s", part.time_s);
            }
            assert_eq!(decoded.incomplete_because, Vec::<String>::new(), "{name} from {start} s");
        }
    }
}

#[test]
fn a_range_is_decided_on_exact_times() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("thirty.mp4");
    ffmpeg("-f lavfi -i testsrc2=size=64x48:rate=30:duration=1 -c:v libx264", &path);
    for tenth in 1..9 {
        // What a person types; three frames are a tenth, though neither has an exact double.
        let start: f64 = format!("0.{tenth}").parse().unwrap();
        let range = DecodeOptions { start_s: Some(start), ..DecodeOptions::default() };
        assert_eq!(decode_with(&path, range).unwrap().0.len(), 30 - 3 * tenth);
        let range = DecodeOptions { end_s: Some(start), ..DecodeOptions::default() };
        assert_eq!(decode_with(&path, range).unwrap().0.len(), 3 * tenth);
    }
}

#[test]
fn bad_time_stamps_move_no_other_frame_and_cost_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let sound = folder.path().join("sound.mkv");
    ffmpeg("-f lavfi -i testsrc2=size=64x48:rate=25:duration=2 -c:v libx264 -bf 0", &sound);
    let expected: Vec<i64> = (0..50).map(|frame| frame * 40).collect();
    for (name, stamps, bad) in [
        ("repeated.mkv", "if(eq(N\\,30)\\,PTS-1/25/TB\\,PTS)", 1),
        ("backward.mkv", "if(eq(N\\,30)\\,PTS-10/25/TB\\,PTS)", 1),
        ("ahead.mkv", "if(eq(N\\,30)\\,PTS+60/TB\\,PTS)", 1),
        ("often.mkv", "if(eq(mod(N\\,5)\\,3)\\,PTS-1/25/TB\\,PTS)", 10),
    ] {
        let path = folder.path().join(name);
        ffmpeg(&format!("-i {} -c copy -bsf:v setts=pts={stamps}:dts=(N-20)/25/TB", sound.display()), &path);
        let (frames, decoded) = decode(&path);
        let time_ms = |frame: &Seen| ((frame.time_s - frames[0].time_s) * 1000.0).round() as i64;
        let times: Vec<i64> = frames.iter().map(time_ms).collect();
        assert_eq!(times, expected, "{name}");
        let repaired = decoded.damage.iter().filter(|d| d.kind == DamageKind::TimeRepaired).map(|d| d.count);
        assert_eq!(repaired.sum::<usize>(), bad, "{name}: {:?}", decoded.damage);
        assert_eq!(decoded.incomplete_because, Vec::<String>::new(), "{name}");
    }
}

#[test]
fn the_containers_start_is_what_players_show_as_zero() {
    let folder = tempfile::tempdir().unwrap();
    let source = "-f lavfi -i testsrc2=size=64x48:rate=25:duration=1";
    let sound = "-f lavfi -i sine=duration=1";
    for (name, arguments) in [
        ("plain.mp4", format!("{source} -c:v libx264")),
        ("plain.ts", format!("{source} -c:v mpeg2video")),
        ("hours.ts", format!("{source} -c:v mpeg2video -output_ts_offset 39600")),
        // The sound starts first.
        ("sound.mkv", format!("-itsoffset 2 {source} -itsoffset 1.5 {sound} -c:v libx264 -c:a pcm_s16le")),
    ] {
        let path = folder.path().join(name);
        ffmpeg(&arguments, &path);
        let stated: f64 = ffprobe(&path, "format=start_time")[0].parse().unwrap();
        let media = decode(&path).1.media;
        assert!((media.start_s - stated).abs() < 2e-6, "{name}: {} is not {stated}", media.start_s);
    }
}

#[test]
fn of_several_videos_the_one_taken_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("two.mkv");
    let sizes = "-f lavfi -i testsrc2=size=32x24:rate=5:duration=1 -f lavfi -i testsrc2=size=64x48:rate=5:duration=1";
    ffmpeg(&format!("{sizes} -map 0 -map 1 -c:v ffv1"), &path);
    let (frames, decoded) = decode(&path);
    assert_eq!(decoded.media.video_streams, 2);
    assert_eq!(frames[0].size, [(32, 24), (64, 48)][decoded.media.stream]);
}

/// Whole videos about which FFmpeg or the container says something that a damaged one's would.
#[test]
fn a_whole_video_is_complete_whatever_is_said_beside_its_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let source = "-f lavfi -i testsrc2=size=64x48:rate=25:duration=2";
    let mut made = Vec::new();
    // Sound that goes on for two seconds.
    for (container, video, sound) in [
        ("mkv", "libx264", "libopus"),
        ("webm", "libvpx -deadline realtime", "libopus"),
        ("flv", "flv", "aac"),
        ("wmv", "wmv2", "wmav2"),
        ("nut", "mpeg4", "pcm_s16le"),
        ("avi", "mpeg4", "pcm_s16le"),
        ("mp4", "libx264", "aac"),
        ("ogv", "libtheora -q:v 7", "libvorbis"),
    ] {
        let to = path(&format!("longer.{container}"));
        ffmpeg(&format!("{source} -f lavfi -i sine=duration=4 -c:v {video} -c:a {sound}"), &to);
        made.push(to);
    }
    // Subtitles that go on.
    std::fs::write(path("late.srt"), "1\n00:00:03,000 --> 00:00:05,000\nlate\n").unwrap();
    let late = path("late.srt");
    ffmpeg(&format!("{source} -i {} -c:v libx264 -c:s srt", late.display()), &path("subtitles.mkv"));
    made.push(path("subtitles.mkv"));
    // A chapter track that is not there.
    std::fs::write(path("chapters"), ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=900\ntitle=a\n").unwrap();
    let chapters = path("chapters");
    ffmpeg(&format!("{source} -i {} -map 0:v -map_metadata 1 -c:v libx264", chapters.display()), &path("chapter.mp4"));
    let mut bytes = std::fs::read(path("chapter.mp4")).unwrap();
    let at = bytes.windows(4).position(|kind| kind == b"chap").unwrap();
    bytes[at + 4..at + 8].copy_from_slice(&77u32.to_be_bytes());
    std::fs::write(path("chapter.mp4"), bytes).unwrap();
    made.push(path("chapter.mp4"));
    // Pictures that are called interlaced in a sequence that is not.
    // Of a height that fields and frames divide into macroblocks alike.
    let fields = "-vf scale=64:64,setfield=tff -flags +ildct+ilme";
    ffmpeg(&format!("{source} {fields} -c:v mpeg2video -f mpeg2video"), &path("fields.m2v"));
    let mut bytes = std::fs::read(path("fields.m2v")).unwrap();
    for at in 0..bytes.len() - 6 {
        if bytes[at..at + 4] == [0, 0, 1, 0xb5] && bytes[at + 4] >> 4 == 1 {
            bytes[at + 5] |= 8;
        }
    }
    std::fs::write(path("fields.m2v"), bytes).unwrap();
    ffmpeg(&format!("-fflags +genpts -r 25 -i {} -c copy", path("fields.m2v").display()), &path("fields.mkv"));
    made.push(path("fields.mkv"));
    // Photographs with a header that says nothing sensible about the camera.
    ffmpeg(&format!("{source} -c:v mjpeg -f mjpeg"), &path("plain.mjpeg"));
    let bytes = std::fs::read(path("plain.mjpeg")).unwrap();
    let mut photographs = Vec::new();
    for (at, byte) in bytes.iter().enumerate() {
        photographs.push(*byte);
        if at > 0 && bytes[at - 1..=at] == [0xff, 0xd8] {
            photographs.extend([0xff, 0xe1, 0, 16]);
            photographs.extend(b"Exif\0\0broken!!");
        }
    }
    std::fs::write(path("exif.mjpeg"), photographs).unwrap();
    ffmpeg(&format!("-r 25 -f mjpeg -i {} -c copy", path("exif.mjpeg").display()), &path("exif.avi"));
    made.push(path("exif.avi"));
    for file in made {
        let (frames, decoded) = decode(&file);
        assert_eq!(decoded.incomplete_because, Vec::<String>::new(), "{}: {:?}", file.display(), decoded.damage);
        assert_eq!(frames.len(), probed_pts(&file).len(), "{}", file.display());
    }
}

#[test]
fn damage_never_shortens_the_timeline_silently() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let source = "-f lavfi -i testsrc2=size=320x240:rate=25:duration=4";
    let damaged = |name: &str, arguments: &str, damage: &dyn Fn(&mut Vec<u8>)| {
        let path = folder.path().join(name);
        ffmpeg(&format!("{source} {arguments}"), &whole.with_extension(path.extension().unwrap()));
        let mut bytes = std::fs::read(whole.with_extension(path.extension().unwrap())).unwrap();
        damage(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        decode(&path).1
    };
    let cut = |share: f64| move |bytes: &mut Vec<u8>| bytes.truncate((bytes.len() as f64 * share) as usize);
    let decoded = damaged("cut.mp4", "-c:v libx264 -movflags +faststart", &cut(0.6));
    assert!(decoded.damage.iter().any(|d| d.kind == DamageKind::Truncated), "{:?}", decoded.damage);
    let decoded = damaged("cut.mkv", "-c:v libx264", &cut(0.5));
    assert!(decoded.damage.iter().any(|d| d.kind == DamageKind::Truncated), "{:?}", decoded.damage);
    let decoded = damaged("hole.mp4", "-c:v libx264 -crf 10", &|bytes| {
        let middle = bytes.len() / 2;
        bytes[middle..middle + 24 * 1024].fill(0x55);
    });
    assert!(!decoded.incomplete_because.is_empty(), "{:?}", decoded.media);
    let decoded = damaged("joined.ts", "-c:v mpeg2video", &|bytes| bytes.extend(bytes.clone()));
    assert!(decoded.damage.iter().any(|d| d.kind == DamageKind::TimeReset), "{:?}", decoded.damage);
    let decoded = damaged("noise.ts", "-c:v libx264 -bf 0", &|bytes| {
        for offset in (20_000..bytes.len()).step_by(3001) {
            bytes[offset] ^= 0x3c;
        }
    });
    assert!(!decoded.incomplete_because.is_empty(), "{:?}", decoded.media);
}

#[test]
fn what_is_no_video_is_refused_with_its_own_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let secret = path("secret.ts");
    ffmpeg("-f lavfi -i testsrc2=size=64x48:rate=5:duration=1 -c:v mpeg2video", &secret);
    std::fs::write(path("text.mp4"), "only words here\n".repeat(100)).unwrap();
    std::fs::write(path("empty.mp4"), "").unwrap();
    std::fs::write(path("list.mp4"), "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:1,\nsecret.ts\n#EXT-X-ENDLIST\n")
        .unwrap();
    std::fs::write(path("concat.mp4"), "ffconcat version 1.0\nfile secret.ts\n").unwrap();
    ffmpeg("-f lavfi -i sine=duration=1 -c:a aac", &path("sound.mp4"));
    ffmpeg("-f lavfi -i testsrc2=size=64x48:rate=5:duration=0.2 -frames:v 1", &path("picture.jpg"));
    std::fs::rename(path("picture.jpg"), path("picture.mp4")).unwrap();
    let error = |name: &str| {
        decode_with(&path(name), DecodeOptions::default()).err().unwrap_or_else(|| panic!("{name} was decoded"))
    };
    assert!(matches!(error("absent.mp4"), DecodeError::Missing { .. }));
    assert!(matches!(error("."), DecodeError::Directory { .. }));
    assert!(matches!(error("empty.mp4"), DecodeError::Empty { .. }));
    assert!(matches!(error("sound.mp4"), DecodeError::NoVideo { .. }));
    for name in ["text.mp4", "list.mp4", "concat.mp4", "picture.mp4"] {
        let error = error(name);
        assert!(matches!(error, DecodeError::NotVideo { .. } | DecodeError::Refused { .. }), "{name}: {error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    // A still picture in boxes; encrypted samples.
    ffmpeg("-f lavfi -i testsrc2=size=64x48:rate=5:duration=1 -c:v libx264", &path("plain.mp4"));
    let mut still = std::fs::read(path("plain.mp4")).unwrap();
    still[8..12].copy_from_slice(b"avif");
    std::fs::write(path("still.mp4"), still).unwrap();
    assert!(matches!(error("still.mp4"), DecodeError::Picture { .. }));
    let key = "-encryption_scheme cenc-aes-ctr -encryption_key 76a6c65c5ea762046bd749a2e632ccbb \
               -encryption_kid a7e61c373e219033c21091fa607bf3b8";
    ffmpeg(&format!("-f lavfi -i testsrc2=size=64x48:rate=5:duration=1 -c:v libx264 {key}"), &path("locked.mp4"));
    assert!(matches!(error("locked.mp4"), DecodeError::Encrypted { .. }));
    let small = DecodeOptions { max_pixels: 1000, ..DecodeOptions::default() };
    assert!(matches!(decode_with(&secret, small), Err(DecodeError::TooLarge { .. })));
}

#[test]
fn odd_names_are_names() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain.mp4");
    ffmpeg("-f lavfi -i testsrc2=size=64x48:rate=5:duration=1 -c:v libx264", &plain);
    let names: [&[u8]; 6] =
        [b"-dash.mp4", b"take:1.mp4", b"frame%03d.mp4", b"new\nline.mp4", b"\xff\xfe.mp4", b"a|b{c}.mp4"];
    for name in names {
        let path = folder.path().join(std::ffi::OsStr::from_bytes(name));
        std::fs::copy(&plain, &path).unwrap();
        assert_eq!(decode(&path).0.len(), 5, "{}", path.display());
    }
}

#[test]
fn what_would_take_memory_beyond_measure_is_refused_before_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    // The container says 64x48; the picture inside is larger than any limit.
    ffmpeg("-f lavfi -i color=gray:size=9000x9000:rate=1:duration=1 -c:v png -pix_fmt gray", &path("large.mkv"));
    let mut bytes = std::fs::read(path("large.mkv")).unwrap();
    for (id, small) in [(0xb0, 64), (0xba, 48)] {
        let at = bytes.windows(4).position(|b| b == [id, 0x82, 0x23, 0x28]).expect("9000 in two bytes");
        bytes[at + 2..at + 4].copy_from_slice(&[0, small]);
    }
    std::fs::write(path("large.mkv"), bytes).unwrap();
    let options = DecodeOptions { max_pixels: 1 << 20, ..DecodeOptions::default() };
    match decode_with(&path("large.mkv"), options) {
        Err(DecodeError::TooLarge { width: 9000, height: 9000, .. }) => {}
        other => panic!("{:?}", other.map(|(_, decoded)| decoded)),
    }
    // A hundred thousand edits over a thousand samples.
    let boxed = |kind: &[u8], content: &[u8]| [&(content.len() as u32 + 8).to_be_bytes(), kind, content].concat();
    let numbers = |numbers: &[u32]| numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<u8>>();
    let edits = boxed(b"edts", &boxed(b"elst", &numbers(&[0, 100_000])));
    let samples = boxed(b"stbl", &boxed(b"stsz", &numbers(&[0, 100, 1000])));
    let track = boxed(b"trak", &[edits, boxed(b"mdia", &boxed(b"minf", &samples))].concat());
    std::fs::write(path("edits.mp4"), [boxed(b"ftyp", b"isom"), boxed(b"moov", &track)].concat()).unwrap();
    let error = decode_with(&path("edits.mp4"), DecodeOptions::default()).err().unwrap();
    assert!(matches!(error, DecodeError::TooManyEdits { edits: 100_000, samples: 1000, .. }), "{error}");
    assert_eq!(error.kind(), DecodeErrorKind::Limit);
}
