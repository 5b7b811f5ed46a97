//! What FFmpeg writes into its log: much of the damage that it meets is reported there and nowhere else.
#![expect(unsafe_code, reason = "A callback from C, with C's variadic arguments")]

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::transmute;
use std::sync::Once;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi;

use super::without_secrets;

/// Errors logged since they were last taken.
#[derive(Debug, Clone)]
pub(super) struct LoggedErrors {
    pub(super) count: usize,
    /// The first of them.
    pub(super) message: String,
    /// Whether one of them says that memory was lacking.
    pub(super) lacks_memory: bool,
}

/// Whether an error says that memory was lacking.
fn reports_lacking_memory(message: &str) -> bool {
    let lower = message.to_ascii_lowercase();
    let is_about_allocating = ["alloc", "out of memory", "not enough memory"].iter().any(|word| lower.contains(word));
    let has_failed = ["could not", "couldn't", "cannot", "can't", "fail", "unable", "memory", "error"];
    is_about_allocating && has_failed.iter().any(|word| lower.contains(word))
}

thread_local! {
    // With one decoding thread, FFmpeg logs in the thread that calls it, so that videos decoded side by side do not get
    // each other's damage.
    static COLLECTED: RefCell<Option<LoggedErrors>> = const { RefCell::new(None) };
}

/// More of a message is not kept.
const LONGEST_MESSAGE: usize = 200;

/// Listens from now on, instead of FFmpeg's own log on standard error.
pub(super) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Also makes FFmpeg's error codes speak.
        if let Err(error) = ffmpeg::init() {
            tracing::warn!("FFmpeg: {error}");
        }
        let callback: unsafe extern "C" fn(*mut c_void, c_int, *const c_char, *mut c_void) = collect_message;
        #[expect(
            clippy::missing_transmute_annotations,
            reason = "the argument list's type has another name on every machine"
        )]
        // SAFETY: the last argument, a `va_list`, is a pointer by the calling conventions of x86-64 and AArch64; the binding
        // calls its target by a name that differs between them.
        let listener = unsafe { transmute::<*const (), _>(callback as *const ()) };
        // SAFETY: the callback lives as long as the program.
        unsafe { ffi::av_log_set_callback(Some(listener)) };
    });
}

/// The errors logged in this thread since the last call.
pub(super) fn take() -> Option<LoggedErrors> {
    COLLECTED.with(|collected| collected.take())
}

unsafe extern "C" fn collect_message(
    context: *mut c_void,
    level: c_int,
    format: *const c_char,
    arguments: *mut c_void,
) {
    // SAFETY: FFmpeg calls this with a context that lives as long as the call, or none.
    if level > ffi::AV_LOG_ERROR as c_int || !unsafe { concerns_pictures(context) } {
        return;
    }
    let mut line = [0; LONGEST_MESSAGE];
    let mut with_prefix = 0;
    type FormatLine =
        unsafe extern "C" fn(*mut c_void, c_int, *const c_char, *mut c_void, *mut c_char, c_int, *mut c_int) -> c_int;
    // SAFETY: as in `listen`; the line is written into a buffer of the length given, with a zero at its end.
    let message = unsafe {
        let format_line = transmute::<*const (), FormatLine>(ffi::av_log_format_line2 as *const ());
        let length = LONGEST_MESSAGE as c_int;
        format_line(std::ptr::null_mut(), level, format, arguments, line.as_mut_ptr(), length, &mut with_prefix);
        CStr::from_ptr(line.as_ptr()).to_string_lossy()
    };
    // The text of a file may be in it.
    let message: String = message.trim().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    let message = without_secrets(&message);
    // A thread that ends while it logs has no list to add to.
    let _ = COLLECTED.try_with(|collected| {
        let mut collected = collected.borrow_mut();
        let lacks_memory = reports_lacking_memory(&message);
        match &mut *collected {
            Some(report) => {
                report.count += 1;
                report.lacks_memory |= lacks_memory;
            }
            None => *collected = Some(LoggedErrors { count: 1, message, lacks_memory }),
        }
    });
}

/// Whether a message may be about the video: sound and encoders have their own.
///
/// # Safety
/// `context` is null or what FFmpeg gives its log callback: an object whose first field is its class.
unsafe fn concerns_pictures(context: *mut c_void) -> bool {
    // SAFETY: as above; an object of the class `AVCodecContext` is one.
    unsafe {
        let Some(class) = context.cast::<*const ffi::AVClass>().as_ref().and_then(|class| class.as_ref()) else {
            return true;
        };
        if class.class_name.is_null() || CStr::from_ptr(class.class_name) != c"AVCodecContext" {
            return true;
        }
        let codec = &*context.cast::<ffi::AVCodecContext>();
        codec.codec_type == ffi::AVMediaType::AVMEDIA_TYPE_VIDEO && ffi::av_codec_is_encoder(codec.codec) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoders_that_lack_memory_are_understood() {
        for message in ["Cannot allocate memory", "Could not allocate memory for MB tables", "Failed to allocate slice"]
        {
            assert!(reports_lacking_memory(message), "{message}");
        }
        for message in ["Picture size 0x0 is invalid", "non-existing PPS 0 referenced", "Invalid block allocation"] {
            assert!(!reports_lacking_memory(message), "{message}");
        }
    }
}
