use proptest::prelude::*;

use super::*;
use crate::bundle::Tree;
use crate::bundle::nar::NarHasher;

/// Text tokens; `#5` is a length alone, `!` stands for bytes as they are.
fn archive(tokens: &[&str]) -> Vec<u8> {
    let mut bytes = vec![];
    for token in tokens {
        if let Some(length) = token.strip_prefix('#') {
            bytes.extend(length.parse::<u64>().unwrap().to_le_bytes());
        } else if let Some(raw) = token.strip_prefix('!') {
            bytes.extend(raw.as_bytes());
        } else {
            bytes.extend((token.len() as u64).to_le_bytes());
            bytes.extend(token.as_bytes());
            bytes.resize(bytes.len().next_multiple_of(8), 0);
        }
    }
    bytes
}

fn root(inside: &[&str]) -> Vec<u8> {
    archive(&[&["nix-archive-1", "(", "type", "directory"], inside, &[")"]].concat())
}

const FILE: [&str; 7] = ["node", "(", "type", "regular", "contents", "x", ")"];

fn files(names: &[&str]) -> Vec<u8> {
    let mut tokens = vec![];
    for name in names {
        tokens.extend(["entry", "(", "name", name]);
        tokens.extend(FILE);
        tokens.push(")");
    }
    root(&tokens)
}

fn read(bytes: &[u8]) -> Result<Tree, NarError> {
    read_with(bytes, Limits::default())
}

fn read_with(bytes: &[u8], limits: Limits) -> Result<Tree, NarError> {
    let (mut tree, mut content) = (Tree::new(), vec![]);
    let mut reader = NarReader::new(bytes, limits);
    let mut is_executable = false;
    while let Some(event) = reader.step()? {
        match event {
            Event::File { executable, .. } => is_executable = executable,
            Event::Content(piece) => content.extend_from_slice(piece),
            Event::Close { path } if is_executable => {
                tree.insert_executable(path, std::mem::take(&mut content))
            }
            Event::Close { path } => tree.insert(path, std::mem::take(&mut content)),
            Event::Enter { .. } | Event::Leave { .. } => {}
        }
    }
    assert!(matches!(reader.step(), Ok(None)));
    Ok(tree)
}

fn said(bytes: &[u8]) -> String {
    read(bytes).unwrap_err().to_string()
}

/// The archive of a tree; its hash proves that it is the one that is hashed.
fn written(tree: &Tree) -> Vec<u8> {
    #[derive(Default)]
    struct Held(Vec<u8>);
    impl crate::bundle::nar::Sink for Held {
        type Error = std::convert::Infallible;
        fn put(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
            self.0.extend_from_slice(bytes);
            Ok(())
        }
    }
    let Ok(mut nar) = crate::bundle::nar::NarWriter::to(Held::default());
    for step in tree.walk().unwrap() {
        use crate::bundle::Step;
        let Ok(()) = match step {
            Step::Enter { path: "", .. } => nar.open_root(),
            Step::Enter { name, .. } => nar.open_directory(name.as_bytes()),
            Step::File { name, file, .. } => {
                let size = file.content.len() as u64;
                let Ok(()) = nar.open_file(name.as_bytes(), file.executable, size);
                let Ok(()) = nar.content(&file.content);
                nar.close_file(size)
            }
            Step::Leave { path: "" } => nar.close_root(),
            Step::Leave { .. } => nar.close_directory(),
        };
    }
    let (held, size) = nar.end();
    assert_eq!(held.0.len() as u64, size);
    held.0
}

#[test]
fn a_tree_reads_back_from_its_archive() {
    let mut tree = Tree::new();
    tree.insert("a/b/c", "x".repeat(200_000));
    tree.insert("a-b", "");
    tree.insert_executable("a.b", "12345678");
    assert_eq!(read(&written(&tree)).unwrap(), tree);
    assert_eq!(read(&written(&Tree::new())).unwrap(), Tree::new());
    assert_eq!(NarHasher::new().finish().1, 24);
}

#[test]
fn an_archive_cut_off_anywhere_is_truncated() {
    let whole = files(&["a", "b"]);
    for length in 0..whole.len() {
        let error = read(&whole[..length]).unwrap_err();
        assert!(matches!(error, NarError::Truncated { .. }), "{length}: {error}");
    }
    let more = [whole, vec![0]].concat();
    assert!(said(&more).contains("something after its end"));
}

#[test]
fn links_are_refused_wherever_they_point() {
    for target in ["b", "/etc/passwd", "../../.."] {
        let link =
            root(&["entry", "(", "name", "a", "node", "(", "type", "symlink", "target", target, ")", ")"]);
        assert_eq!(said(&link), "the archive holds the symbolic link \"a\": a bundle has none");
    }
    assert!(
        said(&archive(&["nix-archive-1", "(", "type", "symlink", "target", "x", ")"]))
            .contains("bundle is a directory")
    );
    assert!(
        said(&archive(&["nix-archive-1", "(", "type", "regular", "contents", "x", ")"]))
            .contains("bundle is a directory")
    );
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for (names, problem) in [
        (&["../x"][..], "has a `/` in it"),
        (&["/etc"], "has a `/` in it"),
        (&[".."], "leads out of the directory"),
        (&["."], "leads out of the directory"),
        (&[""], "is empty"),
        (&["a\0b"], "has a NUL byte in it"),
        (&["a", "a"], "is there twice"),
        (&["b", "a"], "does not stand in its order"),
        (&["README", "readme"], "differs from another there in its case only"),
        (&["Ä", "ä"], "differs from another there in its case only"),
    ] {
        assert!(said(&files(names)).ends_with(problem), "{names:?}: {}", said(&files(names)));
    }
    let mut latin = files(&["x"]);
    let at = latin.iter().position(|byte| *byte == b'x').unwrap();
    latin[at] = 0xe9;
    assert!(said(&latin).ends_with("is not UTF-8") || said(&latin).contains("no Nix archive"));
    assert!(said(&files(&[&"x".repeat(256)])).contains("a name of more than 255 bytes"));
    assert!(read(&files(&["...", "a b", "ä", &"ö".repeat(127)])).is_ok());
}

#[test]
fn the_same_name_may_stand_in_another_directory_in_another_case() {
    let mut tree = Tree::new();
    tree.insert("a/File", "");
    tree.insert("b/file", "");
    assert_eq!(read(&written(&tree)).unwrap(), tree);
}

#[test]
fn lengths_reserve_nothing_and_padding_is_zero() {
    assert!(said(&archive(&["#18446744073709551615"])).contains("a word that is too long"));
    let huge = root(&["entry", "(", "name", "#9223372036854775807"]);
    assert!(said(&huge).contains("a name of more than 255 bytes"));
    let file =
        ["entry", "(", "name", "a", "node", "(", "type", "regular", "contents", "#18446744073709551615"];
    assert!(said(&root(&file)).contains("more than its announced size"));
    let file =
        ["entry", "(", "name", "a", "node", "(", "type", "regular", "contents", "#1", "!xyyyyyyy", ")", ")"];
    assert!(said(&root(&file)).contains("padding that is not zero"));
}

#[test]
fn depth_count_and_size_are_bounded() {
    let down = ["entry", "(", "name", "d", "node", "(", "type", "directory"];
    let deep = [&["nix-archive-1", "(", "type", "directory"][..], &down.repeat(10_000)].concat();
    assert!(said(&archive(&deep)).contains("limit of directories within each other: 64"));
    let long = format!("entry/(/name/{}/node/(/type/directory", "x".repeat(200));
    let long: Vec<&str> = long.split('/').collect();
    let long = [&["nix-archive-1", "(", "type", "directory"][..], &long.repeat(60)].concat();
    assert!(said(&archive(&long)).contains("a path of more than 4095 bytes"));
    let names: Vec<String> = (10..30).map(|n| n.to_string()).collect();
    let many = files(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let few = Limits { entries: 10, ..Limits::default() };
    assert!(read_with(&many, few).unwrap_err().to_string().contains("files and directories: 10"));
    let small = Limits { size: 200, ..Limits::default() };
    assert!(read_with(&many, small).unwrap_err().to_string().contains("announced size: 200"));
}

fn tree() -> impl Strategy<Value = Tree> {
    let path = prop::collection::vec("[a-c]{1,2}", 1..4);
    prop::collection::btree_map(path, (prop::collection::vec(any::<u8>(), 0..20), any::<bool>()), 0..12)
        .prop_map(|files| {
            let mut tree = Tree::new();
            for (path, (content, executable)) in files {
                // Files end in a dot, so that none is a directory as well.
                let path = format!("{}.", path.join("/"));
                match executable {
                    true => tree.insert_executable(path, content),
                    false => tree.insert(path, content),
                }
            }
            tree
        })
}

proptest! {
    #[test]
    fn any_tree_reads_back(tree in tree()) {
        prop_assert_eq!(read(&written(&tree)).unwrap(), tree);
    }

    /// `PROPTEST_CASES=100000000` for an hour of it.
    #[test]
    fn a_damaged_archive_is_refused_or_another_tree(
        tree in tree(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = written(&tree);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(other) = read(&bytes) {
            prop_assert_eq!(written(&other), bytes);
        }
    }

    #[test]
    fn any_tokens_are_read_without_a_panic(
        tokens in prop::collection::vec(prop_oneof![
            Just("("), Just(")"), Just("entry"), Just("name"), Just("node"), Just("type"), Just("directory"),
            Just("regular"), Just("contents"), Just("executable"), Just(""), Just("a"), Just("#3"), Just("!x"),
        ], 0..40),
    ) {
        let _ = read(&root(&tokens));
    }
}
