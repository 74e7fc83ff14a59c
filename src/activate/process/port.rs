//! Whether a port is free, and if not, who has it.

use std::net::{Ipv4Addr, TcpListener};

/// Who listens on a port of the loopback address; `None` where it is free.
pub(super) fn taken(port: u16) -> Option<String> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Some(listener(port).unwrap_or_else(|| "a process of another user".into()))
        }
        // Free, or the program itself says better why it can't listen.
        _ => None,
    }
}

fn listener(port: u16) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let inodes: Vec<String> = tables
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| table.lines().filter_map(|line| listening(line, port)).collect::<Vec<_>>())
        .collect();
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let descriptors = std::fs::read_dir(process.path().join("fd")).ok()?;
        let holds = descriptors.flatten().any(|descriptor| {
            std::fs::read_link(descriptor.path())
                .is_ok_and(|link| inodes.iter().any(|inode| link.as_os_str() == inode.as_str()))
        });
        let name = std::fs::read_to_string(process.path().join("comm")).ok()?;
        holds.then(|| format!("`{}` (process {pid})", name.trim()))
    })
}

/// The socket of a line of the kernel's table, if it listens on that port.
fn listening(line: &str, port: u16) -> Option<String> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let local = fields.get(1)?.rsplit_once(':')?.1;
    let here = u16::from_str_radix(local, 16) == Ok(port) && *fields.get(3)? == LISTEN;
    here.then(|| fields.get(9).map(|inode| format!("socket:[{inode}]")))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_a_taken_port_is_named() {
        let own = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = own.local_addr().unwrap().port();
        let who = taken(port).unwrap();
        assert!(who.ends_with(&format!("(process {})", std::process::id())), "{who}");
        drop(own);
        // What was free a moment ago may be the near end of somebody's connection now.
        let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        assert!((0..10).any(|_| taken(free()).is_none()));
    }
}
