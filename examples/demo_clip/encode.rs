//! Pipes the clip's raw frames into the `ffmpeg` command.

use std::io::Write;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::scene::{FRAME_RATE, HEIGHT, WIDTH};

/// A running `ffmpeg` that writes an H.264 file.
pub struct Encoder {
    process: Child,
    frames: ChildStdin,
}

impl Encoder {
    /// Starts encoding into `path`, replacing the file.
    pub fn start(path: &Path) -> Result<Self> {
        let mut process = Command::new("ffmpeg")
            .args(["-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "yuv420p"])
            .args(["-s", &format!("{WIDTH}x{HEIGHT}"), "-r", &FRAME_RATE.to_string(), "-i", "-"])
            .args(["-c:v", "libx264", "-preset", "slow", "-crf", "23", "-g", "50", "-pix_fmt", "yuv420p"])
            .args(["-color_range", "tv", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"])
            // A fixed number of threads and no dates or version strings, so that the bytes can be reproduced.
            .args(["-threads", "2", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-movflags", "+faststart"])
            .arg(path)
            .stdin(Stdio::piped())
            .spawn()
            .context("cannot start ffmpeg")?;
        let frames = process.stdin.take().context("ffmpeg has no standard input")?;
        Ok(Self { process, frames })
    }

    /// Appends a frame, planar YUV 4:2:0.
    pub fn write(&mut self, frame: &[u8]) -> Result<()> {
        self.frames.write_all(frame).context("ffmpeg stopped reading")
    }

    /// Waits until the file is complete.
    pub fn finish(mut self) -> Result<()> {
        drop(self.frames);
        let status = self.process.wait()?;
        ensure!(status.success(), "ffmpeg failed: {status}");
        Ok(())
    }
}
