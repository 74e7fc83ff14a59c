//! `monprov catalog`: what exporters export

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::output::{Output, plural};
use crate::check::catalog::{self, Catalogs};
use crate::engine::Failure;

#[derive(Debug, Args)]
pub(super) struct Catalog {
    /// The metrics endpoint of a live exporter, to make a catalogue from, or the name of a
    /// built-in catalogue, to show it; without it, all built-in ones are listed
    source: Option<String>,
    /// `catalog show NAME` says the same as `catalog NAME`
    #[arg(hide = true)]
    name: Option<String>,
    /// Ask the exporter this many times, for metrics that come and go
    #[arg(long, default_value_t = 1)]
    times: u32,
    /// The exporter's name in the catalogue
    #[arg(long, value_name = "NAME")]
    exporter: Option<String>,
    /// The exporter's version in the catalogue
    #[arg(long, value_name = "VERSION")]
    exporter_version: Option<String>,
}

/// An exporter answers within this, or not at all: the Celery exporter takes 6 s at worst.
const DEADLINE: Duration = Duration::from_secs(30);

impl Catalog {
    pub(super) fn run(&self, output: &mut Output) -> Result<ExitCode, Failure> {
        let source = match self.source.as_deref() {
            Some("show") => self.name.as_deref(),
            source => source,
        };
        match source {
            None => list(output),
            Some(url) if url.starts_with("http://") || url.starts_with("https://") => {
                self.make(url, output)?
            }
            Some(name) => show(name, output)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn make(&self, url: &str, output: &Output) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut made = catalog::Catalog::default();
        for _ in 0..self.times.max(1) {
            let text = runtime.block_on(fetch(url))?;
            let scraped = catalog::from_exposition(&text)
                .map_err(|error| anyhow::anyhow!("{url} does not answer with metrics: {error}"))?;
            made.merge(scraped);
        }
        if made.metrics.is_empty() {
            anyhow::bail!("{url} answered with no metrics at all; is it the right path?");
        }
        made.exporter = self.exporter.clone().unwrap_or_else(|| "exporter".into());
        made.version = self.exporter_version.clone();
        made.made_by = format!("monprov catalog {url}");
        output.line("metrics", &made.metrics.len().to_string());
        output.result(&made.to_json());
        Ok(())
    }
}

async fn fetch(url: &str) -> anyhow::Result<String> {
    let client = reqwest::Client::builder().timeout(DEADLINE).build()?;
    let answer = client.get(url).header("Accept", "text/plain;version=0.0.4").send().await;
    let answer = answer.map_err(|e| anyhow::anyhow!("{url}: {}", chain(&e)))?;
    if !answer.status().is_success() {
        anyhow::bail!("{url} answered {}", answer.status());
    }
    answer.text().await.map_err(|e| anyhow::anyhow!("{url}: {}", chain(&e)))
}

/// The cause that a person can act on stands last in the chain.
fn chain(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

fn list(output: &Output) {
    let catalogs = Catalogs::default();
    let all: Vec<_> =
        Catalogs::builtin_names().into_iter().filter_map(|n| Some((n, catalogs.get(n)?))).collect();
    if output.json {
        let names: Vec<_> = all
            .iter()
            .map(|(n, c)| serde_json::json!({ "name": n, "exporter": c.exporter, "version": c.version }))
            .collect();
        output.json(&names);
        return;
    }
    for (name, catalog) in all {
        let version = catalog.version.as_deref().unwrap_or("?");
        output.result(&format!("{name:<26} {version:<10} {}\n", plural(catalog.metrics.len(), "metric")));
    }
}

fn show(name: &str, output: &Output) -> anyhow::Result<()> {
    let catalogs = Catalogs::default();
    let Some(catalog) = catalogs.get(name) else {
        let near = crate::diagnostic::nearest(name, Catalogs::builtin_names());
        let near = near.map_or(String::new(), |n| format!("; did you mean `{n}`?"));
        anyhow::bail!("no built-in catalogue is called `{name}`{near} (`monprov catalog` lists them)");
    };
    if output.json {
        output.result(&catalog.to_json());
        return Ok(());
    }
    for (name, metric) in &catalog.metrics {
        let kind = serde_json::to_value(metric.kind)?.as_str().unwrap_or_default().to_owned();
        output.result(&format!("{kind:<10} {name}{{{}}}\n", metric.labels.join(",")));
    }
    Ok(())
}
