//! Opening an input: what may be opened, and what is refused.
#![expect(
    unsafe_code,
    reason = "FFmpeg's demuxer is opened with options *and* an interrupt callback, which the binding cannot do"
)]

use std::ffi::CString;
use std::fs::{File, Metadata, OpenOptions};
use std::io::IsTerminal as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi;
use ffmpeg_next::format::context::Input;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

use super::{DecodeError, Patience};

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

    /// Whether it is read as it comes, once: everything but a file.
    pub fn is_stream(&self) -> bool {
        match self {
            Self::File(path) => std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo()),
            Self::Stdin | Self::Url(_) => true,
        }
    }
}

/// Containers that hold their own pictures. Playlists (hls, dash, concat) and image sequences are not among them: renamed
/// `.mp4`, they would make FFmpeg read other files.
const FORMATS: &str = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,gif,flv,live_flv,ogg,asf,asf_o,\
                       mxf,h264,hevc,av1,obu,ivf,m4v,dv,nut,rm,wtv,yuv4mpegpipe";

/// What else may come over a network: a live stream's description, and playlists whose parts come from there too.
const LIVE_FORMATS: &str = "hls,rtsp,rtp,sdp,mpegtsraw";

/// What a network address may lead to; never to files.
const NETWORK: &str = "http,https,tls,tcp,udp,rtp,rtsp,rtmp,srt,crypto";

/// An open container.
pub(crate) struct Opened {
    pub(crate) input: Input,
    /// The pipe that FFmpeg reads, which it does not close.
    _pipe: Option<File>,
}

/// Opens the container and finds its streams.
pub(crate) fn open(
    source: &Source,
    interrupt: &Arc<AtomicBool>,
    patience: &Arc<Patience>,
) -> Result<Opened, DecodeError> {
    super::reports::listen();
    let name = source.name();
    let (url, protocols, pipe) = match source {
        Source::File(path) => match check_file(path, &name)?.file_type().is_fifo() {
            true => pipe(open_pipe(path, &name, interrupt, patience)?),
            false => file(path),
        },
        Source::Stdin => stdin(&name, interrupt, patience)?,
        Source::Url(url) => (url.clone().into_bytes(), NETWORK, None),
    };
    let url = CString::new(url)
        .map_err(|_| DecodeError::NotOpened { name: name.clone(), reason: "the name holds a zero byte".into() })?;
    let mut dictionary = ffmpeg::Dictionary::new();
    dictionary.set("protocol_whitelist", protocols);
    match source {
        Source::Url(_) => dictionary.set("format_whitelist", &format!("{FORMATS},{LIVE_FORMATS}")),
        _ => dictionary.set("format_whitelist", FORMATS),
    }
    let is_stream = source.is_stream();
    let lost = |reason: String| {
        patience.lose();
        DecodeError::Lost { name: name.clone(), reason }
    };
    let refused = |error: ffmpeg::Error| match error {
        _ if is_stream && patience.overdue().is_some() => lost(patience.reason()),
        ffmpeg::Error::InvalidData => DecodeError::NotVideo { name: name.clone() },
        ffmpeg::Error::Exit => DecodeError::Interrupted { name: name.clone() },
        // What a format outside the whitelist gives.
        ffmpeg::Error::Other { errno } if errno == ffmpeg::error::EINVAL => DecodeError::Refused { name: name.clone() },
        error if super::error::is_out_of_memory(error) => DecodeError::OutOfMemory { name: name.clone() },
        // A camera that is off, a server that restarts.
        ffmpeg::Error::Other { .. } | ffmpeg::Error::HttpServerError if matches!(source, Source::Url(_)) => {
            lost(error.to_string())
        }
        error => DecodeError::NotOpened { name: name.clone(), reason: error.to_string() },
    };
    let (flag, limit) = (Arc::clone(interrupt), Arc::clone(patience));
    let callback = ffmpeg::util::interrupt::new(Box::new(move || {
        flag.load(Ordering::Relaxed) || is_stream && limit.overdue().is_some()
    }));
    // SAFETY: the context is allocated here and given to the wrapper, which frees it, together with the guard that keeps
    // the callback's data alive. `avformat_open_input` frees the context itself when it fails. The dictionary is taken
    // back after the call, as FFmpeg may have replaced it.
    patience.opening(|| unsafe {
        let mut context = ffi::avformat_alloc_context();
        if context.is_null() {
            return Err(DecodeError::OutOfMemory { name: name.clone() });
        }
        (*context).interrupt_callback = callback.interrupt;
        let mut raw_dictionary = dictionary.disown();
        let code = ffi::avformat_open_input(&mut context, url.as_ptr(), std::ptr::null_mut(), &mut raw_dictionary);
        drop(ffmpeg::Dictionary::own(raw_dictionary));
        if code < 0 {
            return Err(refused(ffmpeg::Error::from(code)));
        }
        let input = Input::wrap_with_interrupt(context, callback.guard);
        let code = ffi::avformat_find_stream_info(context, std::ptr::null_mut());
        if code < 0 {
            return Err(refused(ffmpeg::Error::from(code)));
        }
        Ok(Opened { input, _pipe: pipe })
    })
}

/// What FFmpeg is to open, and by which protocols.
type Address = (Vec<u8>, &'static str, Option<File>);

fn file(path: &Path) -> Address {
    let mut url = b"file:".to_vec();
    url.extend_from_slice(path.as_os_str().as_bytes());
    (url, "file", None)
}

/// A pipe opened anew is ours alone, so that not waiting in `read` disturbs nobody; FFmpeg then looks at the interrupt
/// callback while nothing comes.
fn pipe(pipe: File) -> Address {
    (format!("pipe:{}", pipe.as_raw_fd()).into_bytes(), "pipe", Some(pipe))
}

fn stdin(name: &str, interrupt: &AtomicBool, patience: &Patience) -> Result<Address, DecodeError> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        let reason = "standard input is a terminal; send a video into it".into();
        return Err(DecodeError::NotOpened { name: name.into(), reason });
    }
    let path = Path::new("/proc/self/fd/0");
    let kind = std::fs::metadata(path).map(|metadata| metadata.file_type());
    Ok(match kind {
        Ok(kind) if kind.is_fifo() => pipe(open_pipe(path, name, interrupt, patience)?),
        // A file at its beginning may be read in any order, as containers with their index at the end want it.
        Ok(kind) if kind.is_file() && rustix::fs::tell(&stdin) == Ok(0) => file(path),
        _ => (b"pipe:0".to_vec(), "pipe", None),
    })
}

/// Opens a named pipe and waits for somebody to write into it.
fn open_pipe(path: &Path, name: &str, interrupt: &AtomicBool, patience: &Patience) -> Result<File, DecodeError> {
    let failed = |reason: String| DecodeError::NotOpened { name: name.into(), reason };
    let flags = OFlags::NONBLOCK.bits() as i32;
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|e| failed(e.to_string()))?;
    let a_moment = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    patience.reading(|| {
        loop {
            match poll(&mut [PollFd::new(&opened, PollFlags::IN)], Some(&a_moment)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(failed(error.to_string())),
            }
            if interrupt.load(Ordering::Relaxed) {
                return Err(DecodeError::Interrupted { name: name.into() });
            }
            if patience.overdue().is_some() {
                patience.lose();
                return Err(DecodeError::Lost { name: name.into(), reason: patience.reason() });
            }
        }
    })?;
    Ok(opened)
}

/// What changes when somebody writes to the file of `source`.
pub(super) fn state(source: &Source) -> Option<(u64, SystemTime)> {
    let Source::File(path) = source else { return None };
    let metadata = std::fs::metadata(path).ok().filter(Metadata::is_file)?;
    Some((metadata.len(), metadata.modified().ok()?))
}

fn check_file(path: &Path, name: &str) -> Result<Metadata, DecodeError> {
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
        File::open(path).map_err(|e| DecodeError::NotOpened { name: name(), reason: e.to_string() })?;
    }
    Ok(metadata)
}
