//! Fifty hosts: that all get there, and what that asks of a cache. `profiles/DISTRIBUTION.md` has
//! what it means for a thousand.

use super::{Host, ONE, Request, Source, TWO};
use crate::support::daemon::Daemon;
use crate::support::wait_for;
use std::collections::BTreeSet;
use std::time::Duration;

const HOSTS: usize = 50;
const EVERY: f64 = 4.0;
/// Three processes a host, on a machine with two cores that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(300);

/// Requests and bytes, and the most requests within a second.
fn sum(requests: &[Request]) -> (usize, u64, usize) {
    let bytes = requests.iter().map(|request| request.received + request.sent).sum();
    let within = |start: f64| requests.iter().filter(|r| (start..start + 1.0).contains(&r.time)).count();
    (requests.len(), bytes, requests.iter().map(|request| within(request.time)).max().unwrap_or_default())
}

#[test]
fn fifty_hosts_follow_a_channel() {
    let source = Source::new();
    let (one, two) = (source.build(ONE), source.build(TWO));
    source.point(&one);
    let mut hosts: Vec<Host> = (0..HOSTS).map(|_| Host::new(&source)).collect();
    let every = format!("{EVERY}s");
    let follow: Vec<Daemon> = hosts.iter().map(|host| host.follow(&["--every", &every])).collect();
    let have = |hosts: &[Host], bundle: &str| {
        hosts
            .iter()
            .filter(|host| super::name_of(&host.path("state/run/p/live")).as_deref() == Some(bundle))
            .count()
    };
    wait_for(PATIENCE, "first bundle everywhere", || {
        (have(&hosts, one.name().as_str()) == HOSTS).then_some(())
    });
    hosts.iter_mut().for_each(Host::start_up);
    wait_for(PATIENCE, "proof everywhere", || hosts.iter().all(Host::proved).then_some(()));
    // Nothing changes: every host asks once a round, and gets no content.
    let from = source.requests(0).len();
    wait_for(PATIENCE, "six rounds", || (source.requests(from).len() >= 6 * HOSTS).then_some(()));
    let idle = source.requests(from);
    let lasted = idle.last().unwrap().time - idle[0].time;
    let (count, bytes, most) = sum(&idle);
    assert!(idle.iter().all(|one| one.status == 304 && one.path == "/channels/p.json"), "{idle:?}");
    // A round is a tenth shorter at the least, and six of them begin within five.
    let rate = count as f64 / lasted;
    assert!(rate < 6.0 / 5.0 * HOSTS as f64 / EVERY / 0.9 + 0.1, "{rate} requests a second");
    // They don't come together: then three of four seconds would pass without one. A machine that
    // stood still for a moment brings many at once, which is no fault of theirs.
    let seconds: BTreeSet<u64> = idle.iter().map(|one| (one.time - idle[0].time) as u64).collect();
    assert!(seconds.len() as f64 > lasted / 2.0, "requests in {} of {lasted:.1} seconds", seconds.len());
    eprintln!(
        "idle: {rate:.1} requests/s of {HOSTS} hosts each {EVERY} s, at most {most} within a second, {} bytes each",
        bytes / count as u64
    );
    // A rollout: each host fetches what it needs, once.
    let from = source.requests(0).len();
    source.point(&two);
    wait_for(PATIENCE, "second bundle everywhere", || {
        (have(&hosts, two.name().as_str()) == HOSTS).then_some(())
    });
    wait_for(PATIENCE, "proof everywhere", || {
        let proved = |host: &Host| host.seen()["outcome"] == "activated" && host.seen()["serial"] == 2;
        hosts.iter().all(proved).then_some(())
    });
    let rollout: Vec<Request> = source.requests(from).into_iter().filter(|one| one.status == 200).collect();
    let (count, bytes, most) = sum(&rollout);
    eprintln!(
        "rollout: {count} requests, at most {most} within a second, {} bytes a host",
        bytes / HOSTS as u64
    );
    // The pointer, the narinfo, the archive and the provenance.
    assert_eq!(count, 4 * HOSTS, "{rollout:?}");
    for path in ["/channels/p.json".to_owned(), format!("/{}.narinfo", two.name().id())] {
        assert_eq!(rollout.iter().filter(|one| one.path == path).count(), HOSTS, "{path}");
    }
    assert!(follow.iter().all(Daemon::is_running));
    hosts.iter().take(3).for_each(|host| host.runs(&two));
}
