//! Our checks against real Prometheus: what `promtool` refuses is refused, and nothing else.

mod channels;
mod corpus;
mod endpoints;
mod meaning;
mod promtool;
mod syntax;
mod templates;
