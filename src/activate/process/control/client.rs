//! The other side of the socket: what `switch`, `status` and `down` ask.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Answer, Applied, Ask, Change, Done, LONGEST, Request, Said, Status, VERSION, lock, socket};
use crate::activate::process::error::ProcessError;
use crate::render::process::Processes;

/// For what is answered at once.
const SOON: Duration = Duration::from_secs(10);
/// For what stops programs, each within its grace.
const LATER: Duration = Duration::from_secs(120);

/// The supervisor of a profile, if one runs.
#[derive(Debug, Clone)]
pub struct Client {
    directory: PathBuf,
    profile: String,
}

impl Client {
    pub fn new(directory: &Path, profile: &str) -> Client {
        Client { directory: directory.to_owned(), profile: profile.to_owned() }
    }

    /// What runs; `None` where no supervisor does, and so nothing.
    pub fn status(&self) -> Result<Option<Status>, ProcessError> {
        match self.ask(Ask::Status, SOON) {
            Ok(Said::Status(status)) => Ok(Some(status)),
            Ok(_) => Err(self.silent(ErrorKind::InvalidData)),
            Err(ProcessError::NotRunning { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The last lines that a service wrote.
    pub fn logs(&self, service: &str) -> Result<Vec<String>, ProcessError> {
        match self.ask(Ask::Logs(service.to_owned()), SOON)? {
            Said::Logs(lines) => Ok(lines),
            _ => Err(self.silent(ErrorKind::InvalidData)),
        }
    }

    /// Whether these processes can run where the supervisor does: the services whose programs
    /// are missing and need not be there.
    pub fn check(&self, processes: &Processes) -> Result<Vec<String>, ProcessError> {
        match self.ask(Ask::Check(processes.clone()), SOON)? {
            Said::Agreed(missing) => Ok(missing),
            _ => Err(self.silent(ErrorKind::InvalidData)),
        }
    }

    /// Makes exactly these processes run, and restarts those named. Returns once what had to
    /// be stopped is stopped and the rest is on its way: [`Client::status`] says how it fares.
    pub fn apply(&self, processes: &Processes, restart: &BTreeSet<String>) -> Result<Applied, ProcessError> {
        let apply = Change::Apply { processes: processes.clone(), restart: restart.clone() };
        match self.ask(Ask::Change(apply), LATER)? {
            Said::Done(Done::Applied(applied)) => Ok(applied),
            _ => Err(self.silent(ErrorKind::InvalidData)),
        }
    }

    /// Stops everything and the supervisor, and returns when that is done. False where nothing
    /// ran.
    pub fn stop(&self) -> Result<bool, ProcessError> {
        match self.ask(Ask::Change(Change::Stop), LATER) {
            Ok(_) => lock::wait(&self.directory, &self.profile).map(|()| true),
            Err(ProcessError::NotRunning { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(in crate::activate::process) fn not_running(&self) -> ProcessError {
        ProcessError::NotRunning { profile: self.profile.clone() }
    }

    fn ask(&self, request: Ask, deadline: Duration) -> Result<Said, ProcessError> {
        let Ok((_open, path)) = socket(&self.directory, &self.profile) else {
            return Err(self.not_running());
        };
        let stream = match UnixStream::connect(path) {
            Ok(stream) => stream,
            Err(error) if [ErrorKind::NotFound, ErrorKind::ConnectionRefused].contains(&error.kind()) => {
                return Err(self.not_running());
            }
            Err(source) => return Err(ProcessError::Silent { profile: self.profile.clone(), source }),
        };
        let line = self
            .exchange(stream, &Request { version: VERSION, request }, deadline)
            .map_err(|source| ProcessError::Silent { profile: self.profile.clone(), source })?;
        // The version first: the rest of another version may be anything.
        let version = serde_json::from_str::<serde_json::Value>(&line).ok();
        match version.and_then(|answer| u32::try_from(answer.get("version")?.as_u64()?).ok()) {
            Some(VERSION) => {}
            Some(theirs) => {
                return Err(ProcessError::Version { profile: self.profile.clone(), theirs, ours: VERSION });
            }
            // It was killed before it could answer.
            None => return Err(self.silent(ErrorKind::UnexpectedEof)),
        }
        match serde_json::from_str::<Answer>(&line) {
            Ok(Answer { answer: Said::Error(why), .. }) => Err(ProcessError::Refused(why)),
            Ok(Answer { answer, .. }) => Ok(answer),
            Err(_) => Err(self.silent(ErrorKind::InvalidData)),
        }
    }

    fn exchange(
        &self,
        mut stream: UnixStream,
        request: &Request<Ask>,
        deadline: Duration,
    ) -> std::io::Result<String> {
        stream.set_read_timeout(Some(deadline))?;
        stream.set_write_timeout(Some(SOON))?;
        stream.write_all((serde_json::to_string(request)? + "\n").as_bytes())?;
        let mut line = String::new();
        BufReader::new(stream.take(LONGEST)).read_line(&mut line)?;
        Ok(line)
    }

    fn silent(&self, kind: ErrorKind) -> ProcessError {
        ProcessError::Silent { profile: self.profile.clone(), source: kind.into() }
    }
}
