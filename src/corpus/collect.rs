//! Parts put together to whole videos, as if they had never been cut.

use std::path::Path;

use super::part::{self, Part};
use super::path::printable;
use super::plan::{CorpusPlan, Unit};
use super::work::{failure_path, head};
use super::{CorpusError, Outcome, Verdict};
use crate::files::read_found;
use crate::pipeline::Assembler;
use crate::pipeline::decode::Decoded;
use crate::timeline::Timeline;

/// A note on a unit that failed is a few lines.
const LARGEST_NOTE: u64 = 1 << 20;

/// Puts the parts of one video together: stitch, smooth, segment.
///
/// # Errors
/// [`CorpusError::OtherPart`] where parts are of another model, other settings or another version. What is missing or broken
/// is the inner error.
pub fn video(plan: &CorpusPlan, units: &[&Unit], parts: &Path) -> Result<Result<Timeline, Outcome>, CorpusError> {
    let path = &units[0].path;
    let failed = |reason: String| Ok(Err(Outcome::failed(path, Verdict::Refused, &reason)));
    let name = printable(path);
    let mut assembler = Assembler::new(&plan.terms.settings);
    let mut decoded: Vec<Decoded> = Vec::new();
    let mut times: Option<(f64, f64)> = None;
    for unit in units {
        let part_path = part::path_of(parts, &unit.unit);
        let part = match Part::read(&part_path) {
            Ok(part) => part,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let note = failure_path(parts, &unit.unit);
                let known = read_found(&note, LARGEST_NOTE)
                    .ok()
                    .and_then(|bytes| serde_json::from_slice::<Outcome>(&bytes).ok());
                let missing = || format!("{name}: {} has not been worked on (unit {})", unit.range(), unit.unit);
                // Whatever a note says, it is of this video and no success.
                let known = known.filter(|known| !known.verdict.is_complete());
                let (verdict, reason) =
                    known.map_or_else(|| (Verdict::Refused, missing()), |known| (known.verdict, known.reason));
                return Ok(Err(Outcome::failed(path, verdict, &reason)));
            }
            Err(error) => return failed(format!("{}: {error}; work again", printable(&part_path))),
        };
        let expected = head(plan, unit);
        if part.head != expected {
            return Err(CorpusError::OtherPart { path: part_path });
        }
        let mut runs_backwards = false;
        let frames = part.frames(|classified| {
            let (first_s, last_s) = times.unwrap_or((classified.time_s, f64::NEG_INFINITY));
            runs_backwards |= classified.time_s <= last_s;
            times = Some((first_s, classified.time_s));
            assembler.push(classified);
            Ok::<_, CorpusError>(())
        })?;
        match frames {
            Ok(part) if !runs_backwards => decoded.push(part),
            Ok(_) => return failed(format!("{}: it overlaps the part before it; work again", printable(&part_path))),
            Err(error) => return failed(format!("{}: {error}; work again", printable(&part_path))),
        }
    }
    assembler.drain();
    let (first_s, last_s) = times.unwrap_or_default();
    let Some(mut decoded) = Decoded::join(decoded, first_s, last_s) else {
        return failed(format!("{name}: nothing was decoded"));
    };
    decoded.media.path = path.display().to_string();
    decoded.media.sha256 = Some(units[0].sha256.clone());
    Ok(Ok(assembler.finish(decoded, plan.terms.model.clone(), false)))
}
