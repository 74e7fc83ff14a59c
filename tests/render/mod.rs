//! What services are started with, under each runtime, and what Grafana is given.

mod compose;
mod dashboards;
mod processes;
mod scripts;

use std::fs;
use std::path::Path;

/// Compares with `tests/render/golden/NAME`; `BLESS=1` writes it.
fn golden(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/render/golden").join(name);
    if std::env::var_os("BLESS").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert!(expected == text, "{name} differs (BLESS=1 writes it); now:\n{text}");
}
