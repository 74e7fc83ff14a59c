//! The output of a program, line by line, and its last lines for the message when it fails.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use super::events::{Events, Stream};

/// A longer line is cut into several.
const LONGEST: usize = 16 << 10;
/// So many lines are remembered of each service.
const KEPT: usize = 100;

/// The last lines of a program since it was started last.
#[derive(Debug, Clone, Default)]
pub(super) struct LastLines(Arc<Mutex<VecDeque<String>>>);

impl LastLines {
    fn push(&self, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }

    pub(super) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).iter().cloned().collect()
    }

    /// For a new start.
    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
    }
}

/// Reads until the program and all that holds its output have ended.
pub(super) async fn follow(
    output: impl AsyncRead + Unpin,
    service: String,
    stream: Stream,
    events: Events,
    last: LastLines,
) {
    let mut output = BufReader::with_capacity(LONGEST, output);
    let mut line = Vec::new();
    loop {
        let Ok(read) = output.fill_buf().await else { return };
        let end = read.iter().position(|byte| *byte == b'\n');
        let room = LONGEST - line.len();
        let taken = end.unwrap_or(read.len()).min(room);
        line.extend_from_slice(read.get(..taken).unwrap_or_default());
        let (at_end, at_line) = (read.is_empty(), end == Some(taken));
        output.consume(taken + usize::from(at_line));
        if at_line || line.len() == LONGEST || (at_end && !line.is_empty()) {
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches('\r');
            last.push(text);
            events.log(&service, stream, text);
            line.clear();
        }
        if at_end {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::events::{Event, channel};
    use super::*;

    fn lines(output: &[u8]) -> Vec<String> {
        let (events, watched) = channel();
        let last = LastLines::default();
        let follow = follow(output, "x".into(), Stream::Stdout, events, last);
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(follow);
        std::iter::from_fn(|| watched.next())
            .map(|event| match event {
                Event::Log { line, .. } => line,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn lines_are_whole_and_what_has_no_end_is_shown_too() {
        assert_eq!(lines(b"one\ntwo\r\n\nthree"), ["one", "two", "", "three"]);
        assert_eq!(lines(b""), [""; 0]);
        assert_eq!(lines(b"\xff\n"), ["\u{fffd}"]);
    }

    #[test]
    fn an_endless_line_is_cut() {
        let long = "x".repeat(LONGEST + 3) + "\ny\n";
        assert_eq!(lines(long.as_bytes()), ["x".repeat(LONGEST), "xxx".into(), "y".into()]);
        let exact = "x".repeat(LONGEST) + "\ny\n";
        assert_eq!(lines(exact.as_bytes()), ["x".repeat(LONGEST), String::new(), "y".into()]);
    }
}
