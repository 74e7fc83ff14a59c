//! Which addresses are those of the public Internet.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of address it is, if it is not a public one.
///
/// The ranges are those of IANA's registries of special-purpose addresses. An address that only
/// carries another, such as `::ffff:10.0.0.1`, is what it carries.
pub fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => special_v6(v6),
    }
}

fn special_v4(v4: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, d] = v4.octets();
    Some(match (a, b, c) {
        (0, ..) => "unspecified",
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => "private",
        (100, 64..=127, _) => "shared by a provider's customers",
        (127, ..) => "loopback",
        (169, 254, _) => "link-local",
        (192, 0, 0) => "reserved for protocols",
        (192, 0, 2) | (198, 51, 100) | (203, 0, 113) => "for documentation only",
        (192, 88, 99) => "of a 6to4 relay",
        (198, 18..=19, _) => "for benchmarks only",
        // Azure answers its machines there, like others do at 169.254.169.254.
        (168, 63, 129) if d == 16 => "of Azure's own services",
        (224..=239, ..) => "multicast",
        (240.., ..) => "reserved",
        _ => return None,
    })
}

fn special_v6(v6: Ipv6Addr) -> Option<&'static str> {
    let carried = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        special_v4(Ipv4Addr::new(a, b, c, d))
    };
    match v6.segments() {
        // Mapped, and translated by NAT64: a network without IPv4 reaches it so.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => carried(high, low),
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("loopback"),
        [0x64, 0xff9b, ..] => Some("of a private NAT64"),
        [0xfe80..=0xfebf, ..] => Some("link-local"),
        [0xfec0..=0xfeff, ..] => Some("site-local"),
        [0xfc00..=0xfdff, ..] => Some("private"),
        [0xff00..=0xffff, ..] => Some("multicast"),
        [0x2001, 0, ..] => Some("of a Teredo tunnel"),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0x0fff, ..] => Some("for documentation only"),
        [0x2001, 0..=0x01ff, ..] => Some("reserved for protocols"),
        [0x2002, ..] => Some("of a 6to4 tunnel"),
        // ISATAP: the address of a machine in a network that speaks IPv4 only.
        [0x2000..=0x3fff, _, _, _, 0 | 0x200, 0x5efe, ..] => Some("of an ISATAP tunnel"),
        [0x2000..=0x3fff, ..] => None,
        _ => Some("reserved"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(address: &str) -> Option<&'static str> {
        special(address.parse().unwrap())
    }

    #[test]
    fn addresses_of_the_internet_are_public() {
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2400:3200::1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
        ] {
            assert_eq!(kind(public), None, "{public}");
        }
    }

    #[test]
    fn all_others_are_not() {
        for (address, expected) in [
            ("0.0.0.0", "unspecified"),
            ("0.1.2.3", "unspecified"),
            ("10.1.2.3", "private"),
            ("100.64.0.1", "shared by a provider's customers"),
            ("100.100.100.200", "shared by a provider's customers"),
            ("127.0.0.1", "loopback"),
            ("127.255.255.254", "loopback"),
            ("168.63.129.16", "of Azure's own services"),
            ("169.254.169.254", "link-local"),
            ("172.16.0.1", "private"),
            ("172.31.255.255", "private"),
            ("192.0.0.192", "reserved for protocols"),
            ("192.0.2.1", "for documentation only"),
            ("192.88.99.1", "of a 6to4 relay"),
            ("192.168.0.1", "private"),
            ("198.18.0.1", "for benchmarks only"),
            ("198.51.100.1", "for documentation only"),
            ("203.0.113.1", "for documentation only"),
            ("224.0.0.1", "multicast"),
            ("240.0.0.1", "reserved"),
            ("255.255.255.255", "reserved"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("::127.0.0.1", "reserved"),
            ("::ffff:127.0.0.1", "loopback"),
            ("::ffff:0:127.0.0.1", "reserved"),
            ("64:ff9b::10.0.0.1", "private"),
            ("64:ff9b:1::1", "of a private NAT64"),
            ("100::1", "reserved"),
            ("2001::1", "of a Teredo tunnel"),
            ("2001:0:7f00:1::", "of a Teredo tunnel"),
            ("2001:2::1", "reserved for protocols"),
            ("2001:db8::1", "for documentation only"),
            ("3fff::1", "for documentation only"),
            ("2002:7f00:1::", "of a 6to4 tunnel"),
            ("2606:4700::5efe:10.0.0.1", "of an ISATAP tunnel"),
            ("5f00::1", "reserved"),
            ("fc00::1", "private"),
            ("fd00:ec2::254", "private"),
            ("fe80::1", "link-local"),
            ("fec0::1", "site-local"),
            ("ff02::1", "multicast"),
        ] {
            assert_eq!(kind(address), Some(expected), "{address}");
        }
    }
}
