//! `processes.json`: what the process runtime starts and supervises.
//!
//! ```text
//! version      1; changes when a reader of an older version would go wrong
//! profile      the profile's name
//! processes    in the order in which they may start, each with
//!   name         the service
//!   program      found on PATH
//!   args         its arguments
//!   environment  variables with plain values, added to the supervisor's PATH and HOME
//!   secret_environment  variables by the file whose content is their value
//!   health       { http: URL that answers 200 } or { command: [… that exits 0] }, if any, with
//!                the interval, timeout, retries and start_period that the profile sets
//!   port         the port that it listens on, of the loopback address, if any
//!   after        processes that must be healthy first
//!   directories  to be there before it starts
//!   required     nothing is started where its program is missing; else the rest runs without it
//! ```
//!
//! Every path is relative to the state directory, which is the working directory of all.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Error;
use super::command::Command;
use crate::profile::units::Duration;
use crate::stack::{self, Service, Stack};

/// The version of the format.
pub const VERSION: u32 = 1;

#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Processes {
    pub version: u32,
    pub profile: String,
    pub processes: Vec<Process>,
}

#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Process {
    pub name: String,
    pub program: String,
    #[serde(default)]
    pub args: Vec<String>,
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    #[serde(default)]
    pub secret_environment: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(default)]
    pub after: Vec<String>,
    #[serde(default)]
    pub directories: Vec<String>,
    #[serde(default)]
    pub required: bool,
}

/// How a process is seen to be well. What the profile leaves open is the supervisor's to choose.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct Health {
    #[serde(flatten)]
    pub check: HealthCheck,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_period: Option<Duration>,
}

#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum HealthCheck {
    Http(String),
    Command(Vec<String>),
}

pub fn process(stack: &Stack, commands: &BTreeMap<String, Command>) -> Result<String, Error> {
    let processes = Processes {
        version: VERSION,
        profile: stack.name.clone(),
        processes: start_order(stack)
            .into_iter()
            .filter_map(|service| commands.get(&service.name).map(|command| one(stack, service, command)))
            .collect(),
    };
    Ok(serde_json::to_string_pretty(&processes)? + "\n")
}

/// A service's part of the file.
pub fn definition(stack: &Stack, service: &Service, command: &Command) -> Result<String, Error> {
    Ok(one(stack, service, command).definition()?)
}

impl Process {
    /// What the digest of a service's definition in the manifest is made from.
    pub fn definition(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

fn one(stack: &Stack, service: &Service, command: &Command) -> Process {
    let (program, subcommand) = command.program.split_first().map_or(("", [].as_slice()), |(p, s)| (p, s));
    let file = |name: &String| stack.runtime.secret_path(&stack.name, &service.name, name);
    let check = match (&command.health, service.health.command.as_slice()) {
        (Some(url), _) => Some(HealthCheck::Http(url.clone())),
        (None, []) => None,
        (None, own) => Some(HealthCheck::Command(own.to_vec())),
    };
    let stack::Health { interval, timeout, retries, start_period, .. } = service.health;
    let health = check.map(|check| Health { check, interval, timeout, retries, start_period });
    Process {
        name: service.name.clone(),
        program: program.to_owned(),
        args: subcommand.iter().chain(&command.args).cloned().collect(),
        environment: command.environment.clone(),
        secret_environment: command
            .secret_environment
            .keys()
            .map(|name| (name.clone(), file(name)))
            .collect(),
        health,
        port: service.port,
        after: service.after.clone(),
        directories: command.data.iter().cloned().collect(),
        required: service.required,
    }
}

/// By name, but every service behind those that it waits for. A cycle, which the check of
/// services refuses, is cut where it closes.
fn start_order(stack: &Stack) -> Vec<&Service> {
    let mut order = vec![];
    let mut seen = BTreeSet::new();
    // (service, true once those that it waits for are placed)
    let mut open: Vec<(&Service, bool)> = stack.services.values().rev().map(|s| (s, false)).collect();
    while let Some((service, ready)) = open.pop() {
        if ready {
            order.push(service);
        } else if seen.insert(&service.name) {
            open.push((service, true));
            let first = service.after.iter().rev().filter_map(|name| stack.services.get(name));
            open.extend(first.map(|s| (s, false)));
        }
    }
    order
}
