//! The process runtime: the programs of a stack, supervised in the foreground by `monprov up`.
//!
//! ```text
//!   monprov up dev ── holds run/dev/up.lock, answers on run/dev/up.sock
//!     ├─ keeper of alertmanager ── alertmanager ── …
//!     ├─ keeper of prometheus ──── prometheus ──── …
//!     └─ …                        (each in a session of its own)
//! ```
//!
//! **Nothing outlives it.** Each program has a keeper: this same executable, which is the
//! subreaper of all that the program starts and holds one end of a socket to the supervisor.
//! When the supervisor ends, in whatever way, the socket closes, and the keeper kills all that
//! is below it, daemons that detached themselves included. When a keeper is killed, the
//! kernel's death signal takes its program, and the supervisor, a subreaper too, takes the
//! rest. A process group alone would miss what left it, a death signal alone the grandchildren.
//!
//! **What runs is known by the supervisor only.** `switch`, `status` and `down` in another
//! terminal ask it through its socket ([`Client`]). No file says that something runs, so none
//! can be wrong about it.
//!
//! | file | what |
//! | --- | --- |
//! | `keeper` | the processes between the supervisor and a program |
//! | `kept` | a kept program, as the supervisor sees it |
//! | `service` | one service: waits, starts, watches health, restarts, stops |
//! | `supervisor` | all of them: order, what an `apply` changes, the end |
//! | `runtime` | what activation asks of it |
//! | `control` | the socket, its protocol and both of its sides |
//! | `events` | what a person watches |
#![expect(clippy::disallowed_methods, reason = "runs programs")]

mod control;
mod error;
mod events;
mod health;
mod keeper;
mod kept;
mod logs;
mod port;
mod program;
mod runtime;
mod service;
mod supervisor;
mod tree;

pub use control::client::Client;
pub use control::{Applied, Status};
pub use error::{ProcessError, Refusal};
pub use events::{Event, Events, Stream, Watched, channel};
pub use keeper::{Exit, internal};
pub use runtime::{ProcessRuntime, processes};
pub use service::board::{ServiceStatus, State};
pub use supervisor::{Ended, Stopped, Supervisor};
