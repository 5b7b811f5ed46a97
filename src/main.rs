//! Parse arguments, call one function, map the error to an exit code; nothing else.

fn main() {}
