//! Connections, paths and answers.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use super::body::Memory;
use super::config::{Channel, Config};
use super::delivery::{self, Attempt, Later, deliver};
use super::lanes::Lanes;
use super::metrics::Metrics;
use super::outcomes::Outcome;
use super::outliving::Outliving;
use super::record::Recorder;
use super::reload::Running;
use super::tokens::Tokens;
use super::{Options, locked, now};
use crate::plugin::channel::Group;
use crate::plugin::payload;

/// A connection that sends no complete head within this is closed, one that waits for its next
/// request too.
const HEAD: Duration = Duration::from_secs(30);
/// The largest head of a request.
const LARGEST_HEAD: usize = 64 << 10;
/// Connections that are open at once; more wait until one is closed.
const CONNECTIONS: usize = 4096;

/// What all requests share.
struct Shared {
    options: Options,
    running: Running,
    metrics: Metrics,
    memory: Memory,
    recorder: Option<Recorder>,
    /// Held by work that is under way.
    work: mpsc::Sender<()>,
}

/// Serves until SIGTERM or SIGINT, and finishes what is under way.
pub fn run(options: Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(serve(options));
    // A compiler that still runs is not waited for.
    runtime.shutdown_background();
    ended
}

async fn serve(options: Options) -> anyhow::Result<()> {
    let connections = CONNECTIONS.min(allow_files());
    let recorder = options.record.as_deref().map(Recorder::open).transpose()?;
    let listen = options.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("--listen {listen}"))?;
    let (work, mut ended) = mpsc::channel(1);
    let shared = Arc::new(Shared {
        options,
        running: Running::default(),
        metrics: Metrics::new(),
        memory: Memory::new(),
        recorder,
        work,
    });
    let (stop, stopping) = watch::channel(());
    let lanes = lanes(shared.clone(), stopping)?;
    let accepting = tokio::spawn(accept(listener, lanes, connections));
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        loaded = load(shared.clone()) => loaded?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    }
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => drop(tokio::spawn(load(shared.clone()))),
        }
    }
    tracing::info!("ends when what is under way is finished");
    accepting.abort();
    drop(stop);
    // Whoever does not get an answer sends the group again.
    let patience = longest(&shared);
    drop(shared);
    let _ = tokio::time::timeout(patience, ended.recv()).await;
    Ok(())
}

/// How long anything may be under way.
fn longest(shared: &Shared) -> Duration {
    let config = shared.running.now();
    let deadlines = config.iter().flat_map(|config| config.channels.values()).map(|one| one.deadline);
    deadlines.max().unwrap_or_default() + Duration::from_secs(1)
}

/// Lets the process have as many files as it may; how many connections that allows, where each
/// may need another to a service.
fn allow_files() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let most = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    most.map_or(CONNECTIONS, |most| usize::try_from(most / 2).unwrap_or(CONNECTIONS)).max(8)
}

/// Takes the configuration as it is now.
async fn load(shared: Arc<Shared>) -> anyhow::Result<()> {
    let loaded = tokio::task::spawn_blocking(move || {
        let loaded = shared.running.load(&shared.options, &shared.metrics);
        if let Err(error) = &loaded
            && shared.running.now().is_some()
        {
            tracing::error!("the configuration is not taken, the old one stays: {error:#}");
        }
        loaded
    });
    loaded.await?
}

/// A connection with its place among those that may be open.
type Accepted = (std::net::TcpStream, OwnedSemaphorePermit);

fn lanes(shared: Arc<Shared>, stopping: watch::Receiver<()>) -> anyhow::Result<Lanes<Accepted>> {
    let router = router(shared.clone());
    Lanes::start(move |(stream, place): Accepted| {
        let (router, stopping, shared) = (router.clone(), stopping.clone(), shared.clone());
        async move {
            shared.metrics.connections.inc();
            if let Ok(stream) = TcpStream::from_std(stream) {
                connection(stream, router, stopping).await;
            }
            shared.metrics.connections.dec();
            drop(place);
        }
    })
}

async fn accept(listener: TcpListener, lanes: Lanes<Accepted>, most: usize) {
    let room = Arc::new(Semaphore::new(most));
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { return };
        match listener.accept().await.and_then(|(stream, _)| stream.into_std()) {
            Ok(stream) => lanes.hand_over((stream, place)),
            // Too many open files: some will be closed.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn connection(stream: TcpStream, router: Router, mut stopping: watch::Receiver<()>) {
    // Answers are small and each is awaited.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_header_size(LARGEST_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    // What goes wrong with a connection is its client's.
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stopping.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/metrics", get(metrics).post(notify))
        .route("/-/healthy", get(|| async { "healthy\n" }))
        .route("/-/ready", get(ready))
        .route("/-/reload", post(reload))
        .route("/-/status", get(status))
        .route("/-/deliveries", get(deliveries))
        .route("/{channel}", post(notify))
        .fallback(|| async { (StatusCode::NOT_FOUND, "there is nothing here\n") })
        .with_state(shared)
}

type All = State<Arc<Shared>>;

async fn metrics(State(shared): All) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], shared.metrics.text()).into_response()
}

async fn ready(State(shared): All) -> Response {
    match shared.running.now() {
        Some(_) => "ready\n".into_response(),
        None => starting(),
    }
}

fn starting() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "plugins are being compiled\n").into_response()
}

/// The configuration, for who shows a token that is valid.
fn allowed(
    shared: &Shared,
    headers: &HeaderMap,
    tokens: impl Fn(&Config) -> Option<&Tokens>,
) -> Result<Arc<Config>, Box<Response>> {
    let refuse = |status: StatusCode, text: &'static str| {
        shared.metrics.refused(status.as_u16());
        Box::new((status, text).into_response())
    };
    let config = shared.running.now().ok_or_else(|| Box::new(starting()))?;
    let Some(tokens) = tokens(&config) else {
        return Err(refuse(StatusCode::NOT_FOUND, "there is no such channel\n"));
    };
    let shown = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    if !tokens.know(shown, now()) {
        let mut response = refuse(StatusCode::UNAUTHORIZED, "a token that is valid is needed\n");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        return Err(response);
    }
    Ok(config)
}

async fn reload(State(shared): All, headers: HeaderMap) -> Response {
    if let Err(response) = allowed(&shared, &headers, |config| Some(&config.control)) {
        return *response;
    }
    match load(shared.clone()).await {
        Ok(()) => state(&shared),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")).into_response(),
    }
}

async fn status(State(shared): All, headers: HeaderMap) -> Response {
    match allowed(&shared, &headers, |config| Some(&config.control)) {
        Ok(_) => state(&shared),
        Err(response) => *response,
    }
}

/// What runs, as activation reads it back.
fn state(shared: &Shared) -> Response {
    let Some((config, reloaded)) = shared.running.since() else { return starting() };
    let channel = |(name, channel): (&String, &Arc<Channel>)| {
        let lasting = &channel.lasting;
        let until = locked(&lasting.pause).until(now());
        let not_before = until.and_then(|until| {
            let wait = jiff::SignedDuration::try_from(until.saturating_duration_since(now())).ok()?;
            jiff::Timestamp::now().checked_add(wait).ok()
        });
        let under_way = super::config::MOST - lasting.room.available_permits();
        let in_part = locked(&lasting.progress).len();
        (name.clone(), json!({ "not_before": not_before, "under_way": under_way, "groups_in_part": in_part }))
    };
    let channels: serde_json::Map<_, _> = config.channels.iter().map(channel).collect();
    let state = json!({ "config_sha256": config.sha256, "reloaded": reloaded, "channels": channels });
    json_of(&state)
}

fn json_of(value: &serde_json::Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// What came of an alert, by `?fingerprint=`: `[{channel, firing, verdict, reason}]`.
async fn deliveries(State(shared): All, uri: Uri, headers: HeaderMap) -> Response {
    let config = match allowed(&shared, &headers, |config| Some(&config.control)) {
        Ok(config) => config,
        Err(response) => return *response,
    };
    let fingerprint = uri.query().and_then(|query| query.strip_prefix("fingerprint="));
    let Some(fingerprint) = fingerprint.and_then(|text| u64::from_str_radix(text, 16).ok()) else {
        return (StatusCode::BAD_REQUEST, "ask with ?fingerprint=, 16 hexadecimal digits\n").into_response();
    };
    let mut all = vec![];
    for (name, channel) in &config.channels {
        let outcomes = locked(&channel.lasting.outcomes);
        for firing in [true, false] {
            if let Some(Outcome { verdict, reason }) = outcomes.of(fingerprint, firing) {
                all.push(
                    json!({ "channel": name, "firing": firing, "verdict": verdict, "reason": **reason }),
                );
            }
        }
    }
    json_of(&all.into())
}

/// Takes a payload of Alertmanager.
async fn notify(State(shared): All, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let (name, headers) = (head.uri.path().trim_start_matches('/'), head.headers);
    let config = match allowed(&shared, &headers, |config| Some(&config.channels.get(name)?.lasting.tokens)) {
        Ok(config) => config,
        Err(response) => return *response,
    };
    let Some(channel) = config.channels.get(name).cloned() else { return starting() };
    let refuse = |status: StatusCode, text: &str| {
        shared.metrics.refused(status.as_u16());
        (status, format!("{text}\n")).into_response()
    };
    let Ok(place) = channel.lasting.room.clone().try_acquire_owned() else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "too many notifications are under way");
    };
    let taken = match shared.memory.read(&headers, body).await {
        Ok(taken) => taken,
        Err((status, text)) => return refuse(status, text),
    };
    let group = match payload::parse(&taken.bytes) {
        Ok(group) => group,
        Err(wrong) => return refuse(StatusCode::BAD_REQUEST, &wrong.to_string()),
    };
    if let Some(recorder) = &shared.recorder {
        recorder.keep(name, &taken.bytes);
    }
    let (answer, answered) = oneshot::channel();
    drop(taken.bytes);
    // A client that goes away ends its connection, and nothing of the work.
    Outliving::new(work(shared, channel, group, answer, (taken.share, place))).await;
    answered.await.unwrap_or_else(|_| (StatusCode::SERVICE_UNAVAILABLE, "it was given up\n").into_response())
}

/// Works on a group. `room`: what it takes of all that is bounded.
async fn work<R>(
    shared: Arc<Shared>,
    channel: Arc<Channel>,
    group: Group,
    mut answer: oneshot::Sender<Response>,
    room: R,
) {
    let began = now();
    let _under_way = shared.work.clone();
    let attempt = deliver(&channel, group, answer.closed()).await;
    drop(room);
    let Some(attempt) = attempt else { return };
    told(&channel, &shared.metrics, &attempt, began.elapsed());
    let response = response(&attempt.outcome);
    if answer.send(response).is_err() && attempt.outcome == delivery::Outcome::Delivered {
        // Alertmanager doesn't know, and will send all of it again.
        attempt.keep(&channel);
    }
}

/// Counts an attempt, and says what is wrong with it.
fn told(channel: &Channel, metrics: &Metrics, attempt: &Attempt, took: Duration) {
    let name = &channel.name;
    match &attempt.outcome {
        delivery::Outcome::Delivered => channel.counted.delivered(took),
        delivery::Outcome::Later(later, why) => {
            metrics.retried(name, later.name());
            match later {
                Later::Paused => tracing::debug!("{name}: later: {why}"),
                _ => tracing::warn!("{name}: later: {why}"),
            }
        }
        delivery::Outcome::Never(never, why) => {
            metrics.rejected(name, never.name());
            tracing::error!("{name}: rejected: {why}");
        }
    }
}

fn response(outcome: &delivery::Outcome) -> Response {
    match outcome {
        delivery::Outcome::Delivered => "delivered\n".into_response(),
        delivery::Outcome::Later(_, why) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response()
        }
        delivery::Outcome::Never(_, why) => {
            (StatusCode::UNPROCESSABLE_ENTITY, format!("{why}\n")).into_response()
        }
    }
}
