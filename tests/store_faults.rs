//! The store against the world: kills, full disks, other users, other runs.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use monprov::bundle::StoreName;
use monprov::store::{Store, hash_directory};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{crash, trees};

/// `nobody`, for whom modes count.
const USER: u32 = 65534;

/// A process that puts a bundle for each seed: this binary, running nothing but [`child`].
fn putter(state: &Path, seeds: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "store_faults::child", "--ignored", "--nocapture", "--test-threads=1"])
        .env("STORE_CHILD_STATE", state)
        .env("STORE_CHILD_SEEDS", seeds.join(","));
    command
}

#[test]
#[ignore = "not a test: what the processes of the other tests run"]
fn child() {
    let state = PathBuf::from(std::env::var_os("STORE_CHILD_STATE").unwrap());
    // The harness prints from another thread. `strace` counts the calls of each thread: with
    // these, a write to a bundle is never the one of which the harness makes as many.
    let mut null = fs::OpenOptions::new().write(true).open("/dev/null").unwrap();
    (0..10).for_each(|_| null.write_all(b".").unwrap());
    for seed in std::env::var("STORE_CHILD_SEEDS").unwrap().split(',') {
        let mut tree = trees::small(seed);
        if seed == "big" {
            tree.insert("z-big", vec![b'x'; 1 << 20]);
        }
        let put = Store::open(&state).and_then(|store| {
            let path = store.put(&tree, "prod", &json!({ "seed": seed }))?;
            store.memo_put(&[7; 32], &path)?;
            store.out_link(&state.join("result"), &path)
        });
        match put {
            Ok(()) => println!("\ndone {seed}"),
            Err(error) => println!("\nfailed {error}"),
        }
    }
}

fn said(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .filter(|line| line.starts_with("done ") || line.starts_with("failed "))
        .map(str::to_owned)
        .collect()
}

/// A state directory that `nobody` may write as well.
fn state() -> TempDir {
    let state = TempDir::new().unwrap();
    fs::set_permissions(state.path(), fs::Permissions::from_mode(0o777)).unwrap();
    state
}

fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn as_user(mut command: Command) -> Command {
    if is_root() {
        command.uid(USER).gid(USER);
    }
    command
}

/// Whatever stands under a final name is whole, and whatever points to something points to that.
/// The store is not opened for it: that would sweep.
fn assert_sound(state: &Path) {
    let bundles = names(&state.join("store")).into_iter().filter(|name| !name.starts_with(".tmp-"));
    bundles.for_each(|name| assert_intact(&state.join("store").join(name)));
    if let Ok(target) = fs::read_link(state.join("result")) {
        assert_intact(&target);
    }
    for name in names(&state.join("records")) {
        let record = fs::read(state.join("records").join(&name)).unwrap();
        serde_json::from_slice::<serde_json::Value>(&record)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

fn assert_intact(path: &Path) {
    let name: StoreName = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
    let hash = hash_directory(path).unwrap();
    assert_eq!(StoreName::of(&hash, name.name()).unwrap(), name);
    let mode = fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o555, "{}", path.display());
}

fn killed_everywhere(user: Option<u32>) {
    let parent = TempDir::new().unwrap();
    fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let state = parent.path().canonicalize().unwrap().join("state");
    let mut checked = 0;
    let report = crash::kill_at_every(
        &state,
        user,
        || {
            let _ = fs::remove_dir_all(&state);
            fs::create_dir(&state).unwrap();
            fs::set_permissions(&state, fs::Permissions::from_mode(0o777)).unwrap();
            // A bundle and a link that must survive.
            let mut first = putter(&state, &["first"]);
            if let Some(user) = user {
                first.uid(user).gid(user);
            }
            assert_eq!(said(&first.output().unwrap()), ["done first"]);
            putter(&state, &["second"])
        },
        |point| {
            checked += 1;
            assert_sound(&state);
            // The next run cleans up and does what was to be done.
            let mut next = putter(&state, &["second"]);
            if let Some(user) = user {
                next.uid(user).gid(user);
            }
            assert_eq!(said(&next.output().unwrap()), ["done second"], "{point:?}");
            assert_sound(&state);
            let store = names(&state.join("store"));
            assert_eq!(store.len(), 2, "{point:?} {store:?}");
            assert!(store.iter().all(|name| name.ends_with("-prod")), "{point:?} {store:?}");
            assert_eq!(names(&state), ["memo", "records", "result", "roots", "store"], "{point:?}");
            assert_eq!(names(&state.join("memo")).len(), 1, "{point:?}");
        },
    );
    eprintln!("{report}");
    assert_eq!(report.missed, []);
    assert_eq!(report.found.len(), checked);
    assert!(checked > 30, "only {checked} points: is this put still what it was?");
}

#[test]
fn killed_at_every_change_as_root_or_whoever_runs_this() {
    killed_everywhere(None);
}

#[test]
fn killed_at_every_change_as_an_ordinary_user() {
    if is_root() {
        killed_everywhere(Some(USER));
    }
}

#[test]
fn an_ordinary_user_can_put_under_any_umask() {
    for umask in ["0000", "0022", "0077", "0777"] {
        let state = state();
        let mut command = Command::new("sh");
        let putter = putter(state.path(), &["one"]);
        command
            .args(["-c", "umask $0; exec \"$@\"", umask])
            .arg(putter.get_program())
            .args(putter.get_args());
        command.envs(putter.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = as_user(command).output().unwrap();
        assert_eq!(said(&output), ["done one"], "umask {umask}: {output:?}");

        let store = Store::open(state.path()).unwrap();
        let path = &store.list().unwrap()[0];
        assert_eq!(store.verify(path).unwrap(), [], "umask {umask}");
        for (name, mode) in [("store", 0o755), ("memo", 0o755), ("records", 0o755), ("roots", 0o755)] {
            let is = fs::metadata(state.path().join(name)).unwrap().permissions().mode() & 0o7777;
            assert_eq!(is, mode, "{name} under umask {umask}");
        }
        let record = state.path().join("records").join(&names(&state.path().join("records"))[0]);
        assert_eq!(fs::metadata(record).unwrap().permissions().mode() & 0o7777, 0o644);
    }
}

#[test]
fn a_store_that_may_not_be_written_says_so_and_stays_as_it_is() {
    assert!(is_root(), "this test changes users or mounts, so it runs as root");
    let state = TempDir::new().unwrap();
    fs::set_permissions(state.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let output = as_user(putter(state.path(), &["one"])).output().unwrap();
    let path = state.path().display();
    assert_eq!(
        said(&output),
        [format!(
            "failed can't make the directory {path}/store: Permission denied (os error 13): run as the owner of \
             the state directory, or set MONPROV_STATE_DIR to a directory of your own"
        )]
    );
    assert_eq!(names(state.path()), Vec::<String>::new());

    Store::open(state.path()).unwrap().put(&trees::small("root's"), "prod", &json!({})).unwrap();
    let output = as_user(putter(state.path(), &["one"])).output().unwrap();
    assert!(said(&output)[0].starts_with(&format!("failed can't write into {path}/store: ")), "{output:?}");
    // What is there already needs no right to write.
    let store = names(&state.path().join("store"));
    assert_eq!(store.len(), 1);
}

#[test]
fn a_full_disk_is_an_error_that_leaves_nothing() {
    assert!(is_root(), "this test changes users or mounts, so it runs as root");
    let parent = TempDir::new().unwrap();
    let state = parent.path().join("state");
    fs::create_dir(&state).unwrap();
    // In a mount name space of its own, so that nothing has to be unmounted.
    let script = "mount -t tmpfs -o size=512k,mode=777 none \"$STORE_CHILD_STATE\" && \"$@\"; \
                  find \"$STORE_CHILD_STATE/store\" -mindepth 1 -maxdepth 1 | sed 's/^/found /'";
    let putter = putter(&state, &["one", "big", "two"]);
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, "sh"]).arg(putter.get_program()).args(putter.get_args());
    command.envs(putter.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.output().unwrap();
    let said = said(&output);
    assert_eq!(said.len(), 3, "{output:?}");
    assert_eq!((said[0].as_str(), said[2].as_str()), ("done one", "done two"));
    let store = state.join("store");
    let expected = format!("failed can't write {}/.tmp-", store.display());
    assert!(said[1].starts_with(&expected), "{}", said[1]);
    assert!(
        said[1].ends_with(
            "/z-big: no space is left on its file system: free some, or set MONPROV_STATE_DIR to a directory elsewhere"
        ),
        "{}",
        said[1]
    );
    let found: Vec<_> = std::str::from_utf8(&output.stdout)
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("found "))
        .collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|line| line.ends_with("-prod")), "{found:?}");
}

#[test]
fn many_processes_put_the_same_and_different_bundles() {
    let state = state();
    let children: Vec<_> = (0..20)
        .map(|n| {
            let own = format!("own-{n}");
            let mut command = putter(state.path(), &["same", &own, "same"]);
            command.stdout(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for (n, child) in children.into_iter().enumerate() {
        let output = child.wait_with_output().unwrap();
        assert_eq!(said(&output), ["done same".to_owned(), format!("done own-{n}"), "done same".to_owned()]);
    }
    assert_sound(state.path());
    assert_eq!(names(&state.path().join("store")).len(), 21);
    assert_eq!(names(state.path()), ["memo", "records", "result", "roots", "store"]);
}
