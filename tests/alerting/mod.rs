//! Alertmanager: our reading of routes, matchers and files against the real one.

mod findings;
mod intervals;
mod patterns;
mod real;
mod routing;
