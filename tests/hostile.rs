//! Guests that do harm, kept as text in tests/guests, and files that are none: each gets an
//! error of its own, soon, nothing is written, and nothing crashes.

use std::fmt::Write;
use std::time::{Duration, Instant};

use monprov::bundle::manifest::sha256;
use monprov::plugin::{self, Limits, component};
use proptest::test_runner::{RngAlgorithm, TestRng};

use crate::support::guests::{self, project, text, threshold_plugin, unpinned};
use crate::support::project::Project;
use crate::support::repository;

const BUILD: &str = "build profile --oracle off";

/// The plugin `raise` with something of its frame exchanged.
fn framed(from: &str, to: &str) -> Vec<u8> {
    let frame = text("frame.wat");
    assert!(frame.contains(from), "{from}");
    guests::module(&frame.replace(from, to).replace(";; the guest", &text("raise.wat")))
}

/// All of them: what it does, the file, and more lines of its table in the profile.
fn guests_that_do_harm() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let good = threshold_plugin("raise.wat");
    let with_start = framed("  ;; the guest", "  (func $boom unreachable) (start $boom)\n  ;; the guest");
    let post_return = framed(
        "  ;; the guest",
        "  (func (export \"cabi_post_monprov:plugin/thresholds@1.0.0#adjust\") (param i32) unreachable)\n  ;; the guest",
    );
    let describe = "describe\") (result i32) (i32.const 2048)";
    let line = "  (core instance (instantiate $m)) ;; 70 times\n";
    let instances = text("instances.wat").replace(line, &line.replace(" ;; 70 times", "").repeat(70));
    let random = (0..4096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    vec![
        ("an endless loop", threshold_plugin("loop.wat"), ""),
        (
            "an endless loop with little fuel",
            threshold_plugin("loop.wat"),
            "limits = { fuel = 1000, fuel_per_item = 10 }",
        ),
        (
            "an endless loop with fuel for days",
            threshold_plugin("loop.wat"),
            "limits = { fuel = 1000000000000000, time = \"200ms\" }",
        ),
        ("deep recursion", threshold_plugin("recursion.wat"), ""),
        ("a memory bomb", threshold_plugin("memory.wat"), ""),
        ("a memory that is too large at first", framed("\"memory\") 1)", "\"memory\") 2000)"), ""),
        ("a table bomb", threshold_plugin("tables.wat"), ""),
        ("70 instances", instances.into(), ""),
        ("a gigabyte of output", threshold_plugin("output.wat"), ""),
        (
            "2 MiB of output where 1 MiB is allowed",
            threshold_plugin("output.wat"),
            "limits = { memory = \"8MiB\", output = \"1MiB\" }",
        ),
        ("text that is not UTF-8", threshold_plugin("utf8.wat"), ""),
        ("a trap in adjust", threshold_plugin("trap.wat"), ""),
        ("a trap in check", guests::policy_plugin("judge.wat"), ""),
        ("a trap in describe", framed(describe, "describe\") (result i32) unreachable"), ""),
        ("a trap in cabi_realloc", framed("(local $at i32)\n", "(local $at i32) unreachable\n"), ""),
        ("a trap in cabi_post_adjust", post_return, ""),
        ("a trap at the start", with_start, ""),
        ("an answer outside of its memory", threshold_plugin("wild.wat"), ""),
        ("an answer of no known kind", threshold_plugin("nonsense.wat"), ""),
        (
            "waiting for ever",
            guests::wasi_plugin("(call $block (call $later (i64.const 1000000000000)))"),
            "",
        ),
        ("an import of files", text("import-component.wat").into(), ""),
        ("an import of the network", text("network.wat").into(), ""),
        ("a core module with an import", text("import-module.wat").into(), ""),
        ("another world", text("world-other.wat").into(), ""),
        ("an unknown version of the ABI", text("world-future.wat").into(), ""),
        ("a missing export", text("export-missing.wat").into(), ""),
        ("exports of other types", text("export-of-another-type.wat").into(), ""),
        ("a component that is too large", good.clone(), "limits = { component = \"1KiB\" }"),
        ("half a file", good[..good.len() / 2].to_vec(), ""),
        ("six bytes of a file", good[..6].to_vec(), ""),
        ("a damaged component", b"\0asm\x0d\0\x01\0 and then nothing of use".to_vec(), ""),
        ("a file of anything", random, ""),
        ("an empty file", vec![], ""),
    ]
}

/// A project whose plugin somebody pinned without a look.
fn pinned_blindly(bytes: &[u8], more: &str) -> Project {
    let project = unpinned(&[("guest", bytes.to_vec(), more)]);
    let digest = sha256(bytes);
    let pin = format!("sha256 = \"{digest}\"\nname = \"x\"\nversion = \"1\"\nworlds = []\n");
    project.file("monprov.lock", format!("schema = 1\n[plugins.\"plugins/guest.wasm\"]\n{pin}"))
}

#[test]
fn each_gets_an_error_of_its_own_soon_and_nothing_is_written() {
    let mut told = String::new();
    for (what, bytes, more) in guests_that_do_harm() {
        let project = pinned_blindly(&bytes, more);
        // Compiles.
        project.run(BUILD);
        let start = Instant::now();
        let output = project.run(BUILD).exits(3);
        let took = start.elapsed();
        // Two seconds on a machine that does nothing else, with a release build.
        assert!(took < Duration::from_secs(20), "{what} took {took:?}");
        let error = output.stderr.split("error[").find(|part| part.starts_with("M70"));
        let error = error.unwrap_or_else(|| panic!("{what}:\n{}", output.stderr));
        assert!(error.contains("the plugin `guest`"), "{what}:\n{error}");
        assert!(output.stderr.len() < 4000, "{}", output.stderr);
        assert_eq!(output.stdout, "");
        let written = project.path(".monprov/store").read_dir().is_ok_and(|mut store| store.next().is_some());
        assert!(!written, "{what}");
        // The place is always the same, and said once is enough.
        let lines = error.lines().filter(|line| !line.contains(['│', '┌']) && !line.contains("= more:"));
        let error = lines.map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n    ");
        let error = error.split("\n    1 error").next().unwrap();
        writeln!(told, "{what}\n    error[{error}").unwrap();
    }
    let file = repository().join("tests/guests/errors.txt");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&file, &told).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(told == expected, "-- expected\n{expected}-- got\n{told}");
}

#[test]
fn what_is_no_plugin_is_not_pinned_either() {
    for bytes in [text("import-component.wat").into(), text("world-other.wat").into(), b"text".to_vec()] {
        let project = unpinned(&[("guest", bytes, "")]);
        let refused = project.run("plugin add plugins/guest.wasm").exits(1).stderr;
        assert!(refused.contains("plugins/guest.wasm is no plugin: it "), "{refused}");
        assert!(!project.path("monprov.lock").exists());
    }
}

// -- damage --

/// Draws of one run: the same for the same seed.
struct Draws(TestRng);

impl Draws {
    fn below(&mut self, limit: usize) -> usize {
        use proptest::prelude::Rng;
        (self.0.next_u64() % limit.max(1) as u64) as usize
    }

    /// Some bytes changed, lost, doubled or cut off.
    fn damage(&mut self, good: &[u8]) -> Vec<u8> {
        let mut bytes = good.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(5) {
                0 => bytes[at] = self.below(256) as u8,
                1 => bytes[at] ^= 1 << self.below(8),
                2 => drop(bytes.remove(at)),
                3 => {
                    let end = (at + self.below(64)).min(bytes.len());
                    let part = bytes[at..end].to_vec();
                    bytes.splice(at..at, part);
                }
                _ => bytes.truncate(at.max(8)),
            }
        }
        bytes
    }
}

#[test]
fn a_thousand_damaged_plugins_crash_nothing() {
    let seed = std::env::var("FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7_u8);
    eprintln!("FUZZ_SEED={seed}");
    let module = threshold_plugin("raise.wat");
    let component = component::componentise(&module).unwrap();
    let policy = component::componentise(&guests::policy_plugin("judge.wat")).unwrap();
    let shipped = std::fs::read(repository().join("tests/guests/1.0/naming-policy.wasm")).unwrap();
    let kinds = [(&module, 480), (&component, 400), (&policy, 100), (&shipped, 20)];
    let mut draws = Draws(TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]));
    let small = Limits { fuel: 1_000_000, ..Limits::default() };
    let mut sound = 0;
    for (kind, (good, count)) in kinds.into_iter().enumerate() {
        for number in 0..count {
            let bytes = draws.damage(good);
            let Ok(compiled) = std::panic::catch_unwind(|| component::compile(&bytes)) else {
                // The compiler has a process of its own, so that this ends only that.
                let project = unpinned(&[("guest", bytes, "")]);
                let refused = project.run("plugin add plugins/guest.wasm").exits(1).stderr;
                assert!(refused.contains("the compiler gave up"), "{kind}/{number} of {seed}: {refused}");
                continue;
            };
            match compiled.and_then(|code| plugin::inspect(&code.into(), &small)) {
                Ok(_) => sound += 1,
                Err(failure) => {
                    let told = failure.to_string();
                    assert!(
                        !told.is_empty() && told.lines().count() == 1,
                        "{kind}/{number} of {seed}: {told}"
                    );
                }
            }
        }
    }
    assert!((1..900).contains(&sound), "{sound} of 1000 were sound: damage is too small or too large");
}

// -- sameness --

#[test]
fn the_same_on_a_hundred_runs_with_any_number_of_threads() {
    let many: Vec<_> = ["a", "b", "c", "d"].map(|name| (name, "raise.wat", "")).into();
    let project = project(&many);
    let first = project.run("build profile --oracle off --rebuild").succeeds().stdout;
    let processors = std::thread::available_parallelism().unwrap().get();
    for run in 0..100 {
        let mut command = project.command(["build", "profile", "--oracle", "off", "--rebuild"]);
        // Pinned to one processor, threads take turns.
        if run % 2 == 0 {
            let program = command.get_program().to_owned();
            let mut pinned = std::process::Command::new("taskset");
            pinned.args(["-c", &(run / 2 % processors).to_string()]).arg(program).args(command.get_args());
            pinned.current_dir(project.root()).env_clear().env("PATH", crate::support::project::PATH);
            command = pinned;
        }
        assert_eq!(project.output(command).succeeds().stdout, first);
    }
}
