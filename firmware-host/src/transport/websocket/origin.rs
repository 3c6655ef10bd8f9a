//! Which web pages may connect.
//!
//! A browser lets any page of any site open a WebSocket to any address that the browser reaches, this machine's loopback
//! included, and only says whose page it is. So a service that trusts its own machine must look at the origin.

use std::fs;
use std::net::IpAddr;

/// Whose pages may connect.
#[derive(Debug)]
pub(super) struct Rule {
    allowed: Vec<String>,
    /// What this machine calls itself.
    machine: Option<String>,
}

impl Rule {
    /// Pages of this machine and of these origins.
    pub(super) fn new(allowed: &[String]) -> Self {
        let allowed = allowed.iter().map(|origin| origin.trim_end_matches('/').to_ascii_lowercase()).collect();
        let machine = fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let machine = machine.map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty());
        Rule { allowed, machine }
    }

    /// Whether a page of `origin` may connect that called this machine `host`. Without an origin it is no page, and may.
    pub(super) fn allows(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let Some(origin) = origin.map(str::to_ascii_lowercase) else { return true };
        if self.allowed.iter().any(|allowed| *allowed == origin || allowed == "*") {
            return true;
        }
        let Some(page) = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")) else {
            return false;
        };
        let page = host_of(page);
        if is_loopback(page) {
            return true;
        }
        // A page of this machine. A foreign name that resolves to this machine would be the same host as well: that is
        // how DNS rebinding works. So it must be called by an address or by its own name.
        let is_same = host.is_some_and(|host| host_of(&host.to_ascii_lowercase()) == page);
        is_same && (page.parse::<IpAddr>().is_ok() || self.is_own_name(page))
    }

    fn is_own_name(&self, name: &str) -> bool {
        let name = name.strip_suffix(".local").unwrap_or(name);
        self.machine.as_deref().is_some_and(|machine| machine.strip_suffix(".local").unwrap_or(machine) == name)
    }
}

/// The host of `HOST`, `HOST:PORT` or `[IPV6]:PORT`.
fn host_of(authority: &str) -> &str {
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, _)) => host,
        None => authority.split(':').next().unwrap_or(authority),
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_this_machine_and_of_the_list_may_connect_and_no_others() {
        let rule = Rule { allowed: vec!["https://ops.example".into(), "null".into()], machine: Some("rover".into()) };
        let here = Some("10.0.0.5:7702");
        for (origin, host) in [
            (None, here),
            (Some("http://localhost:3000"), here),
            (Some("http://127.0.0.1"), here),
            (Some("http://[::1]:8080"), here),
            (Some("http://10.0.0.5:8080"), here),
            (Some("HTTPS://OPS.example"), here),
            (Some("null"), here),
            (Some("http://rover.local:8080"), Some("rover.local:7702")),
            (Some("http://rover"), Some("ROVER:7702")),
            (Some("http://[fe80::1]:1"), Some("[fe80::1]:7702")),
        ] {
            assert!(rule.allows(origin, host), "{origin:?} at {host:?}");
        }
        for (origin, host) in [
            (Some("https://evil.example"), here),
            (Some("http://10.0.0.6"), here),
            (Some("http://10.0.0.5"), None),
            // DNS rebinding: the name is the attacker's, the address is ours.
            (Some("http://evil.example:7702"), Some("evil.example:7702")),
            (Some("http://localhost.evil.example"), here),
            (Some("http://127.0.0.1.evil.example"), here),
            (Some("https://ops.example.evil"), here),
            (Some("file://"), here),
            (Some("http://rover.local"), here),
            (Some(""), here),
            (Some("?"), here),
        ] {
            assert!(!rule.allows(origin, host), "{origin:?} at {host:?}");
        }
        let all = Rule::new(&["*".into()]);
        assert!(all.allows(Some("https://evil.example"), here));
        let slash = Rule::new(&["https://ops.example/".into()]);
        assert!(slash.allows(Some("https://ops.example"), here));
    }
}
