//! `[secrets]` and `[vault]`: each source names exactly one place, and its constraints can be met.

use super::*;
use crate::profile::settings::{Credential, SecretSource as Written};

impl Resolver<'_> {
    /// All are looked at, those that are used are kept.
    pub(super) fn secrets(&mut self) -> Secrets {
        let settings = self.settings;
        let mut used = BTreeMap::new();
        for (name, written) in &settings.secrets {
            let at = Path::new(["secrets", name]);
            let several = matches!(written, set::SecretSources::Several(_));
            let mut sources = vec![];
            if written.as_slice().is_empty() {
                let message = format!("the secret `{name}` has no source");
                self.error(&M004, at.clone(), message, "name at least one");
            }
            for (index, source) in written.as_slice().iter().enumerate() {
                let at = if several { at.join(index) } else { at.clone() };
                sources.extend(self.source(&at, source));
            }
            if self.profile.secrets.contains(name) || self.is_token(name) {
                used.insert(name.clone(), sources);
            }
        }
        self.tokens(&mut used);
        let vault = self.vault();
        let lies_there = |source: &SecretSource| matches!(source.origin, Origin::Vault(_));
        let needed = used.values().flatten().any(lies_there);
        Secrets { sources: used, vault: needed.then_some(vault) }
    }

    fn source(&mut self, at: &Path, source: &Written) -> Option<SecretSource> {
        let vault = source.vault.as_ref().map(|path| {
            let (field, version) = (source.field.clone(), source.version);
            Origin::Vault(VaultField { path: path.trim_matches('/').to_owned(), field, version })
        });
        let origin = self.one_of(
            at,
            vec![
                ("env", source.env.clone().map(Origin::Env)),
                ("file", source.file.clone().map(Origin::File)),
                ("exec", source.exec.clone().map(Origin::Exec)),
                ("generate", source.generate.map(Origin::Generate)),
                ("vault", vault),
            ],
        );
        if source.vault.is_none() {
            for (key, set) in [("field", source.field.is_some()), ("version", source.version.is_some())] {
                if set {
                    let message = format!("`{key}` means something only beside `vault`");
                    self.error(&M016, at.join(key), message, "remove it");
                }
            }
        }
        self.constraints(at, source);
        Some(SecretSource {
            origin: origin?,
            constraints: Constraints {
                min_length: source.min_length,
                max_length: source.max_length,
                pattern: source.pattern.clone(),
                url: source.url,
                no_placeholder: self.settings.build.placeholders == set::PlaceholderPolicy::Refuse,
            },
        })
    }

    fn constraints(&mut self, at: &Path, source: &Written) {
        if let (Some(min), Some(max)) = (source.min_length, source.max_length)
            && min > max
        {
            let message = format!("no value has at least {min} and at most {max} characters");
            self.error(&M016, at.join("max_length"), message, "at least `min_length`");
        }
        if let Some(pattern) = &source.pattern
            && let Err(error) = whole(pattern)
        {
            let message = format!("`{pattern}` is no regular expression");
            let finding = Finding::error(&M003, Place::setting(at.join("pattern")), message);
            self.findings.push(finding.note(error.to_string()));
        }
        if let Some(length) = source.generate {
            let fits = |(min, max): (u32, u32)| (min..=max).contains(&length);
            if !(16..=1024).contains(&length) {
                let message = format!("{length} characters can't be generated");
                self.error(&M003, at.join("generate"), message, "from 16 to 1024");
            } else if !fits((source.min_length.unwrap_or(0), source.max_length.unwrap_or(u32::MAX))) {
                let message = format!("{length} characters are not what the constraints allow");
                self.error(&M016, at.join("generate"), message, "within `min_length` and `max_length`");
            }
        }
    }

    fn vault(&mut self) -> Vault {
        let settings = self.settings;
        let at = Path::new(["vault"]);
        let written = &settings.vault;
        let auth = &written.auth;
        let credential = |resolver: &mut Self, key: &str, credential: &Option<Credential>| {
            let credential = credential.as_ref()?;
            let (env, file, exec) = (&credential.env, &credential.file, &credential.exec);
            resolver.one_of(
                &at.join("auth").join(key),
                vec![
                    ("env", env.clone().map(Origin::Env)),
                    ("file", file.clone().map(Origin::File)),
                    ("exec", exec.clone().map(Origin::Exec)),
                ],
            )
        };
        let vault = Vault {
            address: written.address.clone(),
            namespace: written.namespace.clone(),
            ca_cert: written.ca_cert.clone(),
            ca_path: written.ca_path.clone(),
            client_cert: written.client_cert.clone(),
            client_key: written.client_key.clone(),
            tls_server_name: written.tls_server_name.clone(),
            deadline: written.deadline,
            auth: VaultAuth {
                method: auth.method,
                mount: auth.mount.as_deref().map(|m| m.trim_matches('/').trim_start_matches("auth/").into()),
                role: auth.role.clone(),
                role_id: auth.role_id.clone(),
                secret_id: credential(self, "secret_id", &auth.secret_id),
                jwt: credential(self, "jwt", &auth.jwt),
                token: credential(self, "token", &auth.token),
                wrapped: auth.wrapped,
            },
        };
        self.login(&at);
        vault
    }

    /// What each method of logging in needs, and what means nothing to it.
    fn login(&mut self, at: &Path) {
        use set::VaultMethod::*;
        let auth = &self.settings.vault.auth;
        let at = at.join("auth");
        let keys = [
            ("role", auth.role.is_some()),
            ("role_id", auth.role_id.is_some()),
            ("secret_id", auth.secret_id.is_some()),
            ("jwt", auth.jwt.is_some()),
            ("token", auth.token.is_some()),
            ("mount", auth.mount.is_some()),
        ];
        let (method, needed, allowed): (_, &[&str], &[&str]) = match auth.method {
            Token => ("token", &[], &["token"]),
            AppRole => ("approle", &["role_id"], &["role_id", "secret_id", "mount"]),
            Kubernetes => ("kubernetes", &["role"], &["role", "jwt", "mount"]),
            // A server may have a default role.
            Jwt => ("jwt", &["jwt"], &["role", "jwt", "mount"]),
        };
        for (key, set) in keys {
            if needed.contains(&key) && !set {
                let message = format!("the method `{method}` needs `{key}`");
                self.error(&M004, at.clone(), message, format!("set `vault.auth.{key}`"));
            } else if set && !allowed.contains(&key) {
                let message = format!("the method `{method}` has no use for `{key}`");
                self.error(&M016, at.join(key), message, "remove it, or set another `method`");
            }
        }
        if auth.wrapped && matches!(auth.method, Kubernetes | Jwt) {
            let message = format!("the method `{method}` has nothing that could be wrapped");
            self.error(&M016, at.join("wrapped"), message, "remove it");
        }
    }

    /// The one source that is set.
    fn one_of(&mut self, at: &Path, kinds: Vec<(&str, Option<Origin>)>) -> Option<Origin> {
        let names: Vec<String> = kinds.iter().map(|(key, _)| format!("`{key}`")).collect();
        let mut set = kinds.into_iter().filter_map(|(key, origin)| Some((key, origin?)));
        let Some((first, origin)) = set.next() else {
            let message = format!("`{at}` says not where the value comes from");
            self.error(&M004, at.clone(), message, format!("set one of {}", names.join(", ")));
            return None;
        };
        if let Some((second, _)) = set.next() {
            let message = format!("`{at}` has both `{first}` and `{second}`");
            self.error(&M016, at.join(second), message, "keep one, or write a list of sources");
        }
        let wrong = match &origin {
            Origin::Env(name) if name.is_empty() || name.contains(['=', '\0']) => "the name of a variable",
            Origin::File(path) if path.is_empty() => "a file's path",
            Origin::Exec(command) if command.first().is_none_or(String::is_empty) => {
                "a program and its arguments: [\"pass\", \"show\", \"smtp\"]"
            }
            Origin::Vault(VaultField { path, .. }) if !is_vault_path(path) => {
                "the path of a secret as `vault kv get` takes it: \"secret/monitoring/smtp\""
            }
            _ => return Some(origin),
        };
        self.error(&M003, at.join(first), format!("`{at}.{first}` can't be this"), wrong);
        None
    }
}

/// A mount and a name beneath it, without what the API adds.
fn is_vault_path(path: &str) -> bool {
    let mut parts = path.split('/');
    path.contains('/')
        && parts.next() != Some("v1")
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        && !path.contains(['?', '#', '%', '\\'])
        && !path.chars().any(char::is_control)
}

/// A constraint's pattern, which all of a value must match.
pub fn whole(pattern: &str) -> Result<regex::Regex, regex::Error> {
    // Parsed by itself first, so that no bracket of its own closes ours.
    regex::Regex::new(pattern)?;
    regex::RegexBuilder::new(&format!(r"\A(?:{pattern})\z")).size_limit(1 << 20).build()
}
