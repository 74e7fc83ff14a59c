//! What the relay is measured against, for `tests/bench/run`: `relay sink ADDRESS BODY` answers all
//! that is sent to it with a body, and `relay peer ADDRESS SINK` is the relay's HTTP server with nothing in it but
//! the same outgoing call.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a measuring tool"
)]

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let router = match args[0].as_str() {
        "sink" => {
            let body = args[2].clone();
            Router::new().route("/", post(|_: Bytes| async move { body }))
        }
        "peer" => {
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            // As long as what the plugin makes, signature and all.
            let query = format!("access_token=token&timestamp=1767323045000&sign={}%3D", "x".repeat(43));
            let url = format!("http://{}/?{query}", args[2]);
            Router::new().route("/ops", post(peer)).with_state((client, url))
        }
        other => unreachable!("{other}"),
    };
    axum::serve(TcpListener::bind(&args[1]).await.unwrap(), router).await.unwrap();
}

/// The body as it came is about as large as what a plugin makes of it.
async fn peer(State((client, sink)): State<(reqwest::Client, String)>, body: Bytes) -> Vec<u8> {
    let request = client.post(sink).header("Content-Type", "application/json; charset=utf-8");
    let response = request.timeout(Duration::from_secs(10)).body(body).send().await.unwrap();
    response.bytes().await.unwrap().into()
}
