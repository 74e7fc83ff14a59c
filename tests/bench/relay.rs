//! What the relay is measured against, for `tests/bench/run`: `relay sink ADDRESS BODY` answers all
//! that is sent to it with a body, and `relay peer ADDRESS SINK` is the relay's HTTP server with nothing in it but
//! the same outgoing call: connections stay on their thread, and each thread has a client of the same kind.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a measuring tool"
)]

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use http_body_util::{BodyExt as _, Full};
use hyper::server::conn::http1;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;

type Client = legacy::Client<HttpConnector, Full<Bytes>>;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args[0].as_str() {
        "sink" => {
            let body = args[2].clone();
            let answer = move |_: Bytes| async move { body };
            serve(&args[1], 1, || Router::new().route("/", post(answer.clone())));
        }
        "peer" => {
            // As long as what the plugin makes, signature and all.
            let query = format!("access_token=token&timestamp=1767323045000&sign={}%3D", "x".repeat(43));
            let url = format!("http://{}/?{query}", args[2]);
            let threads = std::thread::available_parallelism().unwrap().get();
            serve(&args[1], threads, || {
                Router::new().route("/ops", post(peer)).with_state((client(), url.clone()))
            });
        }
        other => unreachable!("{other}"),
    }
}

fn serve(address: &str, threads: usize, router: impl Fn() -> Router) {
    let start = |router: Router| {
        let (send, mut receive) = tokio::sync::mpsc::unbounded_channel::<TcpStream>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        std::thread::spawn(move || {
            runtime.block_on(async move {
                while let Some(stream) = receive.recv().await {
                    let stream = TokioIo::new(tokio::net::TcpStream::from_std(stream).unwrap());
                    let service = TowerToHyperService::new(router.clone());
                    let mut server = http1::Builder::new();
                    server.timer(TokioTimer::new());
                    tokio::spawn(server.serve_connection(stream, service));
                }
            });
        });
        send
    };
    let lanes: Vec<_> = (0..threads).map(|_| start(router())).collect();
    for (stream, lane) in TcpListener::bind(address).unwrap().incoming().zip(lanes.iter().cycle()) {
        let stream = stream.unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        lane.send(stream).unwrap();
    }
}

fn client() -> Client {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    legacy::Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector)
}

/// The body as it came is about as large as what a plugin makes of it.
async fn peer(State((client, sink)): State<(Client, String)>, body: Bytes) -> Bytes {
    let request = hyper::Request::post(sink)
        .header("content-type", "application/json; charset=utf-8")
        .header("accept", "*/*")
        .header("user-agent", "peer");
    let answer = async {
        let answer = client.request(request.body(Full::new(body)).unwrap()).await.unwrap();
        answer.into_body().collect().await.unwrap().to_bytes()
    };
    tokio::time::timeout(Duration::from_secs(10), answer).await.unwrap()
}
