//! What ELAN says on standard input.
#![no_main]

use annotate::eaf::recognizer::Request;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = Request::parse(bytes) {
        assert!(request.tiers.is_some() || request.curves.is_some());
    }
});
