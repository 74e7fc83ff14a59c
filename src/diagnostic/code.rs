/// A kind of finding. Its number is a public name: it never changes its meaning.
///
/// M0xx profile language, M1xx PromQL and metrics, M2xx routes and receivers, M3xx services
/// and images, M4xx dashboards, M5xx secrets, M6xx rule files and other tools' verdicts,
/// M7xx plugins, M8xx trust, provenance and channels.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    pub id: &'static str,
    /// One line: what is wrong.
    pub title: &'static str,
    /// Why it matters and what to do, with an example; printed by `monprov explain CODE`.
    pub explain: &'static str,
}
