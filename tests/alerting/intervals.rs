//! Our reading of time intervals against the real Alertmanager's.

use std::process::Command;

use monprov::check;

use crate::support::{program, resolved::stack};

/// A profile whose one interval has this line.
fn profile(line: &str) -> String {
    format!(
        "[services.alertmanager]\nkind = \"alertmanager\"\nversion = \"0.25\"\n\
         [alertmanager]\nchannel = \"ops\"\n[channels.ops.webhook]\nurl = \"http://localhost/\"\n\
         [intervals.test]\n{line}\n"
    )
}

#[test]
fn the_same_intervals_are_refused_as_by_amtool() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("alertmanager.yml");
    let mut refused = 0;
    for line in [
        "times = [{ from = '09:00', to = '17:00' }]",
        "times = [{ from = '00:00', to = '24:00' }]",
        "times = [{ from = '9:00', to = '17:00' }]",
        "times = [{ from = '22:00', to = '06:00' }]",
        "times = [{ from = '10:00', to = '10:00' }]",
        "times = [{ from = '10:00', to = '24:01' }]",
        "times = [{ from = '10:60', to = '12:00' }]",
        "weekdays = ['monday:friday', 'Sunday']",
        "weekdays = ['friday:monday']",
        "weekdays = ['mon']",
        "weekdays = ['saturday:sunday']",
        "days_of_month = ['1:31', '-3:-1', '15']",
        "days_of_month = ['0']",
        "days_of_month = ['32']",
        "days_of_month = ['-1:1']",
        "days_of_month = ['5:3']",
        "days_of_month = ['10:-5']",
        "days_of_month = ['25:-10']",
        "days_of_month = ['one']",
        "months = ['january:march', '4', 'May:8']",
        "months = ['december:january']",
        "months = ['janury']",
        "years = ['2026:2030', '2040']",
        "years = ['2030:2026']",
        "years = ['soon']",
        "location = 'Asia/Shanghai'",
        "location = '../etc/passwd'",
    ] {
        let stack = stack(&profile(line));
        let findings = check::alerting::check(&stack);
        let rendered = monprov::render::alertmanager::render(&stack).unwrap();
        let text = &rendered.files.get("alertmanager/alertmanager.yml").unwrap().content;
        std::fs::write(&config, text).unwrap();
        let amtool = Command::new(program("amtool")).arg("check-config").arg(&config).output().unwrap();
        let said = String::from_utf8_lossy(&amtool.stderr);
        let ours: Vec<&str> = findings.iter().map(|f| f.message.as_str()).collect();
        assert_eq!(ours.is_empty(), amtool.status.success(), "{line}\nours: {ours:?}\namtool: {said}");
        refused += usize::from(!ours.is_empty());
    }
    assert!(refused > 12);
}

/// amtool takes a thirteenth month; it never comes.
#[test]
fn a_month_that_never_comes_is_refused() {
    let findings = check::alerting::check(&stack(&profile("months = ['13']")));
    assert_eq!(findings.iter().map(|f| f.message.as_str()).collect::<Vec<_>>(), ["`13` is no month"]);
}
