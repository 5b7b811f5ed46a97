//! Opening an input: what may be opened, and what is refused.
#![allow(unsafe_code)] // FFmpeg's demuxer is opened with options *and* an interrupt callback, which the binding cannot do.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi;

use super::DecodeError;

/// Where the video comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A local file or named pipe.
    File(PathBuf),
    /// Standard input.
    Stdin,
    /// Any other FFmpeg input; only where the person allowed it.
    Url(String),
}

impl Source {
    /// How messages and outputs name it.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Stdin => "-".into(),
            Self::Url(url) => url.clone(),
        }
    }
}

/// Containers that hold their own pictures. Playlists (hls, dash, concat) and image sequences are not among them: renamed
/// `.mp4`, they would make FFmpeg read other files.
const FORMATS: &str = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,gif,flv,live_flv,ogg,asf,asf_o,\
                       mxf,h264,hevc,av1,obu,ivf,m4v,dv,nut,rm,wtv,yuv4mpegpipe";

/// Opens the container and finds its streams.
pub(crate) fn open(source: &Source, interrupt: Arc<AtomicBool>) -> Result<ffmpeg::format::context::Input, DecodeError> {
    let name = source.name();
    let (url, protocols) = match source {
        Source::File(path) => {
            check_file(path, &name)?;
            let mut url = b"file:".to_vec();
            url.extend_from_slice(path.as_os_str().as_bytes());
            (url, "file")
        }
        Source::Stdin => (b"pipe:0".to_vec(), "pipe"),
        Source::Url(url) => (url.clone().into_bytes(), "http,https,tls,tcp,udp,rtp,rtsp,rtmp,srt,crypto,data"),
    };
    let url = CString::new(url)
        .map_err(|_| DecodeError::NotOpened { name: name.clone(), reason: "the name holds a zero byte".into() })?;
    let mut options = ffmpeg::Dictionary::new();
    options.set("protocol_whitelist", protocols);
    if !matches!(source, Source::Url(_)) {
        options.set("format_whitelist", FORMATS);
    }
    let refused = |error: ffmpeg::Error| match error {
        ffmpeg::Error::InvalidData => DecodeError::NotVideo { name: name.clone() },
        ffmpeg::Error::Exit => DecodeError::Interrupted { name: name.clone() },
        // What a format outside the whitelist gives.
        ffmpeg::Error::Other { errno } if errno == ffmpeg::error::EINVAL => DecodeError::Refused { name: name.clone() },
        error => DecodeError::NotOpened { name: name.clone(), reason: error.to_string() },
    };
    let callback = ffmpeg::util::interrupt::new(Box::new(move || interrupt.load(Ordering::Relaxed)));
    // SAFETY: the context is allocated here and given to the wrapper, which frees it, together with the guard that keeps
    // the callback's data alive. `avformat_open_input` frees the context itself when it fails. The dictionary is taken
    // back after the call, as FFmpeg may have replaced it.
    unsafe {
        let mut context = ffi::avformat_alloc_context();
        if context.is_null() {
            return Err(DecodeError::NotOpened { name, reason: "out of memory".into() });
        }
        (*context).interrupt_callback = callback.interrupt;
        let mut raw_options = options.disown();
        let code = ffi::avformat_open_input(&mut context, url.as_ptr(), std::ptr::null_mut(), &mut raw_options);
        drop(ffmpeg::Dictionary::own(raw_options));
        if code < 0 {
            return Err(refused(ffmpeg::Error::from(code)));
        }
        let input = ffmpeg::format::context::Input::wrap_with_interrupt(context, callback.guard);
        let code = ffi::avformat_find_stream_info(context, std::ptr::null_mut());
        if code < 0 {
            return Err(refused(ffmpeg::Error::from(code)));
        }
        Ok(input)
    }
}

fn check_file(path: &std::path::Path, name: &str) -> Result<(), DecodeError> {
    let name = || name.to_owned();
    let metadata = std::fs::metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => DecodeError::Missing { name: name() },
        _ => DecodeError::NotOpened { name: name(), reason: e.to_string() },
    })?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Err(DecodeError::Directory { name: name() });
    }
    if !kind.is_file() && !kind.is_fifo() {
        return Err(DecodeError::NotOpened { name: name(), reason: "neither a file nor a named pipe".into() });
    }
    if kind.is_file() {
        if metadata.len() == 0 {
            return Err(DecodeError::Empty { name: name() });
        }
        std::fs::File::open(path).map_err(|e| DecodeError::NotOpened { name: name(), reason: e.to_string() })?;
    }
    Ok(())
}
