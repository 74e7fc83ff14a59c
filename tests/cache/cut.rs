//! Transfers that break off. A server that names versions (`ETag`) and takes ranges is asked for
//! the rest; any other for all of it again.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use monprov::bundle::Tree;

use super::{Origin, assert_nothing_came, host, key};
use crate::support::bundles::is_intact;

/// Serves a folder, and hangs up in the middle of the first archives.
struct Breaking {
    url: String,
    /// Every request for an archive: its range.
    ranges: Arc<Mutex<Vec<Option<String>>>>,
}

impl Breaking {
    fn serve(folder: PathBuf, breaks: usize, tags: bool) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let ranges: Arc<Mutex<Vec<Option<String>>>> = Arc::default();
        let (seen, left) = (ranges.clone(), Arc::new(AtomicUsize::new(breaks)));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (folder, seen, left) = (folder.clone(), seen.clone(), left.clone());
                std::thread::spawn(move || answer(stream, &folder, &seen, &left, tags));
            }
        });
        Breaking { url, ranges }
    }
}

fn answer(
    mut stream: TcpStream,
    folder: &Path,
    seen: &Mutex<Vec<Option<String>>>,
    left: &AtomicUsize,
    tags: bool,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut first = String::new();
        reader.read_line(&mut first).ok()?;
        let mut words = first.split_whitespace();
        let (head, path) = (words.next()? == "HEAD", words.next()?.trim_start_matches('/').to_owned());
        let mut range = None;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_lowercase().strip_prefix("range: ") {
                range = Some(value.trim().to_owned());
            }
        }
        let Ok(bytes) = std::fs::read(folder.join(&path)) else {
            stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").ok()?;
            continue;
        };
        let is_archive = path.starts_with("nar/") && !head;
        if is_archive {
            seen.lock().unwrap().push(range.clone());
        }
        let start = range
            .filter(|_| tags)
            .and_then(|range| range.strip_prefix("bytes=")?.split('-').next()?.parse::<usize>().ok());
        let tag = if tags { "ETag: \"one\"\r\n" } else { "" };
        let (total, from) = (bytes.len(), start.unwrap_or(0));
        let line = match start {
            Some(start) => format!("206 Partial\r\nContent-Range: bytes {start}-{}/{total}", total - 1),
            None => "200 OK".to_owned(),
        };
        write!(stream, "HTTP/1.1 {line}\r\n{tag}Content-Length: {}\r\n\r\n", total - from).ok()?;
        if head {
            continue;
        }
        let breaks = is_archive
            && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        let until = if breaks { from + (total - from) / 2 } else { total };
        stream.write_all(&bytes[from..until]).ok()?;
        if breaks {
            return None;
        }
    }
}

/// An archive that does not fit any buffer.
fn origin() -> (Origin, String) {
    let origin = Origin::new();
    let mut tree = Tree::new();
    let mut random = fastrand::Rng::with_seed(3);
    tree.insert("random", std::iter::repeat_with(|| random.u8(..)).take(3 << 20).collect::<Vec<u8>>());
    let large = origin.store.put(&tree, "large", &serde_json::Value::Null).unwrap();
    origin.project.run(&format!("push {} {} --key key", large.name(), origin.url())).succeeds();
    let name = large.name().to_string();
    (origin, name)
}

#[test]
fn a_server_that_names_versions_is_asked_for_the_rest() {
    let (origin, name) = origin();
    let server = Breaking::serve(origin.cache(), 2, true);
    let host = host(&[&key("fleet-1", 1)]);
    host.run(&format!("pull {name} {}", server.url)).succeeds();
    assert!(is_intact(&host.path("state/store").join(name)));
    let ranges = server.ranges.lock().unwrap().clone();
    assert_eq!(ranges.len(), 3, "{ranges:?}");
    assert_eq!(ranges[0], None);
    let starts: Vec<usize> = ranges[1..]
        .iter()
        .map(|range| range.as_ref().unwrap()["bytes=".len()..].split('-').next().unwrap().parse().unwrap())
        .collect();
    assert!(0 < starts[0] && starts[0] < starts[1], "{starts:?}");
}

#[test]
fn any_other_is_asked_for_all_of_it_again() {
    let (origin, name) = origin();
    let server = Breaking::serve(origin.cache(), 2, false);
    let host = host(&[&key("fleet-1", 1)]);
    host.run(&format!("pull {name} {}", server.url)).succeeds();
    assert!(is_intact(&host.path("state/store").join(&name)));
    assert_eq!(*server.ranges.lock().unwrap(), [None, None, None]);
}

#[test]
fn one_that_always_breaks_off_is_an_error_that_leaves_nothing() {
    let (origin, name) = origin();
    let server = Breaking::serve(origin.cache(), usize::MAX, false);
    let host = host(&[&key("fleet-1", 1)]);
    let output = host.run(&format!("pull {name} {}", server.url)).exits(1);
    assert!(output.stderr.contains("was cut off"), "{}", output.stderr);
    assert_nothing_came(&host);
}
