//! Which server, and how long: the environment's variables over the profile's `[vault]`, as
//! Vault's own client and Vault Agent take them. `BAO_…` wins over `VAULT_…`, as with OpenBao's.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;

use super::tls::{Authorities, Tls};
use super::{Environment, Settings, Trouble};
use crate::profile::units;

/// Its own client's.
const ADDRESS: &str = "https://127.0.0.1:8200";
const DEADLINE: Duration = Duration::from_secs(60);
/// Short enough for a second try before the deadline.
const TIMEOUT: Duration = Duration::from_secs(20);
const RETRIES: u32 = 5;

pub(super) struct Config {
    pub(super) address: Url,
    /// What set the address.
    pub(super) by: String,
    /// An agent adds a token of its own.
    pub(super) agent: bool,
    pub(super) namespace: Option<String>,
    pub(super) tls: Tls,
    /// How long one request may take.
    pub(super) timeout: Duration,
    /// How often a request is sent again while nothing ever answered.
    pub(super) retries: u32,
    /// How long all of them may take.
    pub(super) deadline: Duration,
}

/// A value and the name of the setting that it came from.
#[derive(Clone)]
pub(super) struct Named<T> {
    pub(super) value: T,
    pub(super) by: String,
}

/// A variable of Vault's client, by its name without `VAULT_`. One that is empty is not set.
pub(super) fn variable(environment: &Environment, name: &str) -> Option<Named<String>> {
    ["BAO_", "VAULT_"].iter().find_map(|prefix| {
        let by = format!("{prefix}{name}");
        let value = environment.var(&by).filter(|value| !value.is_empty())?;
        Some(Named { value, by })
    })
}

pub(super) fn read(settings: &Settings, environment: &Environment, base: &Path) -> Result<Config, Trouble> {
    let var = |name: &str| variable(environment, name);
    let either = |name: &str, key: &str, written: &Option<String>| {
        let written = || Some(Named { value: written.clone()?, by: format!("`vault.{key}`") });
        var(name).or_else(written)
    };
    // A path in a variable starts where the command runs, one in the profile beside it.
    let file = |name: &str, key: &str, written: &Option<String>| {
        let written = || Some(Named { value: base.join(written.as_ref()?), by: format!("`vault.{key}`") });
        var(name).map(|var| Named { value: PathBuf::from(var.value), by: var.by }).or_else(written)
    };
    let agent = var("AGENT_ADDR");
    let address = agent.clone().or_else(|| either("ADDR", "address", &settings.address));
    let address =
        address.unwrap_or_else(|| Named { value: ADDRESS.to_owned(), by: "the default".to_owned() });
    let authorities = [
        file("CACERT", "ca_cert", &settings.ca_cert).map(Authorities::File),
        var("CACERT_BYTES").map(Authorities::Text),
        file("CAPATH", "ca_path", &settings.ca_path).map(Authorities::Folder),
    ];
    Ok(Config {
        address: url(&address)?,
        by: address.by,
        agent: agent.is_some(),
        namespace: either("NAMESPACE", "namespace", &settings.namespace).map(namespace).transpose()?,
        tls: Tls {
            authorities: authorities.into_iter().flatten().next(),
            certificate: file("CLIENT_CERT", "client_cert", &settings.client_cert),
            key: file("CLIENT_KEY", "client_key", &settings.client_key),
            server_name: either("TLS_SERVER_NAME", "tls_server_name", &settings.tls_server_name)
                .map(host)
                .transpose()?,
            skip_verify: var("SKIP_VERIFY").map(boolean).transpose()?.flatten(),
            proxy: var("PROXY_ADDR").or_else(|| var("HTTP_PROXY")),
        },
        timeout: var("CLIENT_TIMEOUT").map(duration).transpose()?.unwrap_or(TIMEOUT),
        retries: var("MAX_RETRIES").map(number).transpose()?.unwrap_or(RETRIES),
        deadline: settings.deadline.map_or(DEADLINE, |d| Duration::from_secs_f64(d.as_secs_f64())),
    })
}

fn url(address: &Named<String>) -> Result<Url, Trouble> {
    let wrong = |what: &str| {
        let what = format!("the address of Vault ({}) {what}", address.by);
        Err(Trouble::new(what, "write it like https://vault.example.com:8200"))
    };
    let Ok(url) = Url::parse(&address.value) else { return wrong("is no URL") };
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("has a user or password in it, which Vault does not know");
    }
    match url.scheme() {
        "http" | "https" if url.has_host() => {}
        _ => return wrong("begins neither with https:// nor with http://"),
    }
    if url.query().is_some() || url.fragment().is_some() {
        return wrong("has `?` or `#` in it");
    }
    Ok(url)
}

/// A name, not an address: it stands in the URL, while the connection goes to the server's.
fn host(name: Named<String>) -> Result<String, Trouble> {
    let url = Url::parse(&format!("https://{}/", name.value));
    match url.ok().filter(|url| url.domain().is_some() && url.path() == "/" && url.port().is_none()) {
        Some(url) => Ok(url.domain().unwrap_or_default().to_owned()),
        None => {
            Err(Trouble::new(format!("{} is no name of a host", name.by), "write it like vault.example.com"))
        }
    }
}

fn namespace(namespace: Named<String>) -> Result<String, Trouble> {
    let wrong = || Trouble::new(format!("{} is no namespace", namespace.by), "write it like team/monitoring");
    let name = namespace.value.trim_matches('/');
    let fits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
    if fits { Ok(name.to_owned()) } else { Err(wrong()) }
}

/// As Go's `strconv.ParseBool`; gives the variable's name where it is true.
fn boolean(variable: Named<String>) -> Result<Option<String>, Trouble> {
    match variable.value.as_str() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Some(variable.by)),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(None),
        _ => Err(Trouble::new(format!("{} is neither true nor false", variable.by), "write true or false")),
    }
}

/// A number of seconds, or `30s`.
fn duration(variable: Named<String>) -> Result<Duration, Trouble> {
    let seconds = variable.value.parse::<u32>().map(|seconds| Duration::from_secs(seconds.into()));
    let written =
        |_| variable.value.parse::<units::Duration>().map(|d| Duration::from_secs_f64(d.as_secs_f64()));
    let wrong =
        || Trouble::new(format!("{} is no duration", variable.by), "write 30s, or a number of seconds");
    seconds.or_else(written).ok().filter(|d| !d.is_zero()).ok_or_else(wrong)
}

fn number(variable: Named<String>) -> Result<u32, Trouble> {
    let wrong = |_| Trouble::new(format!("{} is no number", variable.by), "write how often to try again: 5");
    variable.value.parse().map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn with(variables: &[(&str, &str)], settings: &Settings) -> Result<Config, Trouble> {
        let file = variables.iter().map(|(k, v)| ((*k).to_owned(), Secret::new((*v).to_owned())));
        read(settings, &Environment::new(file.collect()), Path::new("/profiles"))
    }

    fn profile() -> Settings {
        Settings {
            address: Some("https://profile:8200".into()),
            namespace: Some("profile".into()),
            ca_cert: Some("ca.pem".into()),
            ..Settings::default()
        }
    }

    #[test]
    fn variables_win_over_the_profile_and_openbao_s_over_vault_s() {
        let config = with(&[], &profile()).unwrap();
        assert_eq!(
            (config.address.as_str(), config.by.as_str()),
            ("https://profile:8200/", "`vault.address`")
        );
        let vault = ("VAULT_ADDR", "http://vault:1");
        let config = with(&[vault, ("VAULT_NAMESPACE", "/team/a/")], &profile()).unwrap();
        assert_eq!((config.address.as_str(), config.by.as_str()), ("http://vault:1/", "VAULT_ADDR"));
        assert_eq!(config.namespace.as_deref(), Some("team/a"));
        let config = with(&[vault, ("BAO_ADDR", "http://bao:1")], &profile()).unwrap();
        assert_eq!(config.by, "BAO_ADDR");
        let config = with(&[vault, ("BAO_ADDR", "")], &profile()).unwrap();
        assert_eq!(config.by, "VAULT_ADDR");
        assert_eq!(with(&[], &Settings::default()).unwrap().address.as_str(), "https://127.0.0.1:8200/");
    }

    #[test]
    fn a_path_of_the_profile_lies_beside_it_and_a_variable_s_where_the_command_runs() {
        let path = |config: Config| match config.tls.authorities {
            Some(Authorities::File(file)) => file.value,
            _ => PathBuf::new(),
        };
        assert_eq!(path(with(&[], &profile()).unwrap()), Path::new("/profiles/ca.pem"));
        assert_eq!(path(with(&[("VAULT_CACERT", "own.pem")], &profile()).unwrap()), Path::new("own.pem"));
    }

    #[test]
    fn numbers_and_times_are_read_as_vault_s_client_reads_them() {
        let config = with(&[("VAULT_CLIENT_TIMEOUT", "7"), ("VAULT_MAX_RETRIES", "0")], &profile()).unwrap();
        assert_eq!((config.timeout, config.retries), (Duration::from_secs(7), 0));
        let config =
            with(&[("VAULT_CLIENT_TIMEOUT", "1m30s"), ("VAULT_SKIP_VERIFY", "T")], &profile()).unwrap();
        assert_eq!(config.timeout, Duration::from_secs(90));
        assert_eq!(config.tls.skip_verify.as_deref(), Some("VAULT_SKIP_VERIFY"));
        for wrong in [
            ("VAULT_CLIENT_TIMEOUT", "soon"),
            ("VAULT_MAX_RETRIES", "-1"),
            ("VAULT_SKIP_VERIFY", "yes"),
            ("VAULT_ADDR", "vault:8200"),
            ("VAULT_ADDR", "https://user:hunter2@vault:8200"),
        ] {
            let trouble = with(&[wrong], &profile()).err().unwrap();
            assert!(trouble.what.contains(wrong.0), "{trouble:?}");
            assert!(!trouble.what.contains("hunter2"), "{trouble:?}");
        }
    }
}
