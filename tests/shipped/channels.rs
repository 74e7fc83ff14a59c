//! The shipped channels. What their messages look like is kept as files, `plugins/NAME/cases`,
//! which `monprov plugin test` holds them to; here is what a file can't say.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use monprov::plugin::channel::{Atom, Deliverer, Escape, Piece, Request, Verdict};
use monprov::plugin::{Limits, component, payload, schema};
use serde_json::{Value as Json, json};

use crate::support::project::{Project, copy_folder};
use crate::support::repository;

const CHANNELS: [&str; 5] = ["dingtalk", "wecom", "feishu", "telegram", "webhook-template"];
const NOW_MS: f64 = 1_767_323_345_678.0;

fn wasm(name: &str) -> Vec<u8> {
    std::fs::read(repository().join(format!("plugins/{name}/{name}.wasm"))).unwrap()
}

/// A channel plugin with settings. Each is compiled once.
fn channel(name: &str, settings: Json) -> Deliverer {
    static CODE: [OnceLock<component::Code>; 5] = [const { OnceLock::new() }; 5];
    let index = CHANNELS.iter().position(|known| *known == name).unwrap();
    let code = CODE[index].get_or_init(|| component::compile(&wasm(name)).unwrap().into());
    let info = monprov::plugin::inspect(code, &Limits::default()).unwrap();
    let settings = settings.as_object().unwrap().clone();
    let settings = schema::complete(&info.settings_schema, settings).unwrap().to_string();
    Deliverer::new(code, &Limits::default(), settings).unwrap()
}

/// Runs where there is enough stack for a guest.
fn deliver(channel: &Deliverer, payload: &[u8]) -> Vec<Request> {
    let group = payload::parse(payload).unwrap();
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(channel.stack());
        let call = || channel.deliver(&group, NOW_MS).unwrap().value;
        thread.spawn_scoped(scope, call).unwrap().join().unwrap()
    })
}

fn payload_of(case: &str) -> Vec<u8> {
    std::fs::read(repository().join(format!("plugins/payloads/{case}.json"))).unwrap()
}

#[test]
fn messages_are_those_that_were_looked_at() {
    for name in CHANNELS {
        let folder = repository().join("plugins").join(name);
        if std::env::var_os("BLESS").is_some() {
            let project = Project::empty();
            let command = project.command(["plugin", "test", folder.to_str().unwrap(), "--bless"]);
            project.output(command).succeeds();
            continue;
        }
        let project = Project::empty();
        // The payloads are shared, by links.
        copy_folder(&folder.join("cases"), &project.path(name).join("cases"));
        project.write(&format!("{name}/plugin.toml"), std::fs::read(folder.join("plugin.toml")).unwrap());
        project.write(&format!("{name}/{name}.wasm"), wasm(name));
        let told = project.run(&format!("plugin test {name}")).succeeds();
        assert!(told.stderr.contains("all as expected"), "{}", told.stdout);
    }
}

// -- signatures, by Python's hmac, as the services' documents have them --

/// What Python makes of a key and a message, and of a time and a secret by the service's own recipe.
const SIGNER: &str = r#"
import base64, hashlib, hmac, json, sys, urllib.parse
asked = json.load(sys.stdin)
made = base64.b64encode(hmac.new(asked["key"].encode(), asked["message"].encode(), hashlib.sha256).digest()).decode()
time, secret = asked["time"], asked["secret"]
if asked["service"] == "dingtalk":
    string_to_sign = "{}\n{}".format(time, secret)
    digest = hmac.new(secret.encode("utf-8"), string_to_sign.encode("utf-8"), digestmod=hashlib.sha256).digest()
else:
    string_to_sign = "{}\n{}".format(time, secret)
    digest = hmac.new(string_to_sign.encode("utf-8"), digestmod=hashlib.sha256).digest()
print(json.dumps([made, base64.b64encode(digest).decode("utf-8")]))
"#;

fn by_python(asked: &Json) -> [String; 2] {
    let mut python = Command::new("/usr/bin/python3")
        .args(["-c", SIGNER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(asked.to_string().as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

fn atoms(atoms: &[Atom], secret: &str) -> String {
    let atom = |atom: &Atom| match atom {
        Atom::Text(text) => text.clone(),
        Atom::Secret(name) => {
            assert_eq!(name, "sign");
            secret.to_owned()
        }
    };
    atoms.iter().map(atom).collect()
}

#[track_caller]
fn signs(service: &str, time: &str, secret: &str, expected: &str) {
    let request = deliver(&channel(service, json!({})), &payload_of("one")).remove(0);
    let pieces: Vec<&Piece> = request.path_query.iter().chain(&request.body).collect();
    let mac = pieces.iter().find_map(|piece| match piece {
        Piece::HmacSha256(mac) => Some(mac),
        _ => None,
    });
    let mac = mac.unwrap();
    // The time stands in the request as it was signed.
    let shown = |piece: &&Piece| matches!(piece, Piece::Text(text) if text.contains(time));
    assert!(pieces.iter().any(shown), "{pieces:?}");
    let (key, message) = (atoms(&mac.key, secret), atoms(&mac.message, secret));
    let [made, recipe] = by_python(
        &json!({ "service": service, "time": time, "secret": secret, "key": key, "message": message }),
    );
    assert_eq!(made, recipe, "{service}");
    assert_eq!(made, expected, "{service}");
}

#[test]
fn dingtalk_and_feishu_are_signed_as_their_documents_say() {
    signs("dingtalk", "1767323345678", "SECc0ffee/+=\u{fc}", "a4in1Xcs7fOuNXPX3UOEUBCdl/uadVaaff8rqKttK/M=");
    signs("feishu", "1767323345", "c0ffee/+=\u{fc}", "r4FkloaLwOdjA7RDkDetaVP38Gn64nQb5nx/BIC92s8=");
}

// -- limits --

/// A request's body, with what the relay would put in.
fn joined(pieces: &[Piece]) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Secret(_) | Piece::HmacSha256(_) => "x".repeat(64),
    };
    pieces.iter().map(piece).collect()
}

/// What a service takes, measured as it measures.
#[track_caller]
fn is_taken(service: &str, request: &Request) {
    let body = joined(&request.body);
    let json: Json = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{service}: {error}: {body}"));
    let text = |pointer: &str| json.pointer(pointer).and_then(Json::as_str).unwrap_or_default();
    let (size, most) = match service {
        "dingtalk" => (body.len(), 20_000),
        "feishu" => (body.len(), 20_000),
        "wecom" => (text("/markdown/content").len(), 4096),
        "telegram" => (text("/text").encode_utf16().count(), 4096),
        _ => (body.len(), 2000),
    };
    assert!(size <= most, "{service}: {size} of {most}\n{body}");
}

fn settings(service: &str) -> Json {
    let body = r#"{ "n": [{% for alert in alerts %}{{ alert.fingerprint }}{% if not loop.last %}, {% endif %}{% endfor %}] }"#;
    let people: Vec<String> = (0..20).map(|n| format!("138{n:08}")).collect();
    match service {
        "dingtalk" => json!({ "mention": { "mobiles": people, "all": true }, "keyword": "告警" }),
        "wecom" | "feishu" => json!({ "mention": { "users": people, "all": true } }),
        "telegram" => json!({ "chat": -100 }),
        _ => json!({ "body": body, "max_bytes": 2000 }),
    }
}

/// Groups that are as bad for a limit as can be: many, long, escaped, in several bytes.
fn bad_groups() -> Vec<Vec<u8>> {
    let alert = |n: usize, label: &str, text: &str| {
        let mut labels: serde_json::Map<String, Json> =
            (0..n % 40).map(|n| (format!("label_{n}"), json!(label))).collect();
        labels.insert("alertname".into(), json!(format!("Alert{n}")));
        labels.insert("severity".into(), json!("critical"));
        json!({
            "status": if n.is_multiple_of(3) { "resolved" } else { "firing" }, "labels": labels,
            "annotations": { "summary": text, "description": label }, "fingerprint": format!("{n:016x}"),
            "startsAt": "2026-01-02T03:04:05Z", "endsAt": "2026-01-02T03:05:05Z",
            "generatorURL": format!("http://prometheus/graph?{label}"),
        })
    };
    let texts = ["\\\"\n*_[", "长", "é😀", "<&>\"'", "a"];
    let group = |(number, text): (usize, &str)| {
        let long = |n: usize| text.repeat(n * 97 % 700);
        let alerts: Vec<Json> = (0..[1, 3, 10, 11, 300][number])
            .map(|n| alert(n + number, &long(n + number), &long(n * 7 + 1)))
            .collect();
        let common: serde_json::Map<String, Json> =
            (0..100).map(|n| (format!("shared_{n}"), json!(long(n)))).collect();
        json!({
            "version": "4", "groupKey": "{}", "receiver": long(20), "externalURL": "http://alertmanager",
            "groupLabels": { "a": long(50) }, "commonLabels": common, "alerts": alerts,
        })
    };
    texts.iter().enumerate().map(|(number, text)| group((number, text)).to_string().into_bytes()).collect()
}

#[test]
fn no_message_is_larger_than_its_service_takes_and_each_alert_is_in_one() {
    let kept = ["one", "three", "many", "hostile", "large"].map(payload_of);
    let all: Vec<Vec<u8>> = kept.into_iter().chain(bad_groups()).collect();
    for service in CHANNELS {
        let channel = channel(service, settings(service));
        for payload in &all {
            let requests = deliver(&channel, payload);
            requests.iter().for_each(|request| is_taken(service, request));
            let mut covered: Vec<u32> = requests.iter().flat_map(|request| request.covers.clone()).collect();
            covered.sort_unstable();
            covered.dedup();
            assert_eq!(covered.len(), payload::parse(payload).unwrap().events.len(), "{service}");
            let keys: std::collections::BTreeSet<&str> = requests.iter().map(|r| r.key.as_str()).collect();
            assert_eq!(keys.len(), requests.len(), "{service}: keys are told apart");
        }
    }
}

#[test]
fn what_an_alert_says_mentions_nobody_and_becomes_no_secret() {
    for service in CHANNELS {
        let settings = if service == "webhook-template" {
            json!({ "body": "{ \"text\": {{ text }} }" })
        } else if service == "telegram" {
            json!({ "chat": "@ops" })
        } else {
            json!({})
        };
        for request in deliver(&channel(service, settings), &payload_of("hostile")) {
            let body: Json = serde_json::from_str(&joined(&request.body)).unwrap();
            assert!(body.get("at").is_none(), "{service}: {body}");
            let body = body.to_string();
            // Plain text has no markup, and HTML none with brackets.
            let wrong: &[&str] = match service {
                "webhook-template" => &["\u{202e}"],
                "telegram" => &["\u{202e}", "<script", "<at id=", "@everyone", "href=\\\"javascript:"],
                _ => &["\u{202e}", "<script", "<at id=", "<@all>", "](javascript:", "**bold**"],
            };
            for wrong in wrong {
                assert!(!body.contains(wrong), "{service}: {wrong} in {body}");
            }
            let secrets = request.body.iter().filter(|piece| matches!(piece, Piece::Secret(_)));
            assert_eq!(secrets.count(), 0, "{service}");
            // A secret in a query is escaped, so that none can add a parameter.
            for piece in &request.path_query {
                if let Piece::Secret(slot) = piece {
                    assert!(service == "telegram" || slot.escape == Escape::UriComponent, "{service}");
                }
            }
        }
    }
}

#[test]
fn a_verdict_never_takes_an_answer_of_somebody_else_for_a_delivery() {
    let answers = [
        (200, ""),
        (200, "null"),
        (200, "[]"),
        (200, "ok"),
        (200, "<html>please log in</html>"),
        (200, "{\"errcode\":\"0\"}"),
        (200, "{\"code\":null,\"ok\":\"true\"}"),
        (502, "{\"errcode\":0,\"code\":0,\"ok\":true}"),
        (302, "{\"errcode\":0,\"code\":0,\"ok\":true}"),
    ];
    for service in ["dingtalk", "wecom", "feishu", "telegram"] {
        let channel = channel(service, settings(service));
        for (status, body) in answers {
            let response =
                monprov::plugin::channel::Response { status, headers: vec![], body: body.into(), cut: false };
            let verdict = std::thread::scope(|scope| {
                let thread = std::thread::Builder::new().stack_size(channel.stack());
                let judge = || channel.judge(&"message-1".to_owned(), &response).unwrap().value;
                thread.spawn_scoped(scope, judge).unwrap().join().unwrap()
            });
            assert!(!matches!(verdict, Verdict::Delivered), "{service}: {status} {body}");
        }
    }
}

// -- tools --

fn project() -> Project {
    let project = Project::reference().file(
        "profiles/tried.toml",
        "extends = [\"prod\", \"relay\"]\n[channels.dingtalk]\nenable = true\n[routes.dingtalk]\nenable = true\n\
         [services.relay]\nunset = [\"catalog\"]\n",
    );
    project.write("1767323345678-000001-dingtalk.json", payload_of("one"));
    project
}

const REPLAY: &str = "plugin replay 1767323345678-000001-dingtalk.json --channel tried";

#[test]
fn a_recorded_payload_is_shown_as_the_requests_that_it_makes() {
    let project = project();
    // No secret is needed, since none is read.
    let shown = project.run(&format!("{REPLAY} dingtalk --env-file profiles/prod.env.example")).succeeds();
    for part in [
        "POST https://oapi.dingtalk.com/robot/send?access_token=[secret token, as a URI component]",
        "&timestamp=1767323345678&sign=[hmac-sha256 in base64, key [secret sign]",
        "since 2026-01-02 03:04:05 (5 min)",
    ] {
        assert!(shown.stdout.contains(part), "{}", shown.stdout);
    }
    let later = format!("{REPLAY} dingtalk --env-file profiles/prod.env.example --at 2026-01-02T05:04:06Z");
    assert!(project.run(&later).succeeds().stdout.contains("(2 h)"));
    // What the relay would not send is said here, with what to write.
    let layer = project.read("profiles/tried.toml");
    let unsigned = "[channels.dingtalk.plugin.grants.sign]\nplace = \"body\"\n";
    project.write("profiles/tried.toml", format!("{layer}{unsigned}"));
    let refused = project.run(&format!("{REPLAY} dingtalk --env-file profiles/prod.env.example")).exits(1);
    let grant = "error: the secret `sign` is not granted so: grants.sign = { secret = \"${secret.…}\", endpoint = \"robot\", use = \"hmac\", place = \"query\" }";
    assert!(refused.stdout.contains(grant), "{}", refused.stdout);
    let unknown = project.run(&format!("{REPLAY} dingtalc --env-file profiles/prod.env.example")).exits(1);
    assert!(unknown.stderr.contains("did you mean `dingtalk`?"), "{}", unknown.stderr);
    project.write("1767323345678-000001-dingtalk.json", "{}");
    let wrong = project.run(&format!("{REPLAY} dingtalk --env-file profiles/prod.env.example")).exits(1);
    assert!(wrong.stderr.contains("no payload of Alertmanager"), "{}", wrong.stderr);
}

#[test]
fn a_channel_plugin_is_inspected_and_measured() {
    let project = Project::empty().file("wecom.wasm", wasm("wecom"));
    let shown = project.run("plugin inspect wecom.wasm").succeeds().stdout;
    assert!(shown.contains("does      channel") && shown.contains("imports   nothing"), "{shown}");
    let measured = project.run("plugin bench wecom.wasm --json").succeeds().stdout;
    let measured: Json = serde_json::from_str(&measured).unwrap();
    assert_eq!(measured["calls"][2]["alerts"], 10_000, "{measured}");
    assert!(measured["calls"][2]["fuel"].as_u64().unwrap() > 0, "{measured}");
}

#[test]
fn a_template_that_makes_no_sense_is_refused_at_build_with_its_line() {
    let project = Project::reference().env("HOOK_TOKEN", "none");
    let tried = |body: &str| {
        project.write(
            "profiles/tried.toml",
            format!(
                "extends = [\"prod\", \"relay\"]\n[channels.hook]\nenable = true\n[routes.hook]\nenable = true\n\
                 [services.relay]\nunset = [\"catalog\"]\n[channels.hook.plugin.settings]\nbody = '{body}'\n"
            ),
        );
        project.run("check tried --env-file profiles/prod.env.example --oracle off")
    };
    tried("{ \"text\": {{ text }} }").succeeds();
    for (body, why) in [
        ("{ \"text\": \"{{ text }}\" }", "the template makes no JSON"),
        ("{{ titel }}", "names what is not there: titel"),
        ("{% for alert in alerts %}", "unexpected end of input"),
    ] {
        let refused = tried(body).exits(3).stderr;
        assert!(refused.contains(why) && refused.contains("tried.toml:9"), "{refused}");
    }
}

#[test]
fn what_a_readme_tells_to_paste_is_a_profile() {
    let secrets = regex::Regex::new(r"\$\{secret\.([a-z_]+)\}").unwrap();
    for name in CHANNELS {
        let readme = std::fs::read_to_string(repository().join(format!("plugins/{name}/README.md"))).unwrap();
        let (_, block) = readme.split_once("```toml\n").unwrap();
        let (block, _) = block.split_once("```").unwrap();
        let sources: String = secrets
            .captures_iter(block)
            .map(|found| format!("{} = {{ env = \"TRIED\" }}\n", &found[1]))
            .collect();
        let project = Project::reference().env("TRIED", "none-of-your-business");
        project.write(
            "profiles/tried.toml",
            format!(
                "extends = [\"prod\", \"relay\"]\n{block}\n[routes.ops]\norder = 9\nmatch = {{ team = \"ops\" }}\n\
                 channel = \"ops\"\n[services.relay]\nunset = [\"catalog\"]\n[secrets]\n{sources}"
            ),
        );
        let told = project.run("check tried --env-file profiles/prod.env.example --oracle off").succeeds();
        assert!(!told.stderr.contains("channels.ops"), "{name}: {}", told.stderr);
    }
}
