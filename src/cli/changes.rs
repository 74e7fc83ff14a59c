//! How changes are told: one line each, in columns, what matters most first. For `diff`, and
//! for every verb that says what it is about to change.

use std::collections::BTreeMap;

use crate::diff::{AlertChange, Change, Changes, Channels, Field, FileChange, Kind, Reached, Will};

use super::output::plural;

/// The changes as a table; empty where both sides are the same bundle.
pub(super) fn text(changes: &Changes, color: bool) -> String {
    let mut table = Table { color, rows: vec![] };
    for field in &changes.stack {
        table.field("stack", "", field);
    }
    table.alerts(&changes.alerts);
    for (section, list) in [
        ("records", &changes.records),
        ("channels", &changes.channels),
        ("scrapes", &changes.scrapes),
        ("services", &changes.services),
        ("secrets", &changes.secrets),
        ("grafana", &changes.dashboards),
        ("variables", &changes.variables),
    ] {
        for change in list {
            table.change(section, change);
        }
    }
    if let Some(will) = changes.will.as_ref().filter(|_| !changes.same) {
        table.row("will", "", Words::plain(&self::will(will)), None);
    }
    if changes.is_only_files() && !changes.files.is_empty() {
        let paths: Vec<String> = changes.files.iter().map(|file| file.path.clone()).collect();
        let text = format!("nothing changes but {}: {}", plural(paths.len(), "file"), some(&paths, 4));
        table.row("files", "", Words::plain(&text), None);
    }
    table.to_string()
}

/// The files' own differences.
pub(super) fn files(files: &[FileChange], color: bool) -> String {
    let mut text = String::new();
    for line in files.iter().filter_map(|file| file.diff.as_deref()).flat_map(str::lines) {
        let code = match line.get(..1) {
            Some("+") if color => "32",
            Some("-") if color => "31",
            Some("@") if color => "36",
            _ => "",
        };
        text.push_str(&paint(code, line));
        text.push('\n');
    }
    text
}

fn paint(code: &str, text: &str) -> String {
    if code.is_empty() || text.is_empty() { text.to_owned() } else { format!("\x1b[{code}m{text}\x1b[0m") }
}

const OLD: &str = "31";
const NEW: &str = "32";
const SECTION: &str = "36";
const ORIGIN: &str = "2";

/// Some text, of which parts have a colour.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Words(Vec<(&'static str, String)>);

impl Words {
    fn plain(text: &str) -> Self {
        Words(vec![("", text.to_owned())])
    }

    fn and(mut self, code: &'static str, text: impl Into<String>) -> Self {
        self.0.push((code, text.into()));
        self
    }

    fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| text.chars().count()).sum()
    }

    fn show(&self, color: bool) -> String {
        self.0.iter().map(|(code, text)| paint(if color { code } else { "" }, text)).collect()
    }
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    section: &'static str,
    name: String,
    what: Words,
    origin: Option<String>,
    /// Lines of their own below: long values, and the names that a row is about.
    below: Vec<Words>,
}

struct Table {
    color: bool,
    rows: Vec<Row>,
}

/// A value of more than this gets a line of its own.
const LONG: usize = 48;
/// Columns grow up to this.
const WIDEST: [usize; 2] = [40, 60];
/// So many alerts that change in one way are told once.
const MANY: usize = 3;

impl Table {
    fn row(&mut self, section: &'static str, name: &str, what: Words, origin: Option<String>) {
        self.rows.push(Row { section, name: name.to_owned(), what, origin, below: vec![] });
    }

    fn field(&mut self, section: &'static str, name: &str, field: &Field) {
        self.rows.push(Row { section, name: name.to_owned(), ..row_of(field) });
    }

    fn change(&mut self, section: &'static str, change: &Change) {
        let first = change.fields.first();
        let shown = |text: Option<&String>| text.map_or(String::new(), |text| format!(": {}", short(text)));
        let what = match change.change {
            Kind::Added => {
                Words::default().and(NEW, "new").and("", shown(first.and_then(|f| f.new.as_ref())))
            }
            Kind::Removed => {
                let gone = if change.origin.is_some() { "switched off" } else { "removed" };
                Words::default().and(OLD, gone).and("", shown(first.and_then(|f| f.old.as_ref())))
            }
            Kind::Renamed => renamed(change),
            Kind::Changed => {
                change.fields.iter().for_each(|field| self.field(section, &change.name, field));
                return;
            }
        };
        self.row(section, &change.name, what, change.origin.clone());
    }

    fn alerts(&mut self, alerts: &[AlertChange]) {
        let section = "on call";
        let mut alike: BTreeMap<Row, Vec<String>> = BTreeMap::new();
        let mut own: Vec<(String, Vec<Row>)> = vec![];
        let mut names: Vec<&str> = alerts.iter().map(|alert| alert.change.name.as_str()).collect();
        names.sort_unstable();
        let several =
            |name: &str| names.partition_point(|n| *n <= name) - names.partition_point(|n| *n < name) > 1;
        for alert in alerts {
            // Rules of one name are told apart by whom they concern.
            let severity = alert.severity.as_deref().filter(|_| several(&alert.change.name));
            let name = severity.map_or(alert.change.name.clone(), |s| format!("{} ({s})", alert.change.name));
            let (rows, shared) = rows_of(alert);
            for row in &shared {
                alike.entry(row.clone()).or_default().push(name.clone());
            }
            own.push((name, rows.into_iter().chain(shared).collect()));
        }
        for (name, rows) in own {
            let told_once = |row: &Row| alike.get(row).is_some_and(|names| names.len() >= MANY);
            for row in rows.into_iter().filter(|row| !told_once(row)) {
                self.rows.push(Row { section, name: name.clone(), ..row });
            }
        }
        for (mut row, names) in alike.into_iter().filter(|(_, names)| names.len() >= MANY) {
            row.below.push(Words::plain(&some(&names, 5)));
            self.rows.push(Row { section, name: plural(names.len(), "alert"), ..row });
        }
    }
}

/// The rows of an alert: those that are its own, and those that others may share.
fn rows_of(alert: &AlertChange) -> (Vec<Row>, Vec<Row>) {
    let change = &alert.change;
    let row = |what, origin| Row { section: "", name: String::new(), what, origin, below: vec![] };
    let nothing = Channels::default();
    let channels = alert.channels.as_ref().unwrap_or(&nothing);
    let severity = alert.severity.as_ref().map_or(String::new(), |severity| format!(" {severity},"));
    match change.change {
        Kind::Added => {
            let whom = format!(":{severity} to {}", names(&channels.new));
            return (
                vec![row(Words::default().and(NEW, "new").and("", whom), change.origin.clone())],
                vec![],
            );
        }
        Kind::Removed => {
            let gone = if change.origin.is_some() { "switched off" } else { "removed" };
            let whom = format!(": was{severity} to {}", names(&channels.old));
            return (vec![row(Words::default().and(OLD, gone).and("", whom), change.origin.clone())], vec![]);
        }
        Kind::Changed | Kind::Renamed => {}
    }
    let mut own = vec![];
    if change.change == Kind::Renamed {
        own.push(row(renamed(change), change.origin.clone()));
    }
    let mut shared: Vec<Row> = change.fields.iter().map(row_of).collect();
    if let Some(channels) = &alert.channels {
        let told = change.fields.iter().any(|field| field.field == "severity");
        let severity = alert.severity.as_ref().filter(|_| !told);
        let severity = severity.map_or(String::new(), |severity| format!("{severity}, "));
        let mut what = Words::plain(&severity);
        what.0.extend(redirected(channels).0);
        let places: Vec<&str> =
            [&channels.route, &channels.origin].into_iter().filter_map(Option::as_deref).collect();
        shared.push(row(what, Some(places.join(", ")).filter(|places| !places.is_empty())));
    }
    (own, shared)
}

fn renamed(change: &Change) -> Words {
    Words::plain(&format!("renamed, was {}", change.was.as_deref().unwrap_or_default()))
}

/// `pager, perhaps e-mail`
fn names(reached: &[Reached]) -> String {
    let name = |r: &Reached| if r.sure { r.name.clone() } else { format!("perhaps {}", r.name) };
    match reached {
        [] => "nobody".to_owned(),
        some => some.iter().map(name).collect::<Vec<_>>().join(", "),
    }
}

fn without(list: &[Reached], other: &[Reached]) -> Vec<Reached> {
    list.iter().filter(|reached| !other.contains(reached)).cloned().collect()
}

/// `now to pager, was e-mail, still to chat`
fn redirected(channels: &Channels) -> Words {
    let added = without(&channels.new, &channels.old);
    let gone = without(&channels.old, &channels.new);
    let kept = without(&channels.new, &added);
    let still = if kept.is_empty() { String::new() } else { format!(", still to {}", names(&kept)) };
    let words = Words::default();
    match (added.is_empty(), gone.is_empty()) {
        (false, true) if !kept.is_empty() => words.and(NEW, format!("now also to {}", names(&added))),
        (true, false) if !kept.is_empty() => {
            words.and(OLD, format!("no longer to {}", names(&gone))).and("", still)
        }
        _ => {
            let was = if gone.is_empty() { "nobody".to_owned() } else { names(&gone) };
            words
                .and(NEW, format!("now to {}", names(&added)))
                .and("", ", ")
                .and(OLD, format!("was {was}"))
                .and("", still)
        }
    }
}

fn row_of(field: &Field) -> Row {
    let to = field.channel.as_ref().map_or(String::new(), |channel| format!(" to {channel}"));
    let name = format!("{}{to}", field.field);
    let empty = String::new();
    let (old, new) = (field.old.as_ref().unwrap_or(&empty), field.new.as_ref().unwrap_or(&empty));
    let long = [old, new].into_iter().any(|text| text.contains('\n') || text.chars().count() > LONG)
        || old.chars().count() + new.chars().count() > LONG + LONG / 3;
    let mut below = vec![];
    let what = match (&field.old, &field.new) {
        _ if name == "muted by" => {
            let now = if field.new.is_some() { "now mute" } else { "no longer mute" };
            Words::plain(&format!("{now} while {}{} fires", old, new))
        }
        (None, None) => Words::plain(&format!("{name} changed")),
        _ if long => {
            for (code, sign, value) in [(OLD, '-', &field.old), (NEW, '+', &field.new)] {
                let lines = value.iter().flat_map(|text| text.lines());
                below.extend(
                    lines.map(|line| Words::default().and(code, format!("{sign} {}", line.trim_end()))),
                );
            }
            Words::plain(&name)
        }
        (Some(old), Some(new)) => {
            let new = if field.field == "image" { tag(old, new) } else { new };
            Words::plain(&format!("{name} ")).and(OLD, old).and("", " → ").and(NEW, new)
        }
        (Some(old), None) => Words::plain(&format!("{name} ")).and(OLD, old).and("", " → none"),
        (None, Some(new)) => Words::plain(&format!("{name} none → ")).and(NEW, new),
    };
    Row { section: "", name: String::new(), what, origin: field.origin.clone(), below }
}

/// Of an image that only gets another tag, the tag.
fn tag<'a>(old: &str, new: &'a str) -> &'a str {
    match (old.rsplit_once(':'), new.rsplit_once(':')) {
        (Some((before, _)), Some((after, tag))) if before == after => tag,
        _ => new,
    }
}

fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONG) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

/// The first few, and how many more there are.
fn some(names: &[String], count: usize) -> String {
    let first = names.get(..count).unwrap_or(names).join(", ");
    match names.len().saturating_sub(count) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

fn will(will: &Will) -> String {
    let mut parts = vec![];
    for (verb, services) in [("create", &will.create), ("remove", &will.remove), ("reload", &will.reload)] {
        if !services.is_empty() {
            parts.push(format!("{verb} {}", some(services, 8)));
        }
    }
    let restart = if will.restart.is_empty() { "nothing".to_owned() } else { some(&will.restart, 8) };
    parts.push(format!("restart {restart}"));
    parts.join("; ")
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [name_widest, what_widest] = WIDEST;
        let named = self.rows.iter().filter(|row| !row.name.is_empty());
        let names = named.clone().map(|row| row.name.chars().count()).max().unwrap_or(0).min(name_widest);
        let told = named.filter(|row| row.origin.is_some()).map(|row| row.what.width());
        let told = told.filter(|width| *width <= what_widest).max().unwrap_or(0);
        let (mut section, mut name) = ("", "");
        for row in &self.rows {
            let new_section = row.section != section;
            let shown = if new_section { row.section } else { "" };
            let code = if self.color { SECTION } else { "" };
            let mut line =
                format!("{}{}", paint(code, shown), " ".repeat(10_usize.saturating_sub(shown.len())));
            if !row.name.is_empty() {
                let shown = if new_section || row.name != name { row.name.as_str() } else { "" };
                line.push_str(&format!("{shown:<names$}  "));
            }
            line.push_str(&row.what.show(self.color));
            if let Some(origin) = &row.origin {
                line.push_str(&" ".repeat(told.saturating_sub(row.what.width())));
                line.push_str(&format!("  {}", paint(if self.color { ORIGIN } else { "" }, origin)));
            }
            writeln!(f, "{}", line.trim_end())?;
            for words in &row.below {
                let indent = 10 + names + 4;
                writeln!(f, "{:indent$}{}", "", words.show(self.color))?;
            }
            (section, name) = (row.section, row.name.as_str());
        }
        Ok(())
    }
}
