//! Pages for browsers that ask for nothing from outside: no scripts, no fonts, and only pictures that the page itself holds.

use maud::{DOCTYPE, Markup, PreEscaped, html};

const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// A page with its title, a style sheet of this program and what it shows.
pub fn page(title: &str, style: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { (printable(title)) }
                style { (PreEscaped(style)) }
            }
            body { (body) }
        }
    }
}

/// Text from outside for a page: control characters become spaces. Markup in it is escaped where it is put in.
pub fn printable(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// Text as it stands in a page, for templates that are filled in otherwise.
pub fn escaped(text: &str) -> String {
    html! { (text) }.into_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_become_markup() {
        let hostile = "<script>alert(\"x\")</script>\n&";
        let body = html! { p title=(hostile) { (printable(hostile)) } };
        let text = page(hostile, "p{margin:0}", &body).into_string();
        assert!(!text.contains("<script") && text.contains("&lt;script&gt;alert(&quot;x&quot;)"), "{text}");
        assert!(text.starts_with("<!DOCTYPE html>") && text.contains("default-src 'none'"), "{text}");
    }
}
