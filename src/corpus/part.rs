//! What a unit of work leaves behind: every frame of its spans with all that is known of it by itself.
//!
//! A part is a sequence of CBOR items (RFC 8949 and 8742), in which numbers keep all their bits: a head, one item a
//! frame, an end with what was decoded, and the SHA-256 of everything before it. It is only read by `collect`, and its
//! form may change with the version, which is in the unit's id.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::files::{Output, OutputOptions, WriteError};
use crate::pipeline::Classified;
use crate::pipeline::decode::Decoded;

/// Length of the last item: the head of a byte string, and its 32 bytes.
const SEAL: usize = 34;

/// What a part is a part of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartHead {
    /// The unit's id, which stands for the content, range, model, settings and version.
    pub unit: String,
    /// SHA-256 of the model's weights.
    pub model: String,
    /// SHA-256 of the settings.
    pub settings: String,
    /// The program's version.
    pub version: String,
}

#[derive(Serialize, Deserialize)]
enum Record {
    Head(PartHead),
    Frame(Classified),
    End { frames: usize, decoded: Decoded },
}

/// Where the part of `unit` is, whose id is a plain name (see [`plan::CorpusPlan::read`](super::plan::CorpusPlan::read)).
pub fn path_of(folder: &Path, unit: &str) -> PathBuf {
    folder.join(format!("{unit}.part"))
}

/// A part being written; dropped without [`finish`](Self::finish) it leaves no trace.
pub(crate) struct PartWriter {
    out: BufWriter<Output>,
    digest: Sha256,
    frames: usize,
}

impl PartWriter {
    pub(crate) fn begin(path: &Path, head: &PartHead) -> Result<Self, WriteError> {
        let mut this =
            Self { out: BufWriter::new(OutputOptions::state().create(path)?), digest: Sha256::new(), frames: 0 };
        this.record(&Record::Head(head.clone()))?;
        Ok(this)
    }

    pub(crate) fn frame(&mut self, classified: Classified) -> Result<(), WriteError> {
        self.frames += 1;
        self.record(&Record::Frame(classified))
    }

    pub(crate) fn finish(mut self, decoded: Decoded) -> Result<(), WriteError> {
        self.record(&Record::End { frames: self.frames, decoded })?;
        let seal: [u8; 32] = self.digest.clone().finalize().into();
        let sealed = self.out.write_all(&[0x58, 0x20]).and_then(|()| self.out.write_all(&seal));
        sealed.and_then(|()| self.out.flush()).map_err(|source| self.out.get_ref().error(source))?;
        let (output, _) = self.out.into_parts();
        output.commit()
    }

    fn record(&mut self, record: &Record) -> Result<(), WriteError> {
        let mut bytes = Vec::new();
        let written = ciborium::into_writer(record, &mut bytes).map_err(io::Error::other);
        self.digest.update(&bytes);
        written.and_then(|()| self.out.write_all(&bytes)).map_err(|source| self.out.get_ref().error(source))
    }
}

/// A whole part.
pub(crate) struct Part {
    pub(crate) head: PartHead,
    bytes: Vec<u8>,
    /// Where the frames begin.
    frames_at: usize,
}

/// Largest part read: an hour of 50 frames a second with eight signers stays below half of it.
const LARGEST: u64 = 2 << 30;

impl Part {
    /// Reads the part at `path`.
    ///
    /// # Errors
    /// If it cannot be read or is not as it was written.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let mut bytes = crate::files::read_found(path, LARGEST)?;
        let broken = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_string());
        let content = bytes.len().checked_sub(SEAL).ok_or_else(|| broken("it is cut off"))?;
        let seal = bytes.split_off(content);
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        if seal[2..] != digest {
            return Err(broken("its checksum is wrong"));
        }
        let mut rest = &bytes[..];
        let Record::Head(head) = next(&mut rest)? else { return Err(broken("it has no head")) };
        let frames_at = bytes.len() - rest.len();
        Ok(Self { head, frames_at, bytes })
    }

    /// Gives every frame to `take`, and what was decoded.
    ///
    /// # Errors
    /// If an item does not belong in a part, or `take` fails.
    pub(crate) fn frames<E>(
        &self,
        mut take: impl FnMut(Classified) -> Result<(), E>,
    ) -> Result<io::Result<Decoded>, E> {
        let mut rest = &self.bytes[self.frames_at..];
        let mut count = 0;
        loop {
            match next(&mut rest) {
                Ok(Record::Frame(classified)) => take(classified)?,
                Ok(Record::End { frames, decoded }) if frames == count => return Ok(Ok(decoded)),
                Ok(_) => return Ok(Err(io::Error::new(io::ErrorKind::InvalidData, "its items are out of order"))),
                Err(error) => return Ok(Err(error)),
            }
            count += 1;
        }
    }
}

fn next(rest: &mut &[u8]) -> io::Result<Record> {
    ciborium::from_reader(rest).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))
}
