//! `monprov relay`: what it answers, what arrives, and what it stands.

mod answers;
mod bad_input;
mod changes;
mod escapes;
mod nothing_lost;
mod tls;
