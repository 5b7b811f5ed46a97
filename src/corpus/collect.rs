//! Parts put together to whole videos, as if nobody had ever cut them.

use std::path::Path;

use super::part::{self, Part};
use super::path::printable;
use super::plan::{Fold, Plan, Unit};
use super::work::{failure_place, head};
use super::{CorpusError, Outcome};
use crate::files::{OutputOptions, read_found};
use crate::pipeline::Assembler;
use crate::pipeline::decode::Decoded;
use crate::timeline::Timeline;
use crate::train::crossval::pool;

/// A note on a unit that failed is a few lines.
const LARGEST_NOTE: u64 = 1 << 20;
/// The predictions on a million images are half of this.
const LARGEST_REPORT: u64 = 256 << 20;

/// Puts the parts of one video together: stitch, smooth, segment.
///
/// # Errors
/// [`CorpusError::Mixed`] where parts are of another model, other settings or another version. What is missing or broken
/// is the inner error.
pub fn video(plan: &Plan, units: &[&Unit], parts: &Path) -> Result<Result<Timeline, Outcome>, CorpusError> {
    let path = &units[0].path;
    let failed = |reason: String| Ok(Err(Outcome::failed(path, 3, &reason)));
    let name = printable(path);
    let mut assembler = Assembler::new(&plan.terms.settings);
    let mut decoded: Vec<Decoded> = Vec::new();
    let mut times: Option<(f64, f64)> = None;
    for unit in units {
        let place = part::place(parts, &unit.unit);
        let part = match Part::read(&place) {
            Ok(part) => part,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let note = failure_place(parts, &unit.unit);
                let known = read_found(&note, LARGEST_NOTE)
                    .ok()
                    .and_then(|bytes| serde_json::from_slice::<Outcome>(&bytes).ok());
                let missing = || format!("{name}: {} has not been worked on (unit {})", unit.range(), unit.unit);
                // Whatever a note says, it is of this video and no success.
                let known = known.filter(|known| known.code != 0);
                let (code, reason) = known.map_or_else(|| (3, missing()), |known| (known.code, known.reason));
                return Ok(Err(Outcome::failed(path, code, &reason)));
            }
            Err(error) => return failed(format!("{}: {error}; work again", printable(&place))),
        };
        let expected = head(plan, unit);
        if part.head != expected {
            return Err(CorpusError::Mixed(format!(
                "{}: it is of another model, other settings or another version than the plan; empty the folder of parts",
                printable(&place)
            )));
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
            Ok(_) => return failed(format!("{}: it overlaps the part before it; work again", printable(&place))),
            Err(error) => return failed(format!("{}: {error}; work again", printable(&place))),
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

/// Pools the folds of one cross-validation; its report goes into a folder of its own below `folder`, and `existing` says what
/// becomes of one that is there.
pub fn folds(folds: &[&Fold], parts: &Path, folder: &Path, existing: OutputOptions) -> Outcome {
    let outcome = |code, reason: String| Outcome::failed(&folds[0].data, code, &reason);
    let of = folds[0].of(parts);
    if let Err(error) = pool(&of) {
        return outcome(3, error.to_string());
    }
    let place = folder.join(format!("crossval-{}", folds[0].task));
    let copied = std::fs::create_dir_all(&place).and_then(|()| {
        for name in ["report.json", "report.md", "report.html", "predictions.csv"] {
            let bytes = read_found(&of.out.join(name), LARGEST_REPORT)?;
            existing.put(&place.join(name), |out| out.write_all(&bytes)).map_err(std::io::Error::other)?;
        }
        Ok(())
    });
    match copied {
        Ok(()) => outcome(0, String::new()),
        Err(error) => outcome(6, format!("{}: {error}", printable(&place))),
    }
}
