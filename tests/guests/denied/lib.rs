//! Tries what no plugin gets, by the standard library and by the functions of WASI themselves,
//! and says what came of it.

use monprov_plugin::{Alert, Finding, Level, NoSettings, Policy, Result, Stack};

/// The standard library has no clock and no chance where there is no WASI.
mod asks {
    wit_bindgen::generate!({
        path: [],
        inline: r#"
            package monprov:denied;

            world asks {
                import wasi:clocks/wall-clock@0.2.3;
                import wasi:clocks/monotonic-clock@0.2.3;
                import wasi:random/random@0.2.3;
                import wasi:cli/environment@0.2.3;
                import wasi:filesystem/preopens@0.2.3;
                import wasi:sockets/tcp-create-socket@0.2.3;
            }

            package wasi:clocks@0.2.3 {
                interface wall-clock {
                    record datetime { seconds: u64, nanoseconds: u32 }
                    now: func() -> datetime;
                }
                interface monotonic-clock {
                    now: func() -> u64;
                }
            }

            package wasi:random@0.2.3 {
                interface random {
                    get-random-u64: func() -> u64;
                }
            }

            package wasi:cli@0.2.3 {
                interface environment {
                    get-environment: func() -> list<tuple<string, string>>;
                }
            }

            package wasi:filesystem@0.2.3 {
                interface types {
                    resource descriptor;
                }
                interface preopens {
                    use types.{descriptor};
                    get-directories: func() -> list<tuple<descriptor, string>>;
                }
            }

            package wasi:sockets@0.2.3 {
                interface network {
                    enum error-code {
                        unknown, access-denied, not-supported, invalid-argument, out-of-memory, timeout,
                        concurrency-conflict, not-in-progress, would-block, invalid-state, new-socket-limit,
                        address-not-bindable, address-in-use, remote-unreachable, connection-refused,
                        connection-reset, connection-aborted, datagram-too-large, name-unresolvable,
                        temporary-resolver-failure, permanent-resolver-failure,
                    }
                    enum ip-address-family { ipv4, ipv6 }
                }
                interface tcp {
                    resource tcp-socket;
                }
                interface tcp-create-socket {
                    use network.{error-code, ip-address-family};
                    use tcp.{tcp-socket};
                    create-tcp-socket: func(address-family: ip-address-family) -> result<tcp-socket, error-code>;
                }
            }
        "#,
        generate_all,
    });
}

use asks::wasi::{cli, clocks, filesystem, random, sockets};

struct Plugin;

impl Policy for Plugin {
    type Settings = NoSettings;

    fn check(_: NoSettings, _: Vec<Alert>, _: Stack) -> Result<Vec<Finding>> {
        let outcome = |failed: bool| if failed { "denied" } else { "given" }.to_owned();
        let socket = sockets::tcp_create_socket::create_tcp_socket(sockets::network::IpAddressFamily::Ipv4);
        let tried = [
            ("file", outcome(std::fs::read("/etc/passwd").is_err())),
            ("write", outcome(std::fs::write("/tmp/written", "x").is_err())),
            ("environment", outcome(std::env::var("HOME").is_err())),
            ("socket", outcome(std::net::TcpStream::connect("127.0.0.1:9").is_err())),
            ("clock of WASI", clocks::wall_clock::now().seconds.to_string()),
            ("timer of WASI", clocks::monotonic_clock::now().to_string()),
            ("chance of WASI", format!("{:x}", random::random::get_random_u64())),
            ("environment of WASI", cli::environment::get_environment().len().to_string()),
            ("folders of WASI", filesystem::preopens::get_directories().len().to_string()),
            ("socket of WASI", socket.map_or_else(|error| format!("{error:?}"), |_| "given".into())),
        ];
        let finding = |(what, outcome): (&str, String)| Finding {
            code: "tried".into(),
            level: Level::Advice,
            path: String::new(),
            message: format!("{what}: {outcome}"),
            help: None,
        };
        Ok(tried.into_iter().map(finding).collect())
    }
}

monprov_plugin::policy!(Plugin);
