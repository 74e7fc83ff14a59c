//! The program: arguments, tracing, exit code.

use std::process::ExitCode;

/// A build makes many small values and ends.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    monprov::cli::run()
}
