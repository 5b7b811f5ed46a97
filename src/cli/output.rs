//! Which files an input's timeline goes to.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Failure;
use crate::corpus::path::shortened;
use crate::files;
use crate::sink::Target;
use crate::write::Format;

/// What each of the `videos` is written to; no output may replace one of the `inputs`.
///
/// # Errors
/// If a format is unknown, a path is named twice, or an input would be overwritten.
pub(super) fn plan(
    videos: &[PathBuf],
    inputs: &[PathBuf],
    outputs: &[PathBuf],
    formats: &[Format],
    folder: Option<&Path>,
) -> Result<Vec<Vec<Target>>, Failure> {
    if videos.len() > 1 && !outputs.is_empty() {
        return Err(Failure::Usage("-o names one input's outputs; for several inputs use -f and --output-dir".into()));
    }
    // Without any wish, what everybody can use.
    let default = [Format::Json];
    let formats = if outputs.is_empty() && formats.is_empty() { &default } else { formats };
    if let Some(folder) = folder
        && !formats.is_empty()
    {
        std::fs::create_dir_all(folder).map_err(|e| Failure::Output(format!("{}: {e}", folder.display())))?;
    }
    let mut planned = Vec::new();
    let mut planned_paths = HashSet::new();
    for input in videos {
        let mut targets: Vec<Target> = outputs.iter().map(|path| Target::of(path)).collect::<Result<_, _>>()?;
        for format in formats {
            let mut name = match input.file_name() {
                Some(name) if input != Path::new("-") => {
                    shortened(&Path::new(name).with_extension("")).into_os_string()
                }
                _ => OsString::from("stdin"),
            };
            name.push(format.ending());
            let path = folder.unwrap_or(Path::new("")).join(name);
            targets.push(Target { path, format: *format, corpus_path: None });
        }
        for path in &targets.iter().flat_map(Target::files).collect::<Vec<_>>() {
            let shown = path.display();
            if path != Path::new("-") && !planned_paths.insert(path.clone()) {
                return Err(Failure::Usage(format!("{shown}: two outputs would have this name")));
            }
            files::refuse_inputs(path, inputs.iter().map(PathBuf::as_path))?;
        }
        planned.push(targets);
    }
    Ok(planned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(targets: &[Target]) -> Vec<(&str, Format)> {
        targets.iter().map(|t| (t.path.to_str().unwrap(), t.format)).collect()
    }

    #[test]
    fn formats_are_named_after_the_input() {
        let planned = plan(&["x/v.mp4".into(), "-".into()], &[], &[], &[Format::Csv], None).unwrap();
        assert_eq!(paths(&planned[0]), [("v.csv", Format::Csv)]);
        assert_eq!(paths(&planned[1]), [("stdin.csv", Format::Csv)]);
    }

    #[test]
    fn two_inputs_never_share_an_output() {
        let message = plan(&["a.mp4".into(), "a.mov".into()], &[], &[], &[Format::Csv], None).unwrap_err().to_string();
        assert!(message.contains("a.csv") && message.contains("two outputs"), "{message}");
        assert!(plan(&["a.mp4".into(), "b.mp4".into()], &[], &["c.json".into()], &[], None).is_err());
    }

    #[test]
    fn an_output_never_overwrites_the_input() {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("labels.json");
        std::fs::write(&input, "").unwrap();
        let inputs = [input];
        let message = plan(&inputs, &inputs, &inputs, &[], None).unwrap_err().to_string();
        assert!(message.contains("replace the input"), "{message}");
    }
}
