//! A service that a channel delivers to, and that behaves as badly as told.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Ok,
    /// Taken, and said so once [`Sink::let_go`] was called.
    OkHeld,
    /// Taken, and said so in another content type.
    OkOddly,
    /// Taken, and said so one byte at a time.
    OkSlowly,
    Error,
    /// 429 with `Retry-After`.
    TooMany(u32),
    /// 200 with an `errcode`.
    ErrorCode,
    /// 200 with a page of HTML.
    Page,
    Refused,
    /// The connection is reset.
    Reset,
    /// The connection is closed in the middle of an answer.
    Cut,
    /// Nothing more is sent, and nothing answered.
    HalfClose,
    /// Nothing happens until the client gives up.
    Hang,
}

impl Answer {
    /// Whether a request that gets it was taken.
    pub fn takes(self) -> bool {
        matches!(self, Answer::Ok | Answer::OkHeld | Answer::OkOddly | Answer::OkSlowly)
    }
}

/// A request that came.
#[derive(Debug, Clone)]
pub struct Asked {
    pub at: Instant,
    pub body: String,
    pub answer: Answer,
    /// The answer was written as a whole.
    pub answered: bool,
}

impl Asked {
    /// Its lines, in the words of the guest `channel.wat`.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.body.lines()
    }
}

type Choose = Box<dyn FnMut(usize, &str) -> Answer + Send>;

struct State {
    held: watch::Sender<bool>,
    asked: Vec<Asked>,
    choose: Choose,
}

/// An HTTP server that keeps every request.
pub struct Sink {
    pub port: u16,
    state: Arc<Mutex<State>>,
    _runtime: Runtime,
}

impl Sink {
    /// One that takes everything.
    pub fn start() -> Sink {
        Sink::that(|_, _| Answer::Ok)
    }

    /// One that chooses an answer by the number of a request and its body.
    pub fn that(choose: impl FnMut(usize, &str) -> Answer + Send + 'static) -> Sink {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let state = Arc::new(Mutex::new(State {
            held: watch::Sender::new(true),
            asked: vec![],
            choose: Box::new(choose),
        }));
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = state.clone();
        runtime.spawn(async move {
            loop {
                if let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, shared.clone()));
                }
            }
        });
        Sink { port, state, _runtime: runtime }
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Changes its ways.
    pub fn becomes(&self, choose: impl FnMut(usize, &str) -> Answer + Send + 'static) {
        self.state.lock().unwrap().choose = Box::new(choose);
    }

    /// Answers those that were held back, and holds none from now on.
    pub fn let_go(&self) {
        self.state.lock().unwrap().held.send_replace(false);
    }

    /// How many requests came.
    pub fn count(&self) -> usize {
        self.state.lock().unwrap().asked.len()
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.state.lock().unwrap().asked.clone()
    }

    /// The lines of all that was taken, in their order.
    pub fn taken(&self) -> Vec<String> {
        let asked = self.asked();
        let taken = asked.iter().filter(|one| one.answer.takes() && one.answered);
        taken.flat_map(|one| one.lines().map(str::to_owned)).collect()
    }
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut stream = BufReader::new(stream);
    while let Some(body) = request(&mut stream).await {
        let (number, answer, mut held) = {
            let mut state = state.lock().unwrap();
            let number = state.asked.len();
            let answer = (state.choose)(number, &body);
            state.asked.push(Asked { at: Instant::now(), body, answer, answered: false });
            (number, answer, state.held.subscribe())
        };
        if answer == Answer::OkHeld {
            let _ = held.wait_for(|held| !held).await;
        }
        let done = respond(stream.get_mut(), answer).await.is_ok();
        state.lock().unwrap().asked[number].answered = done;
        if !done || matches!(answer, Answer::Reset | Answer::Cut | Answer::HalfClose | Answer::Hang) {
            return;
        }
    }
}

/// The body of the next request.
async fn request(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let head = line.trim().to_ascii_lowercase();
        if let Some(value) = head.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if head.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    String::from_utf8(body).ok()
}

async fn respond(stream: &mut TcpStream, answer: Answer) -> std::io::Result<()> {
    let plain = |status: &str, kind: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let text = match answer {
        Answer::Ok | Answer::OkHeld => plain("200 OK", "text/plain", "ok"),
        Answer::OkOddly => plain("200 OK", "image/png", "ok\u{0}\u{7f}"),
        Answer::OkSlowly => {
            for byte in plain("200 OK", "text/plain", "ok").as_bytes() {
                stream.write_all(&[*byte]).await?;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            return Ok(());
        }
        Answer::Error => plain("500 Internal Server Error", "text/plain", "it broke"),
        Answer::TooMany(seconds) => {
            let text = plain("429 Too Many Requests", "text/plain", "slower");
            text.replacen("\r\n", &format!("\r\nRetry-After: {seconds}\r\n"), 1)
        }
        Answer::ErrorCode => plain("200 OK", "application/json", "{\"errcode\":45009,\"errmsg\":\"freq\"}"),
        Answer::Page => plain("200 OK", "text/html", "<html>please log in</html>"),
        Answer::Refused => plain("400 Bad Request", "text/plain", "no"),
        Answer::Reset => {
            stream.set_zero_linger()?;
            return Ok(());
        }
        Answer::Cut => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok".to_owned(),
        Answer::HalfClose => {
            stream.shutdown().await?;
            return gone(stream).await;
        }
        Answer::Hang => return gone(stream).await,
    };
    stream.write_all(text.as_bytes()).await
}

/// Waits until the client closes the connection.
async fn gone(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}
