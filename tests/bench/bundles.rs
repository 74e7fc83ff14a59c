//! Fills a state directory with bundles for `tests/bench/run`:
//! `bundles STATE COUNT FILES BYTES [text]`, each of so many files of so many bytes: of one
//! character, or of text that is as hard to compress as rules are.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measuring tool")]

use monprov::bundle::Tree;
use monprov::store::Store;

fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let text = args.pop_if(|last| last == "text").is_some();
    let mut random = fastrand::Rng::with_seed(7);
    let [state, count, files, bytes] = <[String; 4]>::try_from(args).unwrap();
    let store = Store::open(state.as_ref()).unwrap();
    for bundle in 0..count.parse::<usize>().unwrap() {
        let mut tree = Tree::new();
        for file in 0..files.parse::<usize>().unwrap() {
            let mut content = format!("{bundle} {file}\n").into_bytes();
            let size = bytes.parse().unwrap();
            while text && content.len() < size {
                let (name, value) = (random.u16(..), random.u32(..));
                content.extend(
                    format!("  - alert: Alert{name}\n    expr: rate(metric_{name}_total[5m]) > {value}\n    for: 5m\n")
                        .bytes(),
                );
            }
            content.resize(size, b'#');
            tree.insert(format!("rules/{file}.yml"), content);
        }
        println!("{}", store.put(&tree, "prod", &serde_json::Value::Null).unwrap().path().display());
    }
}
