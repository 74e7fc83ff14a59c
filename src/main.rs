//! The program: arguments, tracing, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    monprov::cli::run()
}
