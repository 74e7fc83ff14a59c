//! From a URL to what keeps objects there.

#![expect(clippy::disallowed_methods, reason = "makes the folder of a cache")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use object_store::aws::AmazonS3Builder;
use object_store::http::HttpBuilder;
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use percent_encoding::percent_decode_str;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use url::Url;
use zeroize::Zeroizing;

/// How long a server may take to accept, and then to say the next word. A whole answer may take
/// as long as it needs.
const CONNECT: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(30);
/// How often a request is sent again, and how long it is tried.
const RETRIES: usize = 4;
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a cache lies.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) objects: Arc<dyn ObjectStore>,
    /// What people see: without a password or parameters.
    pub(super) shown: String,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Folder(PathBuf),
    Bucket,
    Web,
}

/// What a URL means; an error is in words.
pub(super) fn find(text: &str, writing: bool) -> Result<Place, String> {
    let url = Url::parse(text).map_err(|error| match error {
        url::ParseError::RelativeUrlWithoutBase => forms("it has no scheme"),
        error => forms(&error.to_string()),
    })?;
    let shown = shown(&url);
    match url.scheme() {
        "file" => folder(&url, writing).map(|(objects, kind)| Place { objects, shown, kind }),
        "s3" => bucket(&url).map(|objects| Place { objects, shown, kind: Kind::Bucket }),
        "http" | "https" => web(&url).map(|objects| Place { objects, shown, kind: Kind::Web }),
        other => Err(forms(&format!("nothing is known of `{other}`"))),
    }
}

fn forms(why: &str) -> String {
    format!("{why}; write `file:///DIR`, `https://HOST/PATH` or `s3://BUCKET?region=REGION`")
}

fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.as_str().trim_end_matches('/').to_owned()
}

fn folder(url: &Url, writing: bool) -> Result<(Arc<dyn ObjectStore>, Kind), String> {
    let path =
        url.to_file_path().map_err(|()| forms("a file's URL names an absolute path on this machine"))?;
    no_parameters(url)?;
    if writing {
        std::fs::create_dir_all(&path).map_err(|error| error.to_string())?;
    }
    let objects = LocalFileSystem::new_with_prefix(&path)
        .map_err(|_| format!("there is no folder {}: `monprov push` makes it", Path::display(&path)))?;
    Ok((Arc::new(objects), Kind::Folder(path)))
}

fn web(url: &Url) -> Result<Arc<dyn ObjectStore>, String> {
    no_parameters(url)?;
    let mut base = url.clone();
    base.set_fragment(None);
    let _ = base.set_username("");
    let _ = base.set_password(None);
    // Joined with another slash.
    base.set_path(url.path().trim_end_matches('/'));
    let objects = HttpBuilder::new()
        .with_url(base.as_str())
        .with_client_options(client().with_allow_http(true).with_default_headers(log_in(url)?))
        .with_retry(retry())
        .build()
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(objects))
}

/// The user and password of a URL. They go to no other host, should the server send us there.
fn log_in(url: &Url) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    if url.username().is_empty() && url.password().is_none() {
        return Ok(headers);
    }
    let mut pair = Zeroizing::new(percent_decode_str(url.username()).collect::<Vec<u8>>());
    pair.push(b':');
    pair.extend(percent_decode_str(url.password().unwrap_or_default()));
    let value = Zeroizing::new(format!("Basic {}", BASE64.encode(&pair)));
    let mut value = HeaderValue::from_str(&value).map_err(|error| error.to_string())?;
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
    Ok(headers)
}

/// `endpoint`, `region` and `scheme` are parameters, as in Nix; all else comes from `AWS_…`.
fn bucket(url: &Url) -> Result<Arc<dyn ObjectStore>, String> {
    let name = url.host_str().unwrap_or_default();
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(name).with_retry(retry());
    let (mut endpoint, mut scheme) = (None, "https".to_owned());
    for (key, value) in url.query_pairs() {
        match &*key {
            "endpoint" => endpoint = Some(value.into_owned()),
            "region" => builder = builder.with_region(value),
            "scheme" if ["http", "https"].contains(&&*value) => scheme = value.into_owned(),
            // Nix's own, for writing; here it is always zstd.
            "compression" => {}
            other => return Err(forms(&format!("nothing is known of the parameter `{other}`"))),
        }
    }
    let mut options = client();
    if let Some(endpoint) = endpoint {
        let endpoint = if endpoint.contains("://") { endpoint } else { format!("{scheme}://{endpoint}") };
        options = options.with_allow_http(endpoint.starts_with("http://"));
        builder = builder.with_endpoint(endpoint);
    }
    let objects = builder.with_client_options(options).build().map_err(|error| error.to_string())?;
    let prefix = url.path().trim_matches('/');
    Ok(match prefix {
        "" => Arc::new(objects),
        prefix => Arc::new(PrefixStore::new(objects, prefix)),
    })
}

fn no_parameters(url: &Url) -> Result<(), String> {
    // So that one URL serves Nix and us.
    match url.query_pairs().find(|(key, _)| key != "compression") {
        Some((key, _)) => Err(forms(&format!("nothing is known of the parameter `{key}`"))),
        None => Ok(()),
    }
}

fn client() -> ClientOptions {
    ClientOptions::new().with_timeout_disabled().with_connect_timeout(CONNECT).with_read_timeout(SILENCE)
}

fn retry() -> RetryConfig {
    RetryConfig { max_retries: RETRIES, retry_timeout: PATIENCE, ..RetryConfig::default() }
}
