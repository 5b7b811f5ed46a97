//! Addresses without what they keep secret: users, passwords and tokens.

/// What stands instead of a secret.
const HIDDEN: &str = "***";

/// `text` with the user and password of every address in it, and everything behind a `?` or `#`, replaced by `***`.
///
/// ```
/// # use annotate::pipeline::decode::without_secrets;
/// assert_eq!(without_secrets("rtsp://me:secret@cam/live?token=1"), "rtsp://***@cam/live?***");
/// ```
pub fn without_secrets(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, address) = rest.split_at(at + 3);
        shown.push_str(before);
        let is_end = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | '<' | '>');
        let (address, after) = address.split_at(address.find(is_end).unwrap_or(address.len()));
        shown.push_str(&hidden(address));
        rest = after;
    }
    shown.push_str(rest);
    shown
}

/// What follows the scheme of one address.
fn hidden(address: &str) -> String {
    let (address_only, secret) = match address.find(['?', '#']) {
        Some(at) => (&address[..at], format!("{}{HIDDEN}", &address[at..=at])),
        None => (address, String::new()),
    };
    // A password may hold a slash that should have been escaped: the last '@' of all ends it.
    match address_only.rfind('@') {
        Some(at) => format!("{HIDDEN}@{}{secret}", &address_only[at + 1..]),
        None => format!("{address_only}{secret}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_passwords_and_tokens_are_hidden() {
        let cases = [
            ("http://127.0.0.1:80/a.ts", "http://127.0.0.1:80/a.ts"),
            ("http://cam:S3CRET@h:80/a.ts?token=T&b=1#x", "http://***@h:80/a.ts?***"),
            ("https://token@h", "https://***@h"),
            ("rtsp://u:p@ss@h/x", "rtsp://***@h/x"),
            ("rtsp://u:p/w@h/x", "rtsp://***@h/x"),
            ("Failed to open 'http://u:p@h/a?k=v' of list 1", "Failed to open 'http://***@h/a?***' of list 1"),
            ("http://a:b@c/ and srt://h?passphrase=p", "http://***@c/ and srt://h?***"),
            ("a plain/file?.mp4", "a plain/file?.mp4"),
            ("http://h/\u{e9}?\u{e9}", "http://h/\u{e9}?***"),
        ];
        for (text, shown) in cases {
            assert_eq!(without_secrets(text), shown);
        }
    }
}
