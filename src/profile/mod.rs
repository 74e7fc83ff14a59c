//! Text → Profile: layers, merge, provenance of every value, diagnostics with spans.

pub mod settings;
pub mod text;
pub mod units;
