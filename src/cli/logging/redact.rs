//! Takes secrets out of a line before it is written.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// What is written instead.
const MASK: &str = "***";

/// Each pattern: what stays in front is group 1, the rest is the secret.
static SECRETS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let patterns = [
        // scheme://user:pass@ ; the scheme stays. Rather a harmless `host:80/a@b` masked than a password with a slash told.
        r"(?P<a>\b[a-zA-Z][a-zA-Z0-9+.-]*://)[^\s/@:]*:[^\s@]*@(?:[^\s/@]*@)*",
        // Header and JSON forms, with or without a scheme word.
        r#"(?P<b>(?i:authorization|x-api-key|x-auth-token)\\?["']?\s*[:=]\s*\\?["']?(?i:(?:bearer|basic|token)\s+)?)[^\s"',\\]+"#,
        r"(?P<c>(?i:\bbearer\s+))[A-Za-z0-9._~+/=-]{8,}",
        r"(?P<d>[?&]token=)[^\s&#]+",
        // Tokens that are known by their looks.
        r"(?P<e>sk-ant-)[A-Za-z0-9_-]+",
        r"(?P<f>gh[pousr]_)[A-Za-z0-9]+",
        r"(?P<g>github_pat_)[A-Za-z0-9_]+",
        r"(?P<h>glpat-)[A-Za-z0-9_.-]+",
    ];
    // A pattern that can't be compiled is a bug that the test finds.
    Regex::new(&patterns.join("|")).ok()
});

/// The line without secrets.
pub fn redact(line: &str) -> Cow<'_, str> {
    let Some(secrets) = SECRETS.as_ref() else { return Cow::Borrowed(MASK) };
    secrets.replace_all(line, |found: &Captures<'_>| {
        let kept = found.iter().skip(1).flatten().next().map_or("", |kept| kept.as_str());
        let at = if found.name("a").is_some() { "@" } else { "" };
        format!("{kept}{MASK}{at}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_every_known_kind_are_masked() {
        let table = [
            ("clone https://ann:s3cret@git.example/x.git", "clone https://***@git.example/x.git"),
            ("https://oauth2:a/b@c@host/x", "https://***@host/x"),
            ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
            ("authorization=abc", "authorization=***"),
            (r#"{"Authorization":"Basic dXNlcg==","x":1}"#, r#"{"Authorization":"Basic ***","x":1}"#),
            (r#"body="{\"x-api-key\": \"abc\"}""#, r#"body="{\"x-api-key\": \"***\"}""#),
            ("x-api-key: abc", "x-api-key: ***"),
            ("with bearer abcdefgh1234", "with bearer ***"),
            ("GET /api/events?token=abc&x=1", "GET /api/events?token=***&x=1"),
            ("key sk-ant-api03-AbC_d-1 used", "key sk-ant-*** used"),
            ("ghp_0123abc and github_pat_11A_x, glpat-x-Y1", "ghp_*** and github_pat_***, glpat-***"),
        ];
        for (line, masked) in table {
            assert_eq!(redact(line), masked);
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for line in [
            "unix:///run/docker.sock",
            "ssh://git@host/x",
            "http://127.0.0.1:3000/a",
            "the bearer of news",
            "2026-01-01T00:00:00Z INFO podbay: started",
        ] {
            assert_eq!(redact(line), line);
        }
    }
}
