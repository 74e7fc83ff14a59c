//! `--record`: payloads as files, for `monprov plugin replay`. They hold what alerts say, so only
//! their owner can read them, and there are never many.

use std::collections::VecDeque;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::Context as _;

use super::locked;

/// Files that are kept; the oldest goes first.
const MOST: usize = 1000;

#[derive(Debug)]
pub(super) struct Recorder {
    folder: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    files: VecDeque<PathBuf>,
    number: u64,
}

impl Recorder {
    /// Counts what earlier runs left.
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        let told = || format!("--record {}", folder.display());
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(told)?;
        let mut files = vec![];
        for entry in std::fs::read_dir(folder).with_context(told)? {
            let path = entry.with_context(told)?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                files.push(path);
            }
        }
        // Names begin with the time.
        files.sort();
        Ok(Recorder {
            folder: folder.to_owned(),
            state: Mutex::new(State { files: files.into(), number: 0 }),
        })
    }

    /// Keeps a payload. That it can't is no reason to deliver nothing.
    pub(super) fn keep(&self, channel: &str, payload: &[u8]) {
        let mut state = locked(&self.state);
        state.number += 1;
        let at = jiff::Timestamp::now().as_millisecond();
        let path = self.folder.join(format!("{at:013}-{:06}-{channel}.json", state.number));
        let options = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).clone();
        let written = options.open(&path).and_then(|mut file| file.write_all(payload));
        if let Err(error) = written {
            tracing::warn!("--record: {}: {error}", path.display());
        }
        state.files.push_back(path);
        while state.files.len() > MOST {
            if let Some(oldest) = state.files.pop_front() {
                // Whoever looked at it may have removed it.
                let _ = std::fs::remove_file(oldest);
            }
        }
    }
}
