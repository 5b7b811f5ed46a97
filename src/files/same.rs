//! Whether two names lead to one file.

use std::fs;
use std::path::Path;

use super::WriteError;
use crate::platform::facts_at;

/// Whether both names lead to one file: by another path, a link, a second name, or by other letters where the file system
/// takes capital and small ones for the same.
pub fn is_same_file(a: &Path, b: &Path) -> bool {
    let identity = |path: &Path| facts_at(path).map(|facts| (facts.device, facts.number));
    matches!((identity(a), identity(b)), (Ok(a), Ok(b)) if a == b)
}

/// Whether writing to `output` would replace one of the `inputs`.
///
/// # Errors
/// [`WriteError::IsInput`] with the first of them.
pub fn refuse_inputs<'a>(output: &Path, inputs: impl IntoIterator<Item = &'a Path>) -> Result<(), WriteError> {
    // Writing to a terminal or to /dev/null that is read as well replaces nothing.
    if output == Path::new("-") || fs::metadata(output).is_ok_and(|metadata| !metadata.is_file()) {
        return Ok(());
    }
    match inputs.into_iter().find(|input| is_same_file(output, input)) {
        Some(input) => Err(WriteError::IsInput { path: output.into(), input: input.into() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_an_input_by_any_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("sub")).unwrap();
        for name in ["v.mp4", "other.mp4"] {
            fs::write(at(name), "x").unwrap();
        }
        std::os::unix::fs::symlink("v.mp4", at("link.mp4")).unwrap();
        fs::hard_link(at("v.mp4"), at("second.mp4")).unwrap();
        let (input, other) = (at("v.mp4"), at("other.mp4"));
        for name in ["v.mp4", "sub/../v.mp4", "link.mp4", "second.mp4"] {
            assert!(refuse_inputs(&at(name), [other.as_path(), &input]).is_err(), "{name}");
        }
        for output in [at("new.mp4"), "-".into(), "/dev/null".into()] {
            assert!(refuse_inputs(&output, [input.as_path(), Path::new("-"), Path::new("/dev/null")]).is_ok());
        }
    }
}
