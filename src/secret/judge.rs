//! Values against what the profile demands of them. No message says anything about a value
//! that the profile does not say itself.

use crate::diagnostic::{Code, Finding, Path, Place};
use crate::stack::{Constraints, Origin, resolve};

use super::Secret;

pub(super) static M503: Code = Code {
    id: "M503",
    title: "a secret is not what the profile demands",
    explain:
        "The secret was found, but its value is shorter, longer or of another form than the profile demands
beside its source. The message names the constraint, never the value.

    [secrets.smtp_password]
    env = \"SMTP_PASSWORD\"
    min_length = 12",
};

pub(super) static M504: Code = Code {
    id: "M504",
    title: "a secret is still a placeholder",
    explain: "The value is one that templates and examples carry, such as `changeme`. The profile refuses those with
`build.placeholders = \"refuse\"`. Put in the real value, or a random one:

    [secrets.grafana_admin_password]
    generate = 32",
};

pub(super) static M505: Code = Code {
    id: "M505",
    title: "a secret begins or ends with a blank or a line break",
    explain: "It was most likely pasted with more than itself, and the service that gets it will most likely refuse it.
One line break at the end of a file or of what a command prints is not part of the secret; any other is.",
};

/// Everything that is wrong with a value.
pub(super) fn judge(name: &str, origin: &Origin, constraints: &Constraints, secret: &Secret) -> Vec<Finding> {
    let value = secret.expose();
    let place = || Place::setting(Path::new(["secrets", name]));
    let mut findings = vec![];
    let mut refuse = |what: String| {
        let finding = Finding::error(&M503, place(), format!("the secret `{name}` {what}"));
        findings.push(finding.note(format!("it came from {}: {origin}", origin.provider())));
    };
    let length = value.chars().count();
    if let Some(min) = constraints.min_length.filter(|min| length < *min as usize) {
        refuse(format!("has fewer than {min} characters"));
    }
    if let Some(max) = constraints.max_length.filter(|max| length > *max as usize) {
        refuse(format!("has more than {max} characters"));
    }
    if let Some(pattern) = &constraints.pattern {
        match resolve::whole(pattern) {
            Ok(regex) if regex.is_match(value) => {}
            Ok(_) => refuse(format!("does not match `{pattern}`")),
            Err(_) => refuse(format!("can't be matched: `{pattern}` is no regular expression")),
        }
    }
    if constraints.url && !reqwest::Url::parse(value).is_ok_and(|url| url.has_host()) {
        refuse("is no URL with a scheme and a host".to_owned());
    }
    if constraints.no_placeholder && is_placeholder(value) {
        let message = format!("the secret `{name}` is still a placeholder");
        let note = format!("it came from {}: {origin}", origin.provider());
        findings.push(Finding::error(&M504, place(), message).label("put in the real value").note(note));
    }
    if value.trim() != value {
        let message = format!("the secret `{name}` begins or ends with a blank or a line break");
        findings.push(Finding::warning(&M505, place(), message).label("pasted with more than itself?"));
    }
    findings
}

/// Values that stand in examples: `changeme`, `CHANGE-ME`, `<password>`, `your_token_here`,
/// `example-smtp-password`, `xxxx`.
fn is_placeholder(value: &str) -> bool {
    let plain: String = value.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
    const WHOLE: [&str; 21] = [
        "admin",
        "changeit",
        "changethis",
        "default",
        "dummy",
        "fixme",
        "foobar",
        "guest",
        "letmein",
        "none",
        "null",
        "pass",
        "passwd",
        "password",
        "placeholder",
        "qwerty",
        "redacted",
        "secret",
        "tbd",
        "test",
        "todo",
    ];
    let first = value.chars().next();
    let bracketed = [("<", ">"), ("{{", "}}"), ("${", "}"), ("[", "]")];
    WHOLE.contains(&plain.trim_end_matches(|c: char| c.is_ascii_digit()))
        || ["changeme", "replaceme", "example"].iter().any(|word| plain.starts_with(word))
        || (plain.starts_with("your") && plain.ends_with("here"))
        || !plain.is_empty() && plain.chars().eq(('0'..='9').cycle().skip(1).take(plain.len()))
        || value.chars().all(|c| Some(c) == first)
        || bracketed.iter().any(|(open, close)| value.starts_with(open) && value.ends_with(close))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_placeholders_and_passwords_are_not() {
        for value in [
            "changeme",
            "CHANGE_ME",
            "change-me-123",
            "<password>",
            "${TOKEN}",
            "your_token_here",
            "password1",
            "example-smtp-password",
            "xxxxxxxx",
            "********",
            "123456",
            "12345678901",
            "Secret",
            "{{ token }}",
        ] {
            assert!(is_placeholder(value), "{value}");
        }
        for value in [
            "correct horse battery staple",
            "hunter2!",
            "s3cr3t-Kx9",
            "1357924680",
            "!@#$%^&*",
            "passage",
            "yourself",
        ] {
            assert!(!is_placeholder(value), "{value}");
        }
    }
}
