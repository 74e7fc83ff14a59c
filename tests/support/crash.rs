//! Kills a program at every system call that changes a file, or lets that call fail.
//!
//! The calls are not placed by hand: a first run under `strace -f` finds them, then the
//! program runs again for each and dies on entering it, so that the call has no effect. The
//! state after a call is the one before the next; the last is that of the complete run.
//! Likewise for a call that fails: it has no effect, and the program goes on.
//! Writes through a shared mapping are no system calls and are not seen.

use std::collections::HashMap;
use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};

/// Every system call that can change a file or a directory (`?`: where the machine has it).
const CALLS: &str = "?open,?openat,?openat2,?creat,?write,?pwrite64,?writev,?pwritev,?pwritev2,?sendfile,\
    ?copy_file_range,?splice,?rename,?renameat,?renameat2,?mkdir,?mkdirat,?rmdir,?unlink,?unlinkat,?link,\
    ?linkat,?symlink,?symlinkat,?mknod,?mknodat,?chmod,?fchmod,?fchmodat,?fchmodat2,?chown,?fchown,?lchown,\
    ?fchownat,?utime,?utimes,?utimensat,?futimesat,?truncate,?ftruncate,?fallocate,?setxattr,?lsetxattr,\
    ?fsetxattr,?removexattr,?lremovexattr,?fremovexattr,?ioctl,?sync,?syncfs,?fsync,?fdatasync,\
    ?sync_file_range";

/// A call to die at: the `nth` of that name in the `thread`th thread that made any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) call: String,
    pub(crate) nth: usize,
    pub(crate) thread: usize,
    /// As `strace` printed it in the first run.
    pub(crate) line: String,
}

/// What [`kill_at_every`] did.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) found: Vec<Point>,
    /// A sync, where the program died at the same call of another thread: which of several
    /// threads is first is chance.
    pub(crate) other_thread: Vec<Point>,
    /// Another thread or process reached its own `nth` call of that name first, or the program
    /// took another way.
    pub(crate) missed: Vec<Point>,
}

impl Report {
    /// The points at which the program really died.
    pub(crate) fn tested(&self) -> usize {
        self.found.len() - self.other_thread.len() - self.missed.len()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (found, other, missed) = (self.found.len(), self.other_thread.len(), self.missed.len());
        write!(
            f,
            "{found} points found, {} tested, {other} syncs hit in another thread, {missed} missed",
            self.tested()
        )
    }
}

#[derive(PartialEq)]
enum Death {
    Here,
    InOtherThread,
    Missed,
}

/// Runs the program once whole, then once for each call by which it changes something in
/// `watched` (an absolute path without links in it), dying there. `start` prepares the same
/// state each time and gives the command; `check` looks at what the dead program has left.
/// As another user, the program and all it needs must be open to that user.
pub(crate) fn kill_at_every(
    watched: &Path,
    user: Option<u32>,
    mut start: impl FnMut() -> Command,
    mut check: impl FnMut(&Point),
) -> Report {
    let mut report = Report { found: find(watched, user, start()), ..Report::default() };
    for point in &report.found {
        let death = kill(watched, user, start(), point);
        if death != Death::Missed {
            check(point);
        }
        match death {
            Death::Here => {}
            Death::InOtherThread => report.other_thread.push(point.clone()),
            Death::Missed => report.missed.push(point.clone()),
        }
    }
    report
}

/// As [`kill_at_every`], but the call fails with an error (`ENOSPC`), and the program ends by
/// itself.
pub(crate) fn fail_at_every(
    watched: &Path,
    user: Option<u32>,
    error: &str,
    mut start: impl FnMut() -> Command,
    mut check: impl FnMut(&Point, &Output),
) -> Report {
    let mut report = Report { found: find(watched, user, start()), ..Report::default() };
    for point in &report.found {
        let command = start();
        let inject = format!("inject={}:error={error}:when={}", point.call, point.nth);
        let (output, log) = strace(user, &command, &["-e", &inject]);
        let relative = is_within(&command, watched);
        let hit: Vec<Point> =
            calls(&log).into_iter().filter(|call| call.line.contains("(INJECTED)")).collect();
        match &hit[..] {
            [call] if call.thread == point.thread && changes(&call.line, &call.call, watched, relative) => {
                check(call, &output);
            }
            _ => report.missed.push(point.clone()),
        }
    }
    report
}

/// The calls by which the program changes something in `watched`.
pub(crate) fn find(watched: &Path, user: Option<u32>, command: Command) -> Vec<Point> {
    let (output, log) = strace(user, &command, &[]);
    assert!(
        output.status.success(),
        "the program fails on its own: {}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let relative = is_within(&command, watched);
    calls(&log).into_iter().filter(|point| changes(&point.line, &point.call, watched, relative)).collect()
}

fn kill(watched: &Path, user: Option<u32>, command: Command, point: &Point) -> Death {
    let inject = format!("inject={}:signal=SIGKILL:when={}", point.call, point.nth);
    let (_, log) = strace(user, &command, &["-e", &inject]);
    if !log.contains("+++ killed by SIGKILL +++") {
        return Death::Missed;
    }
    let relative = is_within(&command, watched);
    let calls = calls(&log);
    let mut same = calls.iter().filter(|call| (&call.call, call.nth) == (&point.call, point.nth));
    let here =
        |call: &Point| call.thread == point.thread && changes(&call.line, &call.call, watched, relative);
    // The first to reach the count is the one that died.
    match same.next() {
        Some(call) if here(call) => Death::Here,
        Some(_) if point.call.contains("sync") => Death::InOtherThread,
        _ => Death::Missed,
    }
}

fn is_within(command: &Command, watched: &Path) -> bool {
    command.get_current_dir().is_some_and(|directory| directory.starts_with(watched))
}

fn strace(user: Option<u32>, command: &Command, options: &[&str]) -> (Output, String) {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    std::fs::write(&log, "").unwrap();
    std::fs::set_permissions(&log, std::fs::Permissions::from_mode(0o666)).unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();

    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-e", &format!("trace={CALLS}"), "-o"]).arg(&log).args(options).arg("--");
    strace.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => strace.env(name, value),
            None => strace.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        strace.current_dir(directory);
    }
    if let Some(user) = user {
        strace.uid(user).gid(user);
    }
    let output = strace.output().expect("strace is needed for this test");
    (output, String::from_utf8_lossy(&std::fs::read(&log).unwrap()).into_owned())
}

/// Every call in the log, counted as `strace` counts for its `when`: by thread and name.
fn calls(log: &str) -> Vec<Point> {
    let mut threads: Vec<&str> = Vec::new();
    let mut counts: HashMap<(usize, &str), usize> = HashMap::new();
    let mut calls = Vec::new();
    for line in log.lines() {
        // A call that another thread interrupts has a second line, `<... write resumed>`.
        let Some((id, entry)) = line.split_once(' ') else { continue };
        let Some((call, _)) = entry.trim_start().split_once('(') else { continue };
        if call.is_empty() || !call.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        let thread = threads.iter().position(|known| *known == id).unwrap_or_else(|| {
            threads.push(id);
            threads.len() - 1
        });
        let nth = counts.entry((thread, call)).or_default();
        *nth += 1;
        calls.push(Point { call: call.to_owned(), nth: *nth, thread, line: entry.trim_start().to_owned() });
    }
    calls
}

fn changes(line: &str, call: &str, watched: &Path, relative: bool) -> bool {
    let opens = ["open", "openat", "openat2"].contains(&call);
    if opens && !["O_CREAT", "O_TRUNC", "O_WRONLY", "O_RDWR"].iter().any(|flag| line.contains(flag)) {
        return false;
    }
    // `ioctl` changes a file when it clones into it or sets its flags.
    if call == "ioctl" && !["FICLONE", "FS_IOC_SET"].iter().any(|request| line.contains(request)) {
        return false;
    }
    let watched = watched.to_str().unwrap();
    let inside = ['"', '<'].iter().any(|before| {
        let path = format!("{before}{watched}");
        line.match_indices(&path).any(|(at, _)| line[at + path.len()..].starts_with(['/', '"', '>']))
    });
    inside || relative && line.split_once("(\"").is_some_and(|(_, path)| !path.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_dies_before_each_of_its_changes() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().canonicalize().unwrap();
        let (a, b) = (directory.join("a"), directory.join("b"));
        let script = format!("echo one > {a}; echo two >> {a}; : > {b}", a = a.display(), b = b.display());
        let mut seen = Vec::new();
        let report = kill_at_every(
            &directory,
            None,
            || {
                let _ = std::fs::remove_file(&a);
                let _ = std::fs::remove_file(&b);
                let mut command = Command::new("sh");
                command.args(["-c", &script]);
                command
            },
            |point| seen.push((point.call.clone(), std::fs::read_to_string(&a).ok(), b.exists())),
        );
        let state = |text: &str| Some(text.to_owned());
        assert_eq!(
            seen,
            [
                ("openat".to_owned(), None, false),
                ("write".to_owned(), state(""), false),
                ("openat".to_owned(), state("one\n"), false),
                ("write".to_owned(), state("one\n"), false),
                ("openat".to_owned(), state("one\ntwo\n"), false),
            ]
        );
        assert_eq!((report.found.len(), report.tested()), (5, 5));
    }

    #[test]
    fn other_directories_and_mere_reads_are_no_points() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().canonicalize().unwrap();
        let script = format!("read x < {0}/in; echo > {0}-other; rm -f {0}-other", directory.display());
        std::fs::write(directory.join("in"), "x").unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", &script]);
        assert_eq!(find(&directory, None, command), []);
    }

    #[test]
    fn a_point_that_another_process_reaches_first_is_reported_as_missed() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().canonicalize().unwrap();
        let script = format!("(echo 1; echo 2) > /dev/null; (echo 3 > {}/a)", directory.display());
        let report = kill_at_every(
            &directory,
            None,
            || {
                let mut command = Command::new("sh");
                command.args(["-c", &script]);
                command
            },
            |_| {},
        );
        let missed: Vec<_> = report.missed.iter().map(|point| point.call.as_str()).collect();
        assert_eq!(missed, ["openat", "write"], "{report:?}");
    }
}
