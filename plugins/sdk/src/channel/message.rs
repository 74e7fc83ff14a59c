//! What a message says, in the markup of a service.

use super::words::Words;
use super::{Event, Group, Look};
use crate::channel::time::{date_time, duration};

/// How a service writes what messages are made of. `text` is the only one that gets what people
/// and alerts wrote, and must leave no character in it that means something to the service.
pub trait Markup {
    fn text(&self, plain: &str) -> String;

    fn bold(&self, inner: &str) -> String;

    /// `url` holds only characters of URLs, and no bracket or quote.
    fn link(&self, label: &str, url: &str) -> String;

    /// The first line; empty where the service shows the title by itself.
    fn heading(&self, inner: &str) -> String;

    fn coloured(&self, _: Mood, inner: &str) -> String {
        inner.to_owned()
    }

    /// Between lines of one alert.
    fn line(&self) -> &'static str {
        "\n"
    }

    /// Between alerts.
    fn gap(&self) -> &'static str {
        "\n\n"
    }

    /// What a text takes of the service's limit. That of two texts is the sum.
    fn size(&self, text: &str) -> usize {
        text.len()
    }
}

/// How bad it is; worse ones come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mood {
    Critical,
    Warning,
    Info,
    Good,
}

impl Mood {
    pub fn of(event: &Event) -> Self {
        const CRITICAL: [&str; 7] = ["critical", "page", "fatal", "emergency", "disaster", "p0", "p1"];
        const INFO: [&str; 6] = ["info", "none", "notice", "debug", "p4", "p5"];
        let is = |names: &[&str]| names.iter().any(|name| event.severity().eq_ignore_ascii_case(name));
        match event.firing {
            false => Mood::Good,
            true if is(&CRITICAL) => Mood::Critical,
            true if is(&INFO) => Mood::Info,
            true => Mood::Warning,
        }
    }

    pub fn icon(self) -> &'static str {
        match self {
            Mood::Critical => "🔴",
            Mood::Warning => "🟠",
            Mood::Info => "🔵",
            Mood::Good => "✅",
        }
    }
}

/// One message: some of the group's events.
#[derive(Debug, Clone)]
pub struct Message {
    /// For the request.
    pub key: String,
    pub covers: Vec<u32>,
    /// Without markup, for where a service shows it by itself.
    pub title: String,
    pub text: String,
    /// Of its worst event.
    pub mood: Mood,
    /// Severities of those that fire.
    pub severities: Vec<String>,
}

impl Message {
    /// Whether somebody is to be mentioned: in the first message of a group, if one fires that
    /// has such a severity. No severities: any that fires.
    pub fn calls(&self, severities: &[String]) -> bool {
        let wanted = |severity: &String| severities.is_empty() || severities.contains(severity);
        self.key == key(0) && self.severities.iter().any(wanted)
    }
}

pub(super) fn key(page: usize) -> String {
    ["message-", &(page + 1).to_string()].concat()
}

/// How much of an event is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Characters of a text.
    text: usize,
    labels: usize,
    /// Bytes of a link; longer ones are left out.
    link: usize,
}

/// From roomy to tight. With the last, an event takes some hundred bytes whatever is in it.
pub(super) const ROOMS: [Room; 5] = [
    Room { text: 2000, labels: 30, link: 2000 },
    Room { text: 500, labels: 20, link: 800 },
    Room { text: 200, labels: 10, link: 400 },
    Room { text: 80, labels: 5, link: 0 },
    Room { text: 24, labels: 1, link: 0 },
];

/// Writes events of a group.
pub(super) struct Writer<'a, M> {
    pub(super) group: &'a Group,
    pub(super) markup: &'a M,
    pub(super) look: Look,
    pub(super) now_ms: f64,
    /// One line an event.
    pub(super) dense: bool,
}

impl<M: Markup> Writer<'_, M> {
    fn words(&self) -> &'static Words {
        self.look.language.words()
    }

    fn text(&self, text: &str, longest: usize) -> String {
        self.markup.text(&one_line(text, longest))
    }

    /// What it is about and how many fire, without markup.
    pub(super) fn title(&self) -> (Mood, String) {
        let events = &self.group.events;
        let firing = events.iter().filter(|event| event.firing).count();
        let counts = [(firing, self.words().firing), (events.len() - firing, self.words().resolved)];
        let counts = counts.iter().filter(|(number, _)| *number > 0);
        let counts: Vec<_> = counts.map(|(number, word)| self.words().count(*number, word)).collect();
        let mood = events.iter().map(Mood::of).min().unwrap_or(Mood::Good);
        let about = match self.group.common_label("alertname") {
            Some(name) => name.to_owned(),
            None => pairs(&self.group.group_labels),
        };
        let about = if about.is_empty() { self.group.receiver.clone() } else { about };
        let counts = counts.join(self.words().comma);
        (mood, [mood.icon(), " ", &counts, " · ", &one_line(&about, 100)].concat())
    }

    /// What all events have in common, but for the name.
    pub(super) fn common(&self) -> String {
        let shown = |(name, _): &&(String, String)| name != "alertname" && name != "severity";
        let labels: Vec<_> = self.group.common_labels.iter().filter(shown).collect();
        let mut all = ROOMS.iter().skip(1).map(|room| self.labels(&labels, *room));
        all.find(|text| self.fits_frame(text)).unwrap_or_default()
    }

    /// Most of a message is for its events.
    fn fits_frame(&self, text: &str) -> bool {
        self.markup.size(text) <= self.look.limit / 4
    }

    pub(super) fn overview(&self) -> String {
        let receiver = super::uri_component(&self.group.receiver);
        let base = self.group.external_url.trim_end_matches('/');
        let url = super::request::web(&[base, "/#/alerts?receiver=", &receiver].concat());
        let link = url.map_or_else(String::new, |url| self.markup.link(self.words().overview, &url));
        if self.fits_frame(&link) { link } else { String::new() }
    }

    /// An event that takes no more than `limit`.
    pub(super) fn fitting(&self, event: &Event, limit: usize) -> String {
        let mut block = String::new();
        for room in ROOMS {
            block = self.event(event, room);
            if self.markup.size(&block) <= limit {
                break;
            }
        }
        block
    }

    fn event(&self, event: &Event, room: Room) -> String {
        let lines = [
            self.what(event, room),
            self.description(event, room),
            self.when_and_where(event, room),
            self.links(event, room),
        ];
        let between = if self.dense { " · " } else { self.markup.line() };
        let lines: Vec<String> = lines.into_iter().filter(|line| !line.is_empty()).collect();
        lines.join(between)
    }

    fn what(&self, event: &Event, room: Room) -> String {
        let mood = Mood::of(event);
        let state = match (event.firing, event.severity()) {
            (false, _) => self.words().resolved,
            (true, "") => self.words().firing,
            (true, severity) => severity,
        };
        let name = event.label("alertname").filter(|_| self.group.common_label("alertname").is_none());
        let name = name.map(|name| [" · ", &self.text(name, room.text.min(80))].concat()).unwrap_or_default();
        let state = self.text(state, room.text.min(40)) + &name;
        let state = self.markup.bold(&self.markup.coloured(mood, &state));
        match self.text(event.summary(), room.text) {
            // It has no other words for it than its name.
            _ if Some(event.summary()) == event.label("alertname") => [mood.icon(), " ", &state].concat(),
            summary => [mood.icon(), " ", &state, " ", &summary].concat(),
        }
    }

    fn description(&self, event: &Event, room: Room) -> String {
        match event.annotation("description") {
            Some(text) if event.firing && !self.dense && text != event.summary() => {
                self.text(text, room.text)
            }
            _ => String::new(),
        }
    }

    fn when_and_where(&self, event: &Event, room: Room) -> String {
        let words = self.words();
        let at = |ms: f64| date_time(ms, self.look.offset);
        let lasted = duration(event.starts_ms, event.ends_ms.unwrap_or(self.now_ms), words);
        let when = match event.ends_ms {
            _ if self.dense && event.firing => lasted,
            _ if self.dense => [words.lasted, " ", &lasted].concat(),
            None => [words.since, " ", &at(event.starts_ms), " (", &lasted, ")"].concat(),
            Some(ends) => [&at(event.starts_ms), " – ", &at(ends), ", ", words.lasted, " ", &lasted].concat(),
        };
        let common = |name: &str| self.group.common_label(name).is_some();
        let own = |(name, _): &&(String, String)| !common(name) && name != "alertname" && name != "severity";
        let labels: Vec<_> = event.labels.iter().filter(own).collect();
        match labels.is_empty() {
            true => self.markup.text(&when),
            false => [&self.markup.text(&when), " · ", &self.labels(&labels, room)].concat(),
        }
    }

    fn links(&self, event: &Event, room: Room) -> String {
        let words = self.words();
        let silence = || event.silence(self.group);
        let links = match (self.dense, event.firing) {
            (true, _) => vec![],
            (false, true) => vec![
                (words.graph, event.graph()),
                (words.runbook, event.runbook()),
                (words.silence, silence()),
            ],
            (false, false) => vec![(words.graph, event.graph())],
        };
        let fitting = |(label, url): (&str, Option<String>)| {
            url.filter(|url| url.len() <= room.link).map(|url| self.markup.link(label, &url))
        };
        links.into_iter().filter_map(fitting).collect::<Vec<_>>().join(" · ")
    }

    fn labels(&self, labels: &[&(String, String)], room: Room) -> String {
        let shown = |(name, value): &&(String, String)| {
            let longest = room.text.min(200);
            [&self.text(name, longest), "=", &self.text(value, longest)].concat()
        };
        let mut texts: Vec<String> = labels.iter().take(room.labels).map(shown).collect();
        if labels.len() > room.labels {
            texts.push(self.markup.text(&self.words().more_labels(labels.len() - room.labels)));
        }
        texts.join(", ")
    }
}

fn pairs(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(name, value)| [name, "=", value].concat()).collect::<Vec<_>>().join(", ")
}

/// Text as one line of no more than so many characters, without what would turn a line around or
/// act on a terminal. What is left out shows as `…`.
pub fn one_line(text: &str, longest: usize) -> String {
    // Most are such already, and this is called often.
    let mut before = b' ';
    let plain = |byte: u8| {
        let blank = std::mem::replace(&mut before, byte) == b' ';
        byte.is_ascii_graphic() || byte == b' ' && !blank
    };
    if text.len() <= longest && text.bytes().all(plain) && !text.ends_with(' ') {
        return text.to_owned();
    }
    let turns = |c: &char| matches!(*c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    let shown: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).filter(|c| !turns(c)).collect();
    let line = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(longest) {
        None => line,
        Some(_) => line.chars().take(longest.saturating_sub(1)).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_one_line_that_nothing_turns_around() {
        assert_eq!(one_line("it is down", 100), "it is down");
        assert_eq!(one_line(" it\n\tis \u{202e} down\u{7} ", 100), "it is down");
        assert_eq!(one_line("长长长长", 3), "长长…");
        assert_eq!(one_line("abcd", 3), "ab…");
        assert_eq!(one_line("abc", 3), "abc");
    }
}
