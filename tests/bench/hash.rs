//! Hashes a directory as `verify` does, for `tests/bench/run`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measuring tool")]

fn main() {
    let path = std::env::args_os().nth(1).unwrap();
    println!("{}", monprov::store::hash_directory(path.as_ref()).unwrap());
}
