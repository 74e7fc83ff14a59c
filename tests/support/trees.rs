//! Trees to build bundles from.

use monprov::bundle::Tree;
use proptest::collection::vec;
use proptest::prelude::*;

/// A small tree, different for each `seed`, with a file of every kind.
pub(crate) fn small(seed: &str) -> Tree {
    let mut tree = Tree::new();
    tree.insert("prometheus/prometheus.yml", format!("# {seed}\nglobal: {{}}\n"));
    tree.insert("prometheus/rules/celery.yml", "groups: []\n");
    tree.insert_executable("bin/wrapper", "#!/bin/sh\nexec \"$@\"\n");
    tree.insert("empty", "");
    tree
}

/// Any tree that a file system can hold.
pub(crate) fn any() -> impl Strategy<Value = Tree> {
    let odd = prop::sample::select(vec![
        "-a",
        "--",
        "a b",
        " ",
        "...",
        ".hidden",
        "..a",
        "a-b",
        "a.b",
        "a",
        "A",
        "ü",
        "u\u{308}",
        "a\nb",
        "警報",
        "*",
        "\\",
        "~",
        "$HOME",
        "'",
        "a\u{202e}b",
        "%00",
        "CON",
    ]);
    let name = prop_oneof![
        3 => "[a-c]{1,2}",
        2 => odd.prop_map(str::to_owned),
        1 => "[^/\0]{1,12}".prop_filter("the directory itself", |name| name != "." && name != ".."),
    ];
    let path = prop_oneof![
        9 => vec(name.clone(), 1..4),
        1 => vec(name, 20..40),
    ];
    let content = prop_oneof![Just(Vec::new()), vec(any_byte(), 1..20), vec(any_byte(), 4090..4100),];
    vec((path, content, prop::bool::ANY), 0..16).prop_map(|files| {
        let mut tree = Tree::new();
        for (path, content, executable) in files {
            let mut next = tree.clone();
            match executable {
                true => next.insert_executable(path.join("/"), content),
                false => next.insert(path.join("/"), content),
            }
            // A path that is a directory already stays one.
            if next.walk().is_ok() {
                tree = next;
            }
        }
        tree
    })
}

fn any_byte() -> impl Strategy<Value = u8> {
    prop::num::u8::ANY
}
