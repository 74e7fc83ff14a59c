//! Secrets that a command prints: `pass show …`, `op read …`, `sops -d …`.
#![expect(clippy::disallowed_methods, reason = "commands are one of the sources")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use zeroize::Zeroizing;

use super::file::{MAX_SIZE, text};
use super::{Answer, Found, Provider, Request, Trouble};
use crate::stack::Origin;

/// Somebody may have to touch a key or type a passphrase.
const DEADLINE: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub(super) struct Exec<'a> {
    /// Where commands run.
    pub(super) directory: &'a Path,
    /// Variables that they do not inherit: other secrets.
    pub(super) hidden: BTreeSet<String>,
    /// What was answered before, where that is to be kept.
    pub(super) known: Option<&'a Commands>,
}

/// Answers by command and by the variables that it does not inherit.
#[derive(Debug, Default)]
pub(super) struct Commands(Mutex<BTreeMap<Asked, Arc<OnceLock<Answer>>>>);

type Asked = (Vec<String>, BTreeSet<String>);

impl Commands {
    /// The answer; who asks while another finds out waits for that.
    fn get(&self, asked: Asked, find_out: impl FnOnce() -> Answer) -> Answer {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = all.entry(asked).or_default().clone();
        drop(all);
        answer.get_or_init(find_out).clone()
    }
}

impl Provider for Exec<'_> {
    /// All commands run side by side.
    fn get(&self, requests: &[Request<'_>]) -> Vec<Answer> {
        std::thread::scope(|scope| {
            let running: Vec<_> = requests
                .iter()
                .map(|request| match request.origin {
                    Origin::Exec(command) => Ok(scope.spawn(move || self.answer(command))),
                    other => Err(super::not_mine(other)),
                })
                .collect();
            running
                .into_iter()
                .map(|run| match run {
                    Ok(thread) => thread.join().unwrap_or_else(|_| {
                        Answer::Failed(Trouble::from("the thread that ran a command ended".to_owned()))
                    }),
                    Err(answer) => answer,
                })
                .collect()
        })
    }
}

impl Exec<'_> {
    fn answer(&self, words: &[String]) -> Answer {
        let run = || self.run(words).unwrap_or_else(Answer::Failed);
        match self.known {
            Some(known) => known.get((words.to_vec(), self.hidden.clone()), run),
            None => run(),
        }
    }

    fn run(&self, words: &[String]) -> Result<Answer, Trouble> {
        let Some((program, arguments)) = words.split_first() else {
            return Err(Trouble::from("the command is empty".to_owned()));
        };
        let shown = words.join(" ");
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.directory);
        // What it says goes to the person before the terminal: only it knows what is wrong.
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        for name in &self.hidden {
            command.env_remove(name);
        }
        let mut child = command.spawn().map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                Trouble::new(format!("there is no program `{program}`"), "install it, or mind PATH")
            }
            _ => Trouble::from(format!("`{program}` can't be started: {error}")),
        })?;
        let Some(stdout) = child.stdout.take() else {
            return Err(Trouble::from(format!("`{shown}` has no output")));
        };
        // A thread that is not waited for: a grandchild may hold the pipe open for ever.
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_SIZE as usize + 1));
            let read = stdout.take(MAX_SIZE + 1).read_to_end(&mut bytes);
            let _ = sender.send(read.map(|_| bytes));
        });
        let Ok(read) = receiver.recv_timeout(DEADLINE) else {
            let _ = child.kill();
            let _ = child.wait();
            let what = format!("`{shown}` printed nothing for {} seconds", DEADLINE.as_secs());
            return Err(Trouble::new(what, "run it by hand: it may wait for an answer"));
        };
        let mut bytes = read.map_err(|error| Trouble::from(format!("`{shown}`: {error}")))?;
        if bytes.len() as u64 > MAX_SIZE {
            let _ = child.kill();
        }
        let status = child.wait().map_err(|error| Trouble::from(format!("`{shown}`: {error}")))?;
        if bytes.len() as u64 <= MAX_SIZE && !status.success() {
            let how = status.code().map_or("was killed".to_owned(), |code| format!("ended with {code}"));
            return Err(Trouble::new(format!("`{shown}` {how}"), "its own messages stand above"));
        }
        let secret = text(&mut bytes).map_err(|why| Trouble::from(format!("what `{shown}` prints {why}")))?;
        Ok(Found::plain(secret))
    }
}
