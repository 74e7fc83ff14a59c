//! A group as messages, none of which is larger than the service takes.

use super::message::{Markup, Message, Mood, Writer, key};
use super::{Event, Group, Language, Offset};

/// How messages look.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub language: Language,
    pub offset: Offset,
    /// The largest text, as [`Markup::size`] measures.
    pub limit: usize,
}

/// With more events than this each has one line, without its links.
const DENSE: usize = 10;
/// What ` (12/345)` may take of a message.
const COUNTER: &str = " (10000/10000)";

/// The messages that deliver a group: what fires before what is over, the worst first. An event
/// is never divided; one that alone is too large is shortened, and says so by `…`.
pub fn messages(group: &Group, now_ms: f64, look: Look, markup: &impl Markup) -> Vec<Message> {
    let writer = Writer { group, markup, look, now_ms, dense: group.events.len() > DENSE };
    let (_, title) = writer.title();
    let heading = |counter: &str| markup.heading(&markup.text(&[&title, counter].concat()));
    let (common, overview) = (writer.common(), writer.overview());
    let gap = markup.size(markup.gap()).max(markup.size(markup.line()));
    let frame = [&heading(COUNTER), &common, &overview];
    let frame: usize = frame.iter().map(|part| markup.size(part) + gap).sum();
    let room = look.limit.saturating_sub(frame);

    let mut pages: Vec<Vec<(usize, String)>> = vec![];
    let mut left = 0;
    for (index, event) in in_order(&group.events) {
        let block = writer.fitting(event, room);
        let size = markup.size(&block) + gap;
        match pages.last_mut().filter(|_| size <= left) {
            Some(page) => page.push((index, block)),
            None => {
                left = room + gap;
                pages.push(vec![(index, block)]);
            }
        }
        left = left.saturating_sub(size);
    }

    let count = pages.len();
    let message = |(page, blocks): (usize, Vec<(usize, String)>)| {
        let counter = if count > 1 { format!(" ({}/{count})", page + 1) } else { String::new() };
        let events = || blocks.iter().filter_map(|(index, _)| group.events.get(*index));
        let mut parts = vec![heading(&counter), common.clone()];
        let between = if writer.dense { markup.line() } else { markup.gap() };
        parts.push(blocks.iter().map(|(_, block)| block.as_str()).collect::<Vec<_>>().join(between));
        parts.push(overview.clone());
        parts.retain(|part| !part.is_empty());
        Message {
            key: key(page),
            covers: blocks.iter().map(|(index, _)| *index as u32).collect(),
            title: [title.as_str(), &counter].concat(),
            text: parts.join(markup.gap()),
            mood: events().map(Mood::of).min().unwrap_or(Mood::Good),
            severities: events().filter(|e| e.firing).map(|e| e.severity().to_owned()).collect(),
        }
    };
    pages.into_iter().enumerate().map(message).collect()
}

fn in_order(events: &[Event]) -> Vec<(usize, &Event)> {
    let mut events: Vec<_> = events.iter().enumerate().collect();
    events.sort_by(|(_, a), (_, b)| {
        let by = |event: &Event| (Mood::of(event), event.severity().to_owned());
        by(a).cmp(&by(b)).then(a.starts_ms.total_cmp(&b.starts_ms)).then(a.fingerprint.cmp(&b.fingerprint))
    });
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Markup in which nothing that an alert says can be taken for markup.
    struct Brackets;

    impl Markup for Brackets {
        fn text(&self, plain: &str) -> String {
            plain.replace(['[', ']'], "|")
        }

        fn bold(&self, inner: &str) -> String {
            format!("[b {inner}]")
        }

        fn link(&self, label: &str, url: &str) -> String {
            format!("[{label} {url}]")
        }

        fn heading(&self, inner: &str) -> String {
            inner.to_owned()
        }
    }

    fn look(limit: usize) -> Look {
        Look { language: Language::En, offset: Offset::default(), limit }
    }

    fn event(n: usize, firing: bool, severity: &str, summary: &str) -> Event {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Event {
            firing,
            fingerprint: format!("{n:016x}"),
            labels: vec![
                pair("alertname", "Down"),
                pair("instance", &format!("host-{n}")),
                pair("severity", severity),
            ],
            annotations: vec![pair("summary", summary)],
            starts_ms: 0.0,
            ends_ms: (!firing).then_some(60_000.0),
            link: "http://prometheus/graph".into(),
        }
    }

    fn group(events: Vec<Event>) -> Group {
        let name = vec![("alertname".to_owned(), "Down".to_owned())];
        Group {
            key: "{}".into(),
            receiver: "ops".into(),
            group_labels: name.clone(),
            common_labels: name,
            external_url: "http://alertmanager".into(),
            truncated: 0,
            events,
            extra: "{}".into(),
        }
    }

    #[test]
    fn no_message_is_too_large_and_no_event_is_missing_or_divided() {
        for limit in [400, 1000, 4096] {
            let events = (0..200).map(|n| event(n, n % 3 > 0, "warning", &"é[x".repeat(n % 40))).collect();
            let group = group(events);
            let all = messages(&group, 60_000.0, look(limit), &Brackets);
            let mut covered: Vec<u32> = all.iter().flat_map(|message| message.covers.clone()).collect();
            covered.sort_unstable();
            assert_eq!(covered, (0..200).collect::<Vec<u32>>(), "{limit}");
            for message in &all {
                assert!(message.text.len() <= limit, "{} of {limit}: {}", message.text.len(), message.text);
                let count = |c: char| message.text.matches(c).count();
                assert_eq!(count('['), count(']'), "{}", message.text);
                let shown = |index: &u32| message.text.contains(&format!("host-{index}"));
                assert!(limit < 1000 || message.covers.iter().all(shown), "{}", message.text);
            }
        }
    }

    #[test]
    fn an_event_that_is_too_large_alone_is_shortened_visibly() {
        let mut large = event(1, true, "critical", &"长".repeat(30_000));
        large.labels.extend((0..500).map(|n| (format!("label_{n}"), "v".repeat(300))));
        let mut group = group(vec![large]);
        group.common_labels.extend((0..500).map(|n| (format!("shared_{n}"), "v".repeat(300))));
        let all = messages(&group, 0.0, look(500), &Brackets);
        let [message] = all.as_slice() else { panic!("{all:?}") };
        assert!(message.text.len() <= 500, "{}", message.text);
        assert!(message.text.contains("长…") && message.text.contains("more labels"), "{}", message.text);
    }

    #[test]
    fn what_fires_comes_first_and_the_worst_of_it() {
        let events = vec![
            event(0, false, "critical", "over"),
            event(1, true, "info", "small"),
            event(2, true, "critical", "bad"),
            event(3, true, "warning", "so-so"),
        ];
        let all = messages(&group(events), 0.0, look(4000), &Brackets);
        assert_eq!(all[0].covers, [2, 3, 1, 0]);
        assert_eq!(all[0].title, "🔴 3 firing, 1 resolved · Down");
        assert!(all[0].calls(&["critical".into()]) && !all[0].calls(&["page".into()]) && all[0].calls(&[]));
    }

    #[test]
    fn what_is_over_calls_nobody_and_offers_no_silence() {
        let all = messages(&group(vec![event(0, false, "critical", "over")]), 0.0, look(4000), &Brackets);
        assert!(!all[0].calls(&[]) && all[0].mood == Mood::Good);
        assert!(!all[0].text.contains("Silence") && all[0].text.contains("lasted 1 min"), "{}", all[0].text);
    }
}
