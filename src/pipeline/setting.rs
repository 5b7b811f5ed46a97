//! Settings come from files and variables that people write, so each is checked before it is used.

/// A setting that makes no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("setting {name} must be {expected}, but it is {found}")]
pub struct SettingError {
    /// The setting's name as it stands in a configuration file, e.g. `smooth.lag_s`.
    pub name: &'static str,
    /// What is allowed, in words.
    pub expected: &'static str,
    /// What was found.
    pub found: f64,
}

/// `Ok` where `allowed` holds for the setting's value.
pub(crate) fn require(
    name: &'static str,
    found: f64,
    expected: &'static str,
    allowed: impl Fn(f64) -> bool,
) -> Result<(), SettingError> {
    if allowed(found) { Ok(()) } else { Err(SettingError { name, expected, found }) }
}
