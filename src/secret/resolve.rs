//! All secrets of a profile, each from the first of its sources that has it.

use std::collections::BTreeMap;

use super::{Answer, Providers, Request, Secret, Trouble, judge};
use crate::diagnostic::{Code, Finding, Path, Place};
use crate::stack::{Origin, SecretSource, Secrets};

pub static M501: Code = Code {
    id: "M501",
    title: "a secret could not be resolved",
    explain: "No source of the secret has it. Sources are tried in the order in which they stand; the message
says what each answered. Put the value where the first source looks, for a machine that may not read
secrets build with `--no-secrets`.

    export REDIS_PASSWORD=…      # or a line REDIS_PASSWORD=… in a file given with --env-file",
};

pub(super) static M506: Code = Code {
    id: "M506",
    title: "a secret is kept unsafely",
    explain: "The value was found, but others could have read it where it lies. Close the file to them (`chmod o=`),
and change the secret if the machine has users who should not know it.",
};

pub(super) static M507: Code = Code {
    id: "M507",
    title: "a source failed, and a later one was used",
    explain:
        "Sources are tried in the order in which they stand. One that can't tell whether it has the secret (a
server that is down, a command that fails) is passed over, and the value of the next one counts, which
may be an older one. Mend the source, or remove it from the list.",
};

/// A secret's value and where it was found.
#[derive(Debug)]
pub struct Value {
    pub secret: Secret,
    pub origin: Origin,
    /// The version that the source gives it.
    pub version: Option<u64>,
}

/// What resolving gave.
#[derive(Debug, Default)]
pub struct Resolved {
    pub values: BTreeMap<String, Value>,
    /// Secrets that the first hand-over will generate.
    pub later: Vec<String>,
    /// Warnings, and errors where something is missing or not as demanded.
    pub findings: Vec<Finding>,
}

impl Resolved {
    /// The values by name.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.values.iter().map(|(name, value)| (name.as_str(), &value.secret))
    }

    /// How many came from where.
    pub fn providers(&self) -> BTreeMap<&'static str, usize> {
        let found = self.values.values().map(|value| value.origin.provider());
        let later = self.later.iter().map(|_| "generate");
        found.chain(later).fold(BTreeMap::new(), |mut counts, provider| {
            *counts.entry(provider).or_default() += 1;
            counts
        })
    }
}

/// A secret that is still looked for.
struct Open<'a> {
    name: &'a str,
    /// The sources that were not tried yet.
    sources: &'a [SecretSource],
    /// What those before them answered.
    troubles: Vec<Trouble>,
    /// The first of them that could not tell, and what it said.
    failed: Option<(&'a Origin, Trouble)>,
}

/// Resolves secrets. Every provider is asked once a round for all that is still missing, the
/// first sources in the first round, so that a slow one answers side by side.
pub fn resolve(secrets: &Secrets, providers: &Providers<'_>) -> Resolved {
    let mut resolved = Resolved::default();
    let mut unresolved: BTreeMap<Vec<Trouble>, Vec<&str>> = BTreeMap::new();
    let start = secrets.sources.iter();
    let mut open: Vec<Open<'_>> =
        start.map(|(name, sources)| Open { name, sources, troubles: vec![], failed: None }).collect();
    while !open.is_empty() {
        let mut round: BTreeMap<&'static str, Vec<(Open<'_>, &SecretSource)>> = BTreeMap::new();
        for mut secret in open {
            match secret.sources.split_first() {
                Some((source, rest)) => {
                    secret.sources = rest;
                    round.entry(source.origin.provider()).or_default().push((secret, source));
                }
                None => unresolved.entry(secret.troubles).or_default().push(secret.name),
            }
        }
        open = vec![];
        for asked in round.into_values() {
            let requests: Vec<Request<'_>> =
                asked.iter().map(|(s, source)| Request { name: s.name, origin: &source.origin }).collect();
            let Some(first) = requests.first() else { continue };
            let answers = providers.of(first.origin).get(&requests);
            for ((secret, source), answer) in asked.into_iter().zip(answers) {
                open.extend(resolved.take(secret, source, answer));
            }
        }
    }
    resolved.findings.extend(unresolved.into_iter().map(|(troubles, names)| missing(&names, troubles)));
    resolved
}

impl Resolved {
    /// Keeps what was found; gives the secret back where it is still looked for.
    fn take<'a>(
        &mut self,
        mut secret: Open<'a>,
        source: &'a SecretSource,
        answer: Answer,
    ) -> Option<Open<'a>> {
        let SecretSource { origin, constraints } = source;
        let name = secret.name;
        match answer {
            Answer::Found(found) => {
                self.findings.extend(judge::judge(name, origin, constraints, &found.secret));
                self.findings.extend(found.warning.map(|warning| kept_unsafely(name, warning)));
                self.findings.extend(secret.failed.map(|failed| passed_over(name, origin, failed)));
                let value = Value { secret: found.secret, origin: origin.clone(), version: found.version };
                self.values.insert(name.to_owned(), value);
                return None;
            }
            Answer::Later => {
                self.later.push(name.to_owned());
                return None;
            }
            Answer::Missing(trouble) => secret.troubles.push(trouble),
            Answer::Failed(trouble) => {
                secret.failed.get_or_insert((origin, trouble.clone()));
                secret.troubles.push(trouble);
            }
        }
        Some(secret)
    }
}

/// One finding for all secrets that failed for the same reasons: a server that is down is one
/// fault, not two hundred.
fn missing(names: &[&str], troubles: Vec<Trouble>) -> Finding {
    let quoted: Vec<_> = names.iter().take(5).map(|name| format!("`{name}`")).collect();
    let message = match names.len() {
        1 => format!("the secret {} could not be resolved", quoted.join("")),
        n if n > quoted.len() => {
            format!("the secrets {} and {} more could not be resolved", quoted.join(", "), n - quoted.len())
        }
        _ => format!("the secrets {} could not be resolved", quoted.join(", ")),
    };
    let name = names.first().copied().unwrap_or_default();
    let finding = Finding::error(&M501, Place::setting(Path::new(["secrets", name])), message);
    troubles.into_iter().fold(finding, with)
}

fn with(finding: Finding, trouble: Trouble) -> Finding {
    let Trouble { what, remedy } = trouble;
    finding.note(remedy.map_or(what.clone(), |remedy| format!("{what}\n{remedy}")))
}

fn kept_unsafely(name: &str, trouble: Trouble) -> Finding {
    let place = Place::setting(Path::new(["secrets", name]));
    with(Finding::warning(&M506, place, format!("the secret `{name}` is kept unsafely")), trouble)
}

fn passed_over(name: &str, used: &Origin, (failed, trouble): (&Origin, Trouble)) -> Finding {
    let place = Place::setting(Path::new(["secrets", name]));
    let (provider, source) = (used.provider(), failed.provider());
    let message =
        format!("the secret `{name}` came from {provider}: {used}, since {source}: {failed} failed");
    with(Finding::warning(&M507, place, message), trouble)
}
