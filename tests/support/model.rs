//! Stacks from the text of one layer.

use monprov::profile::layers::{Read, Source};
use monprov::stack::Stack;
use monprov::stack::resolve::{Files, resolve};

struct One<'a>(&'a str);

impl Source for One<'_> {
    fn read(&self, name: &str) -> Read {
        if name == "test" { Read::Text(self.0.to_owned()) } else { Read::Missing }
    }

    fn names(&self) -> Vec<String> {
        vec!["test".into()]
    }

    fn file(&self, name: &str) -> String {
        format!("profiles/{name}.toml")
    }
}

/// The stack of a profile that has to be in order.
#[track_caller]
pub fn stack(profile: &str) -> Stack {
    let loaded = monprov::profile::load("test", &One(profile), &|_| None);
    assert!(loaded.findings.is_empty(), "{:#?}", loaded.findings);
    let (stack, findings) = resolve(&loaded.profile.unwrap(), &Files::default());
    assert!(findings.is_empty(), "{findings:#?}");
    stack
}
