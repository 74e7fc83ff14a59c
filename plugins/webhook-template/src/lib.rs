//! `webhook-template`: alerts to any webhook, with a body from a template of the settings.

mod body;
mod settings;

use monprov_plugin::channel::{
    Channel, Event, Group, Message, Mood, Native, Piece, Request, Response, Verdict, text,
};
use monprov_plugin::{Failure, Result};

use body::Template;
use settings::Settings;

struct Webhook;

impl Channel for Webhook {
    type Settings = Settings;

    fn deliver(settings: Settings, group: Group, now_ms: f64) -> Result<Vec<Request>> {
        let template = Template::new(&settings).map_err(Failure::Settings)?;
        let all: Vec<u32> = (0..group.events.len() as u32).collect();
        let mut requests = vec![];
        for some in all.chunks(settings.max_alerts.max(1)) {
            let write = |events: &[u32]| template.write(&part(&group, events), now_ms);
            for (covers, body) in fitting(some, settings.max_bytes, &write)? {
                requests.push(request(&settings, &group, requests.len(), covers, body));
            }
        }
        Ok(requests)
    }

    fn judge(settings: Settings, _: &str, response: &Response) -> Verdict {
        let one_of = |all: &[u16]| all.contains(&response.status);
        match response.refused() {
            _ if one_of(&settings.success) => Verdict::Delivered,
            _ if one_of(&settings.retry) => Verdict::Retry(None),
            None if settings.success.is_empty() => Verdict::Delivered,
            None => Verdict::Rejected(format!("HTTP {} is not one of `success`", response.status)),
            Some(verdict) => verdict,
        }
    }

    /// Nothing native; but this is the time to say that a template is wrong.
    fn receiver(settings: Settings) -> Result<Option<Native>> {
        Template::new(&settings).and_then(|template| template.tried()).map_err(Failure::Settings)?;
        Ok(None)
    }
}

/// Some of a group's events, as a group.
fn part(group: &Group, events: &[u32]) -> Group {
    let events = events.iter().filter_map(|index| group.events.get(*index as usize).cloned());
    Group { events: events.collect(), ..group.clone() }
}

/// Halves until each body fits; of an event that alone is too large, texts are shortened.
fn fitting(
    events: &[u32],
    limit: usize,
    write: &impl Fn(&[u32]) -> Result<String>,
) -> Result<Vec<(Vec<u32>, String)>> {
    let body = write(events)?;
    if body.len() <= limit || events.len() < 2 {
        return Ok(vec![(events.to_vec(), body)]);
    }
    let (first, second) = events.split_at(events.len() / 2);
    let mut all = fitting(first, limit, write)?;
    all.extend(fitting(second, limit, write)?);
    Ok(all)
}

fn request(settings: &Settings, group: &Group, index: usize, covers: Vec<u32>, body: String) -> Request {
    let events = || covers.iter().filter_map(|index| group.events.get(*index as usize));
    let message = Message {
        key: format!("message-{}", index + 1),
        title: String::new(),
        mood: events().map(Mood::of).min().unwrap_or(Mood::Good),
        severities: events().map(Event::severity).map(str::to_owned).collect(),
        covers: covers.clone(),
        text: body.clone(),
    };
    let pieces = |parts: &settings::Parts| parts.pieces(&body).collect::<Vec<Piece>>();
    let mut request = Request::post(&settings.endpoint, &message).path_query(pieces(&settings.path));
    request.method = settings.method.name().to_owned();
    request = request.header("Content-Type", [text(settings.content_type.clone())]);
    for (name, parts) in &settings.headers {
        request = request.header(name, pieces(parts));
    }
    request.body = vec![text(body)];
    request
}

monprov_plugin::channel!(Webhook);
