//! The shell scripts of a bundle that run inside containers. POSIX sh, as busybox and dash
//! have it; they are started as `/bin/sh FILE`, so no image needs more than a shell.

use std::collections::BTreeMap;

use super::command::Command;
use crate::bundle::Tree;
use crate::stack::{Runtime, Stack};

/// The script that asks a service for its health.
pub const PROBE: &str = "bin/probe";

/// The script that puts a service's secrets into its environment.
pub fn wrapper_file(service: &str) -> String {
    format!("exec/{service}")
}

/// The scripts that the services of a stack need.
pub fn scripts(stack: &Stack, commands: &BTreeMap<String, Command>) -> Tree {
    let mut tree = Tree::new();
    // Kubernetes asks for the health of services itself.
    if !stack.runtime.in_containers() || stack.runtime == Runtime::Kubernetes {
        return tree;
    }
    tree.insert_executable(PROBE, PROBE_SCRIPT);
    for (name, command) in commands {
        if !command.secret_environment.is_empty() {
            tree.insert_executable(wrapper_file(name), wrapper(stack, name, command));
        }
    }
    tree
}

const PROBE_SCRIPT: &str = r#"#!/bin/sh
# Health check: exits 0 if the URL answers, by the first HTTP client that the image has.
set -u
unset http_proxy HTTP_PROXY all_proxy ALL_PROXY
if command -v wget >/dev/null 2>&1; then
    exec wget -q -O /dev/null "$1"
elif command -v curl >/dev/null 2>&1; then
    exec curl -fsS -o /dev/null "$1"
fi
for python in python3 python; do
    if command -v "$python" >/dev/null 2>&1; then
        exec "$python" -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1])' "$1"
    fi
done
echo "this image has neither wget nor curl nor python: write health.command in the profile" >&2
exit 1
"#;

/// Reads each secret file into the variable of its name and becomes the program in its
/// arguments. The `.` keeps line breaks at the end of a value, which `$(…)` would cut.
fn wrapper(stack: &Stack, service: &str, command: &Command) -> String {
    let mut script = format!(
        "#!/bin/sh\n\
         # Profile {}: puts the secrets of {service} into its environment, where `docker inspect`\n\
         # does not show them, and becomes the program in the arguments.\n\
         set -eu\n",
        stack.name
    );
    for name in command.secret_environment.keys() {
        let path = quote(&stack.runtime.secret_path(&stack.name, service, name));
        script += &format!("{name}=$(cat {path} && echo .)\nexport {name}=\"${{{name}%.}}\"\n");
    }
    script + "exec \"$@\"\n"
}

/// A word of POSIX sh that stands for itself.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
