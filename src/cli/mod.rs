//! One file a subcommand: arguments, settings, one call into the library, and telling the person.

pub mod strip;
