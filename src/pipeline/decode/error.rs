//! Why nothing can be decoded.

/// Why nothing can be decoded.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum DecodeError {
    #[error("{name}: no such file")]
    Missing { name: String },
    #[error("{name}: is a directory; give a video file")]
    Directory { name: String },
    #[error("{name}: the file is empty")]
    Empty { name: String },
    #[error("{name}: not a video, or damaged beyond recognition")]
    NotVideo { name: String },
    #[error("{name}: this kind of file is not opened (playlists, image files and network addresses are not videos)")]
    Refused { name: String },
    #[error("{name}: cannot be opened: {reason}")]
    NotOpened { name: String, reason: String },
    #[error("{name}: a still picture, not a video")]
    Picture { name: String },
    #[error("{name}: the video is encrypted")]
    Encrypted { name: String },
    #[error(
        "{name}: its edit list has {edits} entries over {samples} samples, which would take more memory than any video needs"
    )]
    TooManyEdits { name: String, edits: u64, samples: u64 },
    #[error("{name}: the server redirects from https to an address without encryption")]
    InsecureRedirect { name: String },
    #[error("{name}: has no video stream")]
    NoVideo { name: String },
    #[error("{name}: there is no decoder for {codec}")]
    NoDecoder { name: String, codec: String },
    #[error("{name}: not one frame could be decoded: {reason}")]
    NothingDecoded { name: String, reason: String },
    #[error("{name}: pictures of {width}x{height} are larger than the limit of {limit} pixels")]
    TooLarge { name: String, width: u32, height: u32, limit: u64 },
    #[error("{name}: no frame lies in the range that is wanted")]
    EmptyRange { name: String },
    #[error("{name}: the stream is lost: {reason}")]
    Lost { name: String, reason: String },
    #[error("{name}: the stream is lost: no data for {limit_s} s")]
    Silent { name: String, limit_s: f64 },
    #[error("{name}: the memory does not suffice")]
    OutOfMemory { name: String },
    #[error("{name}: interrupted")]
    Interrupted { name: String },
    #[error("{name}: the pictures cannot be converted: {reason}")]
    Conversion { name: String, reason: String },
}

/// What a caller can do about a [`DecodeError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeErrorKind {
    /// The input is not a video, or cannot be read.
    Input,
    /// A limit was reached, which may be raised.
    Limit,
    /// The source fell silent or broke off; trying again may help.
    Lost,
    /// Nothing lies in the range that was asked for.
    EmptyRange,
}

impl DecodeError {
    /// What kind of error it is.
    pub fn kind(&self) -> DecodeErrorKind {
        match self {
            Self::TooLarge { .. } | Self::OutOfMemory { .. } | Self::TooManyEdits { .. } => DecodeErrorKind::Limit,
            Self::Lost { .. } | Self::Silent { .. } => DecodeErrorKind::Lost,
            Self::EmptyRange { .. } => DecodeErrorKind::EmptyRange,
            _ => DecodeErrorKind::Input,
        }
    }
}

pub(super) fn too_large(name: &str, width: u32, height: u32, limit: u64) -> Result<(), DecodeError> {
    match u64::from(width) * u64::from(height) > limit {
        true => Err(DecodeError::TooLarge { name: name.into(), width, height, limit }),
        false => Ok(()),
    }
}

/// Width and height of a picture that a decoder refused for its size, from FFmpeg's message about it.
pub(super) fn over_the_limit(message: &str) -> Option<(u32, u32)> {
    let size = message.split_once("Picture size ")?.1.split_once(" exceeds specified max pixel count")?.0;
    let (width, height) = size.split_once('x')?;
    Some((width.parse().ok()?, height.parse().ok()?))
}
