//! The relay: Alertmanager's groups, delivered through channel plugins.
//!
//! A plugin says in pieces what to send. [`join`] makes one request of them, [`dial`] sends it to
//! an [`endpoint`] of the profile and nowhere else, [`redact`] takes secrets out of the answer.
#![allow(dead_code, reason = "the server that uses it comes next")]

mod dial;
mod endpoint;
mod join;
mod reading;
mod redact;
mod send;
mod values;
