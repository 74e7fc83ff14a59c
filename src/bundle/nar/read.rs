//! A NAR that comes from elsewhere, taken apart piece by piece: nothing of it is believed, and
//! none of it is held but the name that is being read.
//!
//! Stricter than Nix: only what a bundle can hold is let through. Links are refused wherever
//! they point, so are names that leave their directory, that differ in case only, or that are
//! not text. That is why no library is used here: `nix-nar` takes links, and sets no limits.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read};

/// The longest path and name that Linux takes.
const MAX_PATH: usize = 4095;
const MAX_NAME: usize = 255;
/// The longest of the format's own words.
const MAX_WORD: usize = 16;
/// What is handed on at a time.
const PIECE: usize = 64 * 1024;

/// How much an archive may hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Files and directories.
    pub entries: u64,
    /// Directories within each other.
    pub depth: usize,
    /// The whole archive in bytes.
    pub size: u64,
}

impl Default for Limits {
    /// Far beyond any stack, and little enough for a disk.
    fn default() -> Self {
        Limits { entries: 200_000, depth: 64, size: 1 << 30 }
    }
}

/// Why an archive is refused.
#[derive(Debug, thiserror::Error)]
pub enum NarError {
    #[error("the archive can't be read: {0}")]
    Io(#[source] std::io::Error),
    #[error("the archive ends in the middle (after {at} bytes)")]
    Truncated { at: u64 },
    #[error("this is no Nix archive: {what} at byte {at}")]
    Format { at: u64, what: &'static str },
    #[error("the archive holds more than its {what}: {limit}")]
    TooMuch { what: &'static str, limit: u64 },
    #[error("the archive holds the symbolic link {path:?}: a bundle has none")]
    Link { path: String },
    #[error("the archive is of a single {0}: a bundle is a directory")]
    NoDirectory(&'static str),
    #[error("the archive holds a name {name:?} in {directory:?}, which {problem}")]
    Name { directory: String, name: String, problem: &'static str },
}

/// One step through an archive. Paths are relative to its root, which is the empty path.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    Enter {
        path: &'a str,
    },
    File {
        path: &'a str,
        executable: bool,
        size: u64,
    },
    /// A piece of the file that was named last.
    Content(&'a [u8]),
    /// That file is complete.
    Close {
        path: &'a str,
    },
    Leave {
        path: &'a str,
    },
}

/// Reads an archive. The input should be buffered.
#[derive(Debug)]
pub struct NarReader<R> {
    input: R,
    limits: Limits,
    at: u64,
    entries: u64,
    state: State,
    /// Of what is being read; a name is cut off when it is left.
    path: String,
    open: Vec<Directory>,
    piece: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    /// Within a directory, before an entry or its end.
    Inside,
    Content {
        left: u64,
        size: u64,
    },
    /// The directory was left; its name is still in the path.
    Left,
    End,
}

#[derive(Debug, Default)]
struct Directory {
    /// How long the path of the directory is.
    path: usize,
    last: Option<String>,
    /// The names without their case.
    folded: BTreeSet<String>,
}

impl<R: Read> NarReader<R> {
    pub fn new(input: R, limits: Limits) -> Self {
        let (path, open, piece) = (String::new(), vec![], vec![0; PIECE]);
        NarReader { input, limits, at: 0, entries: 0, state: State::Start, path, open, piece }
    }

    /// The input, once all was read.
    pub fn into_inner(self) -> R {
        self.input
    }

    /// What comes next; `None` after the end. After an error, nothing more is to be asked.
    pub fn step(&mut self) -> Result<Option<Event<'_>>, NarError> {
        match self.state {
            State::Start => self.start(),
            State::Inside => self.entry(),
            State::Content { left: 0, size } => {
                self.padding(size)?;
                self.words(&[b")", b")"])?;
                self.state = State::Left;
                Ok(Some(Event::Close { path: &self.path }))
            }
            State::Content { left, size } => {
                let want = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
                let piece = self.piece.get_mut(..want).unwrap_or_default();
                fill(&mut self.input, piece, self.at)?;
                self.at += want as u64;
                self.state = State::Content { left: left - want as u64, size };
                Ok(Some(Event::Content(self.piece.get(..want).unwrap_or_default())))
            }
            State::Left => {
                // What was left is cut off only now, since its path has just been handed out.
                let path = self.open.last().map_or(0, |directory| directory.path);
                self.path.truncate(path);
                self.state = State::Inside;
                self.entry()
            }
            State::End => Ok(None),
        }
    }

    fn start(&mut self) -> Result<Option<Event<'_>>, NarError> {
        self.words(&[b"nix-archive-1", b"(", b"type"])?;
        match self.word()?.as_slice() {
            b"directory" => {}
            b"regular" => return Err(NarError::NoDirectory("file")),
            b"symlink" => return Err(NarError::NoDirectory("symbolic link")),
            _ => return Err(self.format("an unknown type of file")),
        }
        self.open.push(Directory::default());
        self.state = State::Inside;
        Ok(Some(Event::Enter { path: "" }))
    }

    /// An entry of the innermost directory, or that directory's end.
    fn entry(&mut self) -> Result<Option<Event<'_>>, NarError> {
        match self.word()?.as_slice() {
            b")" => return self.leave(),
            b"entry" => {}
            _ => return Err(self.format("neither an entry nor the end of a directory")),
        }
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(NarError::TooMuch {
                what: "limit of files and directories",
                limit: self.limits.entries,
            });
        }
        self.words(&[b"(", b"name"])?;
        let name = self.name()?;
        if !self.path.is_empty() {
            self.path.push('/');
        }
        self.path.push_str(&name);
        if self.path.len() > MAX_PATH {
            return Err(self.bad_name(name, "makes a path of more than 4095 bytes"));
        }
        self.words(&[b"node", b"(", b"type"])?;
        match self.word()?.as_slice() {
            b"directory" => {
                if self.open.len() >= self.limits.depth {
                    let limit = self.limits.depth as u64;
                    return Err(NarError::TooMuch { what: "limit of directories within each other", limit });
                }
                self.open.push(Directory { path: self.path.len(), ..Directory::default() });
                self.state = State::Inside;
                Ok(Some(Event::Enter { path: &self.path }))
            }
            b"regular" => self.file(),
            b"symlink" => Err(NarError::Link { path: self.path.clone() }),
            _ => Err(self.format("an unknown type of file")),
        }
    }

    fn file(&mut self) -> Result<Option<Event<'_>>, NarError> {
        let mut word = self.word()?;
        let executable = word == b"executable";
        if executable {
            self.words(&[b""])?;
            word = self.word()?;
        }
        if word != b"contents" {
            return Err(self.format("a file without contents"));
        }
        let size = self.length()?;
        if size > self.limits.size.saturating_sub(self.at) {
            return Err(NarError::TooMuch { what: "announced size", limit: self.limits.size });
        }
        self.state = State::Content { left: size, size };
        Ok(Some(Event::File { path: &self.path, executable, size }))
    }

    fn leave(&mut self) -> Result<Option<Event<'_>>, NarError> {
        self.open.pop();
        if self.open.is_empty() {
            self.state = State::End;
            let mut more = [0; 1];
            return match self.input.read(&mut more) {
                Ok(0) => Ok(Some(Event::Leave { path: "" })),
                Ok(_) => Err(self.format("something after its end")),
                Err(error) => Err(NarError::Io(error)),
            };
        }
        self.words(&[b")"])?;
        self.state = State::Left;
        Ok(Some(Event::Leave { path: &self.path }))
    }

    /// The name of an entry: one that a directory can have, after the last one.
    fn name(&mut self) -> Result<String, NarError> {
        let bytes = self.token(MAX_NAME, "a name of more than 255 bytes")?;
        let name = match String::from_utf8(bytes) {
            Ok(name) => name,
            Err(error) => {
                let name = String::from_utf8_lossy(error.as_bytes()).into_owned();
                return Err(self.bad_name(name, "is not UTF-8"));
            }
        };
        let problem = match name.as_str() {
            "" => Some("is empty"),
            "." | ".." => Some("leads out of the directory"),
            name if name.contains('/') => Some("has a `/` in it"),
            name if name.contains('\0') => Some("has a NUL byte in it"),
            _ => None,
        };
        if let Some(problem) = problem {
            return Err(self.bad_name(name, problem));
        }
        let Some(directory) = self.open.last_mut() else { return Err(self.format("an entry of nothing")) };
        let problem = match &directory.last {
            Some(last) if *last == name => Some("is there twice"),
            Some(last) if *last > name => Some("does not stand in its order"),
            _ if !directory.folded.insert(name.to_lowercase()) => {
                Some("differs from another there in its case only")
            }
            _ => None,
        };
        match problem {
            Some(problem) => Err(self.bad_name(name, problem)),
            None => {
                directory.last = Some(name.clone());
                Ok(name)
            }
        }
    }

    fn words(&mut self, expected: &[&[u8]]) -> Result<(), NarError> {
        for word in expected {
            if self.word()? != *word {
                return Err(self.format("something else than the format has there"));
            }
        }
        Ok(())
    }

    fn word(&mut self) -> Result<Vec<u8>, NarError> {
        self.token(MAX_WORD, "a word that is too long")
    }

    /// Nothing is reserved for more than `most`, whatever length is announced.
    fn token(&mut self, most: usize, too_long: &'static str) -> Result<Vec<u8>, NarError> {
        let size = self.length()?;
        let length = match usize::try_from(size) {
            Ok(length) if length <= most => length,
            _ => return Err(self.format(too_long)),
        };
        let mut token = vec![0; length];
        fill(&mut self.input, &mut token, self.at)?;
        self.at += size;
        self.padding(size)?;
        Ok(token)
    }

    fn length(&mut self) -> Result<u64, NarError> {
        let mut bytes = [0; 8];
        fill(&mut self.input, &mut bytes, self.at)?;
        self.at += 8;
        if self.at > self.limits.size {
            return Err(NarError::TooMuch { what: "announced size", limit: self.limits.size });
        }
        Ok(u64::from_le_bytes(bytes))
    }

    fn padding(&mut self, size: u64) -> Result<(), NarError> {
        let mut zeros = [0; 8];
        let padding = zeros.get_mut(..((8 - size % 8) % 8) as usize).unwrap_or_default();
        fill(&mut self.input, padding, self.at)?;
        self.at += padding.len() as u64;
        match padding.iter().all(|byte| *byte == 0) {
            true => Ok(()),
            false => Err(self.format("padding that is not zero")),
        }
    }

    fn format(&self, what: &'static str) -> NarError {
        NarError::Format { at: self.at, what }
    }

    fn bad_name(&self, name: String, problem: &'static str) -> NarError {
        let directory = self.open.last().and_then(|directory| self.path.get(..directory.path));
        NarError::Name { directory: directory.unwrap_or_default().to_owned(), name, problem }
    }
}

fn fill(input: &mut impl Read, into: &mut [u8], at: u64) -> Result<(), NarError> {
    input.read_exact(into).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => NarError::Truncated { at },
        _ => NarError::Io(error),
    })
}

#[cfg(test)]
mod tests;
