//! What was most likely meant, and what there is instead.

use crate::check::promql::{Fault, Labels, M105};
use crate::diagnostic::nearest;

/// The finding for a label that series surely lack.
pub(in crate::check) fn missing_label(
    label: &str,
    range: std::ops::Range<usize>,
    labels: &Labels,
    what: &str,
) -> Fault {
    let fault = Fault::new(range, format!("{what} has no label `{label}`")).code(&M105);
    match nearest(label, labels.names.iter().map(String::as_str)) {
        Some(near) => fault.label(format!("did you mean `{near}`?")),
        None if labels.names.is_empty() => fault.label("it has no labels"),
        None => fault.label(format!("it has {}", list(labels.names.iter().map(String::as_str)))),
    }
}

/// The known metric that was most likely meant: by letters, or with one word changed.
pub(super) fn near_metric<'k>(name: &str, known: impl Iterator<Item = &'k str> + Clone) -> Option<&'k str> {
    // What `nearest` would compute in full for thousands of names, most are too far from.
    let far = (name.len() / 3).max(1);
    let letters = |text: &str| {
        text.bytes().fold([0_i32; 32], |mut bag, b| {
            if let Some(count) = bag.get_mut(usize::from(b % 32)) {
                *count += 1;
            }
            bag
        })
    };
    let own = letters(name);
    let similar = |k: &&str| {
        k.len().abs_diff(name.len()) <= far
            && own.iter().zip(letters(k)).map(|(a, b)| (a - b).unsigned_abs() as usize).sum::<usize>()
                <= 2 * far
    };
    let words: Vec<&str> = name.split('_').collect();
    nearest(name, known.clone().filter(similar)).or_else(|| {
        let differ = |k: &str| {
            let more = k.split('_').filter(|w| !words.contains(w)).count();
            let shared = k.split('_').count() - more;
            more + words.len().saturating_sub(shared)
        };
        known
            .filter(|_| words.len() > 2)
            .map(|k| (differ(k), k))
            .filter(|(n, _)| *n <= 2)
            .min()
            .map(|(_, k)| k)
    })
}

/// `a, b and c`, at most eight of them.
pub(super) fn list<'s>(names: impl IntoIterator<Item = &'s str>) -> String {
    let mut names: Vec<String> = names.into_iter().map(|n| format!("`{n}`")).collect();
    names.sort();
    if names.len() > 8 {
        names.truncate(7);
        names.push("others".into());
    }
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => "none".into(),
    }
}
