//! Tables for people: columns as wide as they need to be, two blanks apart.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

/// `header` stands above the columns; nothing is printed for no rows but the header.
pub(super) fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let header = header.iter().map(|title| (*title).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    rows.iter().fold(String::new(), |text, row| {
        let line = row.iter().zip(&widths).fold(String::new(), |line, (cell, width)| {
            format!("{line}{cell}{}", " ".repeat(width - cell.chars().count() + 2))
        });
        text + line.trim_end() + "\n"
    })
}

/// `today 14:02`, in the time of this machine.
pub(super) fn when(time: Timestamp) -> String {
    let today = ZonedDateTime::now().date();
    let local = time.to_zoned_datetime(TimeZone::system());
    let clock = local.strftime("%H:%M");
    match local.date() {
        date if date == today => format!("today {clock}"),
        date if Some(date) == today.yesterday().ok() => format!("yesterday {clock}"),
        date => format!("{date} {clock}"),
    }
}
