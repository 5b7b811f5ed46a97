//! The table of cases.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use super::{CANARY, Case, End};
use crate::material::ffmpeg;

/// Frames of the sound clip that every damaged one is made from: two seconds.
pub const FRAMES: usize = 50;
const SOURCE: &str = "-f lavfi -i testsrc2=size=64x48:rate=25:duration=2";

/// What ffmpeg makes of `arguments`, as a file with this name.
pub fn encoded(name: &str, arguments: &str) -> Arc<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    ffmpeg(arguments, &path);
    Arc::new(std::fs::read(path).unwrap())
}

fn bytes(name: impl Into<OsString>, bytes: impl AsRef<[u8]> + Send + Sync + 'static, end: End) -> Case {
    Case::new(name, move |path| std::fs::write(path, bytes.as_ref()).unwrap(), end)
}

/// Containers with their encoders, and whether damage in them can always be seen.
const CONTAINERS: [(&str, &str); 12] = [
    ("front.mp4", "-c:v libx264 -preset ultrafast -bf 2 -g 25 -movflags +faststart"),
    ("fragmented.mp4", "-c:v libx264 -preset ultrafast -g 25 -movflags frag_keyframe+empty_moov"),
    ("plain.mkv", "-c:v libx264 -preset ultrafast -g 25"),
    ("plain.webm", "-c:v libvpx -deadline realtime"),
    ("plain.ts", "-c:v libx264 -preset ultrafast -g 25"),
    ("mpeg2.mpg", "-c:v mpeg2video"),
    ("mpeg4.avi", "-c:v mpeg4"),
    ("raw.avi", "-c:v rawvideo -pix_fmt yuv420p"),
    ("plain.flv", "-c:v flv"),
    ("plain.ogv", "-c:v libtheora"),
    ("plain.gif", ""),
    ("plain.y4m", "-pix_fmt yuv420p"),
];

pub fn damaged() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, arguments) in CONTAINERS {
        let sound = encoded(name, &format!("{SOURCE} {arguments}"));
        let length = sound.len();
        // libtheora leaves pictures out where it finds that they repeat.
        let whole = if name == "plain.ogv" { End::Honest(30..=FRAMES) } else { End::Whole(FRAMES) };
        cases.push(bytes(name, sound.to_vec(), whole));
        for percent in [45, 75, 97] {
            let cut = sound[..length * percent / 100].to_vec();
            let end = match (name, percent) {
                // Its only picture may be too short to be one.
                ("plain.gif", 45) => End::Refused(3, ""),
                // Cut between two packets of the transport, or in what follows the last picture: nothing is amiss.
                ("plain.ts" | "mpeg2.mpg" | "mpeg4.avi", _) => End::Honest(1..=FRAMES),
                _ => End::Partial(1..=FRAMES),
            };
            cases.push(bytes(format!("cut{percent}_{name}"), cut, end));
        }
        // A sector of another file, and a sector that is gone.
        let (middle, sector) = (length / 2, (length / 8).min(16 << 10));
        let mut hole = sound.to_vec();
        hole[middle..middle + sector].fill(0x55);
        let mut gone = sound.to_vec();
        gone.drain(middle..middle + sector);
        let mut noise = sound.to_vec();
        noise[2000.min(length / 4)..].iter_mut().step_by(997).for_each(|byte| *byte ^= 0x5a);
        let is_plain_pixels = ["raw.avi", "plain.y4m"].contains(&name);
        let end = if is_plain_pixels { End::Honest(1..=FRAMES + 1) } else { End::Partial(1..=FRAMES + 1) };
        cases.push(bytes(format!("hole_{name}"), hole, end.clone()));
        cases.push(bytes(format!("gone_{name}"), gone, end));
        // Ogg's pages have checksums: none of them is left.
        let end = if name == "plain.ogv" { End::Refused(3, "") } else { End::Honest(1..=FRAMES + 1) };
        cases.push(bytes(format!("noise_{name}"), noise, end));
    }
    let of = |name: &str| encoded(name, &format!("{SOURCE} {}", CONTAINERS.iter().find(|c| c.0 == name).unwrap().1));
    // Recorded from the middle: what comes before the first key frame is lost.
    let ts = of("plain.ts");
    cases.push(bytes("late.ts", ts[188 * (ts.len() / 188 / 4)..].to_vec(), End::Partial(20..=FRAMES - 1)));
    // The clock jumps back, and nothing is missing.
    cases.push(bytes("twice.ts", [&ts[..], &ts[..]].concat(), End::Honest(2 * FRAMES..=2 * FRAMES)));
    // The index is at the end, and the end is not there.
    let end = encoded("end.mp4", &format!("{SOURCE} -c:v libx264 -preset ultrafast"));
    cases.push(bytes("end.mp4", end[..end.len() * 9 / 10].to_vec(), End::Refused(3, "")));
    cases
}

/// A video's name that points somewhere else.
fn linked(name: &str, target: &'static str, end: End) -> Case {
    Case::new(name, move |path| std::os::unix::fs::symlink(target, path).unwrap(), end)
}

fn nothing(name: impl Into<OsString>, end: End) -> Case {
    Case::new(name, |_| {}, end)
}

fn red_clip(beside: &Path) {
    let secret = beside.with_file_name("secret.ts");
    ffmpeg("-f lavfi -i color=red:size=64x48:rate=25:duration=0.28 -c:v mpeg2video", &secret);
}

pub fn hostile() -> Vec<Case> {
    let no = |code, reason| End::Refused(code, reason);
    let list = |name: &str, text: &str| {
        let text = text.to_owned();
        let make = move |path: &Path| {
            red_clip(path);
            std::fs::write(path, &text).unwrap();
        };
        Case::new(name, make, no(3, ""))
    };
    let hls = "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:1,\nsecret.ts\n#EXT-X-ENDLIST\n";
    let dash = "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011' type='static' profiles=\
                'urn:mpeg:dash:profile:isoff-on-demand:2011'><Period><AdaptationSet><Representation id='1'><BaseURL>\
                secret.ts</BaseURL></Representation></AdaptationSet></Period></MPD>";
    let sdp = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n\
               a=rtpmap:96 H264/90000\n";
    let mut cases = vec![
        list("hls.mp4", hls),
        list("hls.mkv", hls),
        list("hls.m3u8", hls),
        list("hls_file.mp4", "#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"),
        list("hls_http.mp4", "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"),
        list("hls_concat.mp4", "#EXTM3U\n#EXTINF:1,\nconcat:secret.txt|secret.ts\n#EXT-X-ENDLIST\n"),
        list("dash.mp4", dash),
        list("dash.mpd", dash),
        list("concat.mp4", "ffconcat version 1.0\nfile secret.ts\n"),
        list("concat.txt", "file 'secret.ts'\n"),
        list("sdp.mp4", sdp),
        list("playlist.pls", "[playlist]\nFile1=secret.ts\n"),
        list("smil.mp4", "<smil><body><video src='secret.ts'/></body></smil>"),
        list("script.avs", "DirectShowSource(\"secret.ts\")\n"),
        list("subtitles.mp4", &format!("1\n00:00:00,000 --> 00:00:01,000\n{CANARY}\n")),
        list("filter.ffmeta", ";FFMETADATA1\ntitle=secret.ts\n"),
        nothing("take:1.mp4", no(3, "no such file")),
        nothing("concat:secret.ts|secret.ts", no(3, "no such file")),
        nothing("subfile,,start,0,end,9,,:secret.txt", no(3, "no such file")),
        nothing("data:video/mp4;base64,AAAA", no(3, "no such file")),
        nothing("file:secret.txt", no(3, "no such file")),
        nothing("pipe:0", no(3, "no such file")),
        nothing("cache:secret.txt", no(3, "no such file")),
        nothing("lavfi:testsrc", no(3, "no such file")),
        nothing("http:", no(3, "no such file")),
        nothing("http://127.0.0.1:9/a.mp4", no(3, "--allow-url")),
        nothing("file:///etc/passwd", no(3, "--allow-url")),
        nothing("file:///etc/passwd", no(3, "not opened")).with(&["--allow-url"]),
        nothing("http://127.0.0.1:9/a.mp4", no(75, "lost")).with(&["--allow-url"]),
        nothing("gopher://127.0.0.1:9/a.mp4", no(3, "")).with(&["--allow-url"]),
        nothing("frame%03d.jpg", no(3, "no such file")),
        nothing("*.mp4", no(3, "no such file")),
        nothing("a".repeat(255), no(3, "no such file")),
        nothing("a".repeat(300), no(3, "too long")),
        linked("password.mp4", "/etc/passwd", no(3, "not a video")),
        linked("canary.mp4", "secret.txt", no(3, "not a video")),
        linked("nowhere.mp4", "absent", no(3, "no such file")),
        linked("loop.mp4", "loop.mp4", no(3, "symbolic links")),
        linked("zero.mp4", "/dev/zero", no(3, "neither a file nor a named pipe")),
        linked("null.mp4", "/dev/null", no(3, "neither a file nor a named pipe")),
        linked("folder.mp4", "/", no(3, "directory")),
        bytes("empty.mp4", "", no(3, "empty")),
        bytes("one.mp4", "\0", no(3, "not a video")),
        bytes("zeros.mp4", vec![0; 1 << 20], no(3, "not a video")),
        bytes("text.mp4", "words\n".repeat(2000), no(3, "not a video")),
        bytes("html.mp4", "<html><body>Not found</body></html>", no(3, "not a video")),
        bytes("shell.mp4", "#!/bin/sh\ntouch INJECTED\n", no(3, "not a video")),
        bytes("zip.mp4", b"PK\x03\x04".repeat(100), no(3, "not a video")),
        bytes("pickle.mp4", b"\x80\x04cos\nsystem\n(S'touch INJECTED'\ntR.".to_vec(), no(3, "not a video")),
        bytes("head.mp4", b"\0\0\0\x18ftypisom\0\0\0\0isomiso2".to_vec(), no(3, "")),
        bytes("huge_box.mp4", b"\0\0\0\x18ftypisom\0\0\0\0isomiso2\xff\xff\xff\xffmoov".to_vec(), no(3, "")),
        bytes("riff.avi", b"RIFF\xff\xff\xff\xffAVI LIST\xff\xff\xff\xffhdrl".to_vec(), no(3, "")),
        bytes("ebml.mkv", b"\x1a\x45\xdf\xa3\x01\xff\xff\xff\xff\xff\xff\xff".to_vec(), no(3, "")),
        bytes("sound.mp4", encoded("s.mp4", "-f lavfi -i sine=duration=1 -c:a aac").to_vec(), no(3, "no video")),
        bytes("sound.wav", encoded("s.wav", "-f lavfi -i sine=duration=1").to_vec(), no(3, "")),
        bytes(
            "encrypted.mp4",
            encoded(
                "e.mp4",
                &format!(
                    "{SOURCE} -c:v libx264 -preset ultrafast -encryption_scheme cenc-aes-ctr \
                     -encryption_key 76a6c65c5ea762046bd749a2e632ccbb -encryption_kid a7e61c373e219033c21091fa607bf3b8"
                ),
            )
            .to_vec(),
            no(3, "encrypted"),
        ),
        bytes(
            "bomb.mkv",
            encoded("b.mkv", "-f lavfi -i color=gray:size=16000x16000:rate=1:duration=1 -c:v ffv1").to_vec(),
            no(7, "--max-pixels"),
        ),
    ];
    for extension in ["jpg", "png", "bmp", "webp"] {
        let name = format!("picture.{extension}");
        let picture = encoded(&name, "-f lavfi -i testsrc2=size=64x48:rate=1:duration=1 -frames:v 1 -update 1");
        cases.push(bytes(format!("{extension}.mp4"), picture.to_vec(), no(3, "")));
    }
    cases.push(Case::new("d.mp4", |path| std::fs::create_dir(path).unwrap(), no(3, "directory")));
    let socket = |path: &Path| drop(std::os::unix::net::UnixListener::bind(path).unwrap());
    cases.push(Case::new("socket.mp4", socket, no(3, "neither a file nor a named pipe")));
    // Nobody writes into it.
    let pipe = |path: &Path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    cases.push(Case::new("pipe.mp4", pipe, no(75, "no data")).with(&["--stall-timeout", "0.5"]));
    cases
}

pub fn odd() -> Vec<Case> {
    let sound = encoded("sound.mp4", &format!("{SOURCE} -c:v libx264 -preset ultrafast"));
    let mut cases = Vec::new();
    let names: [&[u8]; 18] = [
        b"-dash.mp4",
        b"--help",
        b"take:1.mp4",
        b"frame%03d.mp4",
        b"new\nline.mp4",
        b"tab\tand\x1b[31mcolour.mp4",
        b"\xff\xfe.mp4",
        b"a|b{c}.mp4",
        b"$(touch INJECTED).mp4",
        b"`touch INJECTED`.mp4",
        b"it's \"quoted\".mp4",
        b"   .mp4",
        b"*?[a].mp4",
        b"http:--a.mp4",
        b"\xe6\x89\x8b\xe8\xaf\xad.mp4",
        b"no extension",
        b".hidden.mp4",
        b"a;b&c<d>e.mp4",
    ];
    for name in names {
        cases.push(bytes(OsString::from_vec(name.to_vec()), sound.to_vec(), End::Whole(FRAMES)));
    }
    let short = "-f lavfi -i testsrc2=size=64x48:rate=5:duration=1";
    for (name, arguments) in [
        ("ten_bit.mkv", "-c:v ffv1 -pix_fmt yuv420p10le"),
        ("sixteen_bit.mkv", "-c:v ffv1 -pix_fmt gbrp16le"),
        ("sixteen_grey.mkv", "-c:v ffv1 -pix_fmt gray16le"),
        ("alpha.mkv", "-c:v ffv1 -pix_fmt yuva420p"),
        ("palette.mkv", "-c:v png -pix_fmt pal8"),
        ("one_bit.mkv", "-c:v png -pix_fmt monob"),
        ("packed.avi", "-c:v rawvideo -pix_fmt yuyv422"),
        ("planar.mkv", "-c:v ffv1 -pix_fmt yuv410p"),
        ("tall_chroma.mkv", "-c:v ffv1 -pix_fmt yuv440p"),
        ("one_pixel.mkv", "-vf format=gray,scale=1:1 -c:v ffv1"),
        ("narrow.mkv", "-vf scale=2:2000 -c:v ffv1"),
        ("wide.mkv", "-vf scale=2000:2 -c:v ffv1"),
        ("odd_size.mkv", "-vf scale=33:17 -pix_fmt yuv444p -c:v ffv1"),
        ("flat_pixels.mkv", "-vf setsar=1/100 -c:v ffv1"),
        ("rate.mkv", "-r 5 -c:v ffv1 -metadata title=<script>alert(1)</script>"),
    ] {
        let clip = encoded(name, &format!("{short} {arguments}"));
        cases.push(bytes(name, clip.to_vec(), End::Whole(5)));
    }
    let rare = "-f lavfi -i testsrc2=size=64x48:rate=25:duration=0.12 -vf setpts=N*72000/TB -fps_mode passthrough";
    cases.push(bytes("rare.mkv", encoded("rare.mkv", &format!("{rare} -c:v ffv1")).to_vec(), End::Whole(3)));
    let late = encoded("late.mkv", &format!("{short} -c:v ffv1 -output_ts_offset 90000"));
    cases.push(bytes("late.mkv", late.to_vec(), End::Whole(5)));
    let sizes = [("64x48", 0), ("96x64", 1)].map(|(size, offset)| {
        let source = format!("-f lavfi -i testsrc2=size={size}:rate=10:duration=1");
        encoded("part.ts", &format!("{source} -c:v mpeg2video -output_ts_offset {offset}"))
    });
    cases.push(bytes(
        "sizes.ts",
        sizes.iter().flat_map(|part| part.to_vec()).collect::<Vec<u8>>(),
        End::Honest(19..=20),
    ));
    // Trailing bytes are nobody's.
    cases.push(bytes("tail.mp4", [&sound[..], &[0; 4096]].concat(), End::Whole(FRAMES)));
    for (options, frames) in [(["--start", "1", "--end", "1.2"], 5), (["--start", "0", "--end", "0.01"], 1)] {
        cases.push(bytes("part.mp4", sound.to_vec(), End::Whole(frames)).with(&options));
    }
    cases
}

/// A copy of the built-in model, changed.
fn model(change: impl Fn(&Path) + Send + Sync + 'static, reason: &'static str) -> Case {
    let make = move |path: &Path| {
        std::fs::create_dir(path).unwrap();
        let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/models/default");
        for file in ["config.json", "model.safetensors"] {
            std::fs::copy(built_in.join(file), path.join(file)).unwrap();
        }
        change(path);
    };
    let mut case = Case::new("model", make, End::Refused(5, reason)).with(&["--model", "model"]);
    case.video = Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo/demo.mp4"));
    case
}

pub fn faulty_models() -> Vec<Case> {
    let weights = |bytes: Vec<u8>| move |model: &Path| std::fs::write(model.join("model.safetensors"), &bytes).unwrap();
    let config = |text: &'static str| move |model: &Path| std::fs::write(model.join("config.json"), text).unwrap();
    let edited = |from: &'static str, to: &'static str| {
        move |model: &Path| {
            let text = std::fs::read_to_string(model.join("config.json")).unwrap();
            assert!(text.contains(from), "{from}");
            std::fs::write(model.join("config.json"), text.replacen(from, to, 1)).unwrap();
        }
    };
    let endless = |name: &'static str| {
        move |model: &Path| {
            std::fs::remove_file(model.join(name)).unwrap();
            std::os::unix::fs::symlink("/dev/zero", model.join(name)).unwrap();
        }
    };
    let long_header = [(1_u64 << 60).to_le_bytes().to_vec(), b"{}".to_vec()].concat();
    let mut cases = vec![
        model(weights(Vec::new()), "model.safetensors"),
        model(weights(b"\x80\x02ccollections\nOrderedDict\n".to_vec()), "model.safetensors"),
        model(weights(long_header), "model.safetensors"),
        model(weights(vec![0xff; 4096]), "model.safetensors"),
        model(config(""), "config.json"),
        model(config("[]"), "config.json"),
        model(config("{\"name\": \"\\u0000\"}"), "config.json"),
        model(edited("\"side\"", "\"sides\""), "config.json"),
        model(edited("\"temperature\"", "\"temprature\""), "config.json"),
        model(endless("config.json"), "config.json"),
        model(endless("model.safetensors"), "model.safetensors"),
    ];
    let sound = encoded("sound.mp4", &format!("{SOURCE} -c:v libx264 -preset ultrafast"));
    for (options, code, reason) in [
        (["--model", "absent"], 5, "absent"),
        (["--threads", "100000"], 2, "--threads"),
        (["--max-faces", "0"], 2, "--max-faces"),
        (["--min-face", "nan"], 2, "--min-face"),
        (["--min-face", "2"], 2, "--min-face"),
        (["--stall-timeout", "-1"], 2, "--stall-timeout"),
        (["--stall-timeout", "inf"], 2, "--stall-timeout"),
        (["--max-pixels", "100"], 7, "--max-pixels"),
        (["--start", "nan"], 2, "--start"),
        (["--start", "-1"], 2, ""),
        (["--start", "1e9"], 2, "--start"),
        (["--end", "0"], 2, "--end"),
        (["--batch-size", "0"], 2, "--batch-size"),
        (["--device", "cuda:99"], 5, "cuda"),
        (["--calibrate", "secret.txt"], 5, "secret.txt"),
        (["--tiers", "secret.txt"], 5, "secret.txt"),
    ] {
        cases.push(bytes("v.mp4", sound.to_vec(), End::Refused(code, reason)).with(&options));
    }
    cases
}
