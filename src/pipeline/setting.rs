//! Checks settings, which come from files and variables that people write.

/// A setting outside its allowed range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("setting {name} must be {expected}, but it is {found}")]
pub struct SettingError {
    /// The setting's name in a configuration file, e.g. `smooth.lag_s`.
    pub name: &'static str,
    /// What is allowed, in words.
    pub expected: &'static str,
    /// What was found.
    pub found: f64,
}

/// `Ok` if the setting's value is `allowed`.
pub(crate) fn require(
    name: &'static str,
    found: f64,
    expected: &'static str,
    allowed: impl Fn(f64) -> bool,
) -> Result<(), SettingError> {
    if allowed(found) { Ok(()) } else { Err(SettingError { name, expected, found }) }
}
