//! Opening an input: what may be opened, and what is refused.
#![expect(
    unsafe_code,
    reason = "FFmpeg's demuxer is opened with options *and* an interrupt callback, which the binding cannot do"
)]

use std::ffi::{CStr, CString};
use std::fs::{File, Metadata, OpenOptions};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi;
use ffmpeg_next::format::context::Input;

use super::{DecodeError, DecodeOptions, Patience, boxes, without_secrets};
use crate::platform::{self, descriptor, is_pipe, name_bytes, open_without_waiting, wait_for_bytes};

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
    /// How messages and outputs name it: an address without its [secrets](without_secrets).
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Stdin => "-".into(),
            Self::Url(url) => without_secrets(url),
        }
    }

    /// Whether it is read as it comes, once: everything but a file.
    pub fn is_stream(&self) -> bool {
        match self {
            Self::File(path) => std::fs::metadata(path).is_ok_and(|metadata| is_pipe(metadata.file_type())),
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
pub(crate) fn open(source: &Source, options: &DecodeOptions) -> Result<Opened, DecodeError> {
    super::reports::listen();
    let DecodeOptions { interrupt, patience, .. } = options;
    let name = source.name();
    let (url, protocols, pipe) = match source {
        Source::File(path) => match is_pipe(check_file(path, &name)?.file_type()) {
            true => pipe(open_pipe(path, &name, interrupt, patience)?, &name)?,
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
    let refused = |code| refusal(ffmpeg::Error::from(code), source, is_stream, patience);
    let (flag, limit) = (Arc::clone(interrupt), Arc::clone(patience));
    let callback = ffmpeg::util::interrupt::new(Box::new(move || {
        flag.load(Ordering::Relaxed) || is_stream && limit.overdue().is_some()
    }));
    limit_allocations(options.max_pixels);
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
            return Err(refused(code));
        }
        let input = Input::wrap_with_interrupt(context, callback.guard);
        check_redirect(source, &input)?;
        let code = find_streams(context, options.max_pixels);
        if code < 0 {
            return Err(refused(code));
        }
        Ok(Opened { input, _pipe: pipe })
    })
}

/// Looks at the first packets of each stream. FFmpeg decodes pictures for it, whose size is limited here as it is later.
///
/// # Safety
/// `context` is an open input.
unsafe fn find_streams(context: *mut ffi::AVFormatContext, max_pixels: u64) -> i32 {
    // SAFETY: as above; there is one dictionary for each stream that the call looks at, and each is freed after it.
    unsafe {
        let count = (*context).nb_streams as usize;
        let mut options: Vec<*mut ffi::AVDictionary> = vec![std::ptr::null_mut(); count];
        let limit = CString::new(super::open::coded_pixels(max_pixels).to_string()).unwrap_or_default();
        for options in &mut options {
            ffi::av_dict_set(options, c"max_pixels".as_ptr(), limit.as_ptr(), 0);
        }
        let pointer = if count == 0 { std::ptr::null_mut() } else { options.as_mut_ptr() };
        let code = ffi::avformat_find_stream_info(context, pointer);
        options.iter_mut().for_each(|options| ffi::av_dict_free(options));
        code
    }
}

/// Bytes that one allocation of FFmpeg's may take at least.
const LEAST_ALLOCATION: u64 = 256 << 20;

/// Bounds what FFmpeg allocates in one piece: tables that a file claims to need, and texts that unfold without end. The largest
/// piece that an honest video needs is a picture of 64 bits a pixel.
fn limit_allocations(max_pixels: u64) {
    let bytes = super::open::coded_pixels(max_pixels).unsigned_abs().saturating_mul(8).max(LEAST_ALLOCATION);
    // SAFETY: sets an atomic number, which holds for the whole process: all videos of a run have the same limit.
    unsafe { ffi::av_max_alloc(usize::try_from(bytes).unwrap_or(usize::MAX).min(i32::MAX as usize)) };
}

/// Refuses what came without encryption although it was asked for with it.
fn check_redirect(source: &Source, input: &Input) -> Result<(), DecodeError> {
    let Source::Url(url) = source else { return Ok(()) };
    if !url.to_ascii_lowercase().starts_with("https:") {
        return Ok(());
    }
    let mut location: *mut u8 = std::ptr::null_mut();
    // SAFETY: the protocol's context is a child of the input's, which lives as long as `input`; the text, where there is
    // one, ends with a zero and is ours to free.
    let is_plain = unsafe {
        let bytes = (*input.as_ptr()).pb;
        let code = match bytes.is_null() {
            true => -1,
            false => ffi::av_opt_get(bytes.cast(), c"location".as_ptr(), ffi::AV_OPT_SEARCH_CHILDREN, &mut location),
        };
        let is_plain = code >= 0
            && !location.is_null()
            && CStr::from_ptr(location.cast()).to_bytes().to_ascii_lowercase().starts_with(b"http:");
        ffi::av_free(location.cast());
        is_plain
    };
    if is_plain { Err(DecodeError::InsecureRedirect { name: source.name() }) } else { Ok(()) }
}

/// Why FFmpeg could not open `source`.
fn refusal(error: ffmpeg::Error, source: &Source, is_stream: bool, patience: &Patience) -> DecodeError {
    let name = source.name();
    let lost = |error: DecodeError| {
        patience.note_loss();
        error
    };
    match error {
        _ if is_stream && patience.overdue().is_some() => {
            lost(DecodeError::Silent { name, limit_s: patience.limit_s() })
        }
        ffmpeg::Error::InvalidData => DecodeError::NotVideo { name },
        ffmpeg::Error::Exit => DecodeError::Interrupted { name },
        // What a format outside the whitelist gives.
        ffmpeg::Error::Other { errno } if errno == ffmpeg::error::EINVAL => DecodeError::Refused { name },
        error if super::memory::is_out_of_memory(error) => DecodeError::OutOfMemory { name },
        // A camera that is off, a server that restarts.
        ffmpeg::Error::Other { .. } | ffmpeg::Error::HttpServerError if matches!(source, Source::Url(_)) => {
            lost(DecodeError::Lost { name, reason: error.to_string() })
        }
        error => DecodeError::NotOpened { name, reason: error.to_string() },
    }
}

/// What FFmpeg is to open, and by which protocols.
type Address = (Vec<u8>, &'static str, Option<File>);

fn file(path: &Path) -> Address {
    let mut url = b"file:".to_vec();
    url.extend_from_slice(name_bytes(path.as_os_str()));
    (url, "file", None)
}

/// A pipe opened anew is ours alone, so that not waiting in `read` disturbs no other program; FFmpeg then looks at the interrupt
/// callback while nothing comes.
fn pipe(pipe: File, name: &str) -> Result<Address, DecodeError> {
    let number = descriptor(&pipe);
    let number = number.map_err(|e| DecodeError::NotOpened { name: name.into(), reason: e.to_string() })?;
    Ok((format!("pipe:{number}").into_bytes(), "pipe", Some(pipe)))
}

fn stdin(name: &str, interrupt: &AtomicBool, patience: &Patience) -> Result<Address, DecodeError> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        let reason = "standard input is a terminal; send a video into it".into();
        return Err(DecodeError::NotOpened { name: name.into(), reason });
    }
    let path = platform::STDIN.map(Path::new);
    let kind = path.and_then(|path| std::fs::metadata(path).ok()).map(|metadata| metadata.file_type());
    Ok(match path.zip(kind) {
        Some((path, kind)) if is_pipe(kind) => pipe(open_pipe(path, name, interrupt, patience)?, name)?,
        // A file at its beginning may be read in any order, as containers with their index at the end want it.
        Some((path, kind)) if kind.is_file() && platform::stdin_is_at_start() => file(path),
        _ => (b"pipe:0".to_vec(), "pipe", None),
    })
}

/// Opens a named pipe and waits until another program writes into it.
fn open_pipe(path: &Path, name: &str, interrupt: &AtomicBool, patience: &Patience) -> Result<File, DecodeError> {
    let failed = |reason: String| DecodeError::NotOpened { name: name.into(), reason };
    const A_MOMENT: Duration = Duration::from_millis(50);
    let opened = open_without_waiting(OpenOptions::new().read(true), path).map_err(|e| failed(e.to_string()))?;
    patience.reading(|| {
        loop {
            if wait_for_bytes(&opened, A_MOMENT).map_err(|error| failed(error.to_string()))? {
                return Ok(());
            }
            if interrupt.load(Ordering::Relaxed) {
                return Err(DecodeError::Interrupted { name: name.into() });
            }
            if patience.overdue().is_some() {
                patience.note_loss();
                return Err(DecodeError::Silent { name: name.into(), limit_s: patience.limit_s() });
            }
        }
    })?;
    Ok(opened)
}

/// What changes when the file of `source` is written to.
pub(super) fn state(source: &Source) -> Option<(u64, SystemTime)> {
    let Source::File(path) = source else { return None };
    let metadata = std::fs::metadata(path).ok().filter(Metadata::is_file)?;
    Some((metadata.len(), metadata.modified().ok()?))
}

/// With more edits than the first number, their samples may be so many. FFmpeg makes an entry of 24 bytes for each sample of
/// each edit; what people cut has a few dozen edits, each of its own samples.
const EDITS: [(u64, u64); 2] = [(16, 50_000_000), (1000, 2_000_000)];

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
    if !kind.is_file() && !is_pipe(kind) {
        return Err(DecodeError::NotOpened { name: name(), reason: "neither a file nor a named pipe".into() });
    }
    if kind.is_file() {
        if metadata.len() == 0 {
            return Err(DecodeError::Empty { name: name() });
        }
        let failed = |e: std::io::Error| DecodeError::NotOpened { name: name(), reason: e.to_string() };
        let file = File::open(path).map_err(failed)?;
        if boxes::is_picture(&file) {
            return Err(DecodeError::Picture { name: name() });
        }
        let edits = boxes::edits(&file).map_err(failed)?;
        if EDITS.iter().any(|(count, entries)| edits.edits > *count && edits.entries() > *entries) {
            let boxes::Edits { edits, samples } = edits;
            return Err(DecodeError::TooManyEdits { name: name(), edits, samples });
        }
    }
    Ok(metadata)
}
