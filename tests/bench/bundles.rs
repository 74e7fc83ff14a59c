//! Fills a state directory with bundles for `tests/bench/run`:
//! `bundles STATE COUNT FILES BYTES`, each of so many files of so many bytes.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measuring tool")]

use monprov::bundle::Tree;
use monprov::store::Store;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [state, count, files, bytes] = <[String; 4]>::try_from(args).unwrap();
    let store = Store::open(state.as_ref()).unwrap();
    for bundle in 0..count.parse::<usize>().unwrap() {
        let mut tree = Tree::new();
        for file in 0..files.parse::<usize>().unwrap() {
            let mut content = format!("{bundle} {file}\n").into_bytes();
            content.resize(bytes.parse().unwrap(), b'#');
            tree.insert(format!("rules/{file}.yml"), content);
        }
        println!("{}", store.put(&tree, "prod", &serde_json::Value::Null).unwrap().path().display());
    }
}
