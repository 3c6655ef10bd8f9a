//! Where the service is.

use anyhow::Result;
use clap::Args;

use super::Misuse;
use crate::transport::{Endpoint, Kind};

/// Where a service listens if nothing else is said.
const DEFAULT: &str = "127.0.0.1:7700";

#[derive(Debug, Args)]
#[group(multiple = false)]
pub(super) struct EndpointArgs {
    /// The service's TCP address; a port alone is on this machine [default: 127.0.0.1:7700]
    #[arg(long, value_name = "HOST:PORT")]
    tcp: Option<String>,
    /// A serial port, and its speed
    #[arg(long, value_name = "DEVICE[:BAUD]")]
    serial: Option<String>,
    /// The path of the service's Unix socket
    #[arg(long, value_name = "PATH")]
    unix: Option<String>,
    /// The service's UDP address
    #[arg(long, value_name = "HOST:PORT")]
    udp: Option<String>,
    /// The address of its WebSockets
    #[arg(long, value_name = "HOST:PORT")]
    ws: Option<String>,
}

impl EndpointArgs {
    /// The endpoint that is meant.
    ///
    /// # Errors
    /// [`Misuse`] if the text cannot name any; another if it names a machine that is not known.
    pub(super) fn endpoint(&self) -> Result<Endpoint> {
        let given = [
            (Kind::Tcp, "--tcp", &self.tcp),
            (Kind::Serial, "--serial", &self.serial),
            (Kind::Unix, "--unix", &self.unix),
            (Kind::Udp, "--udp", &self.udp),
            (Kind::WebSocket, "--ws", &self.ws),
        ];
        let given = given.into_iter().find_map(|(kind, option, text)| Some((kind, option, text.as_deref()?)));
        let (kind, option, text) = given.unwrap_or((Kind::Tcp, "--tcp", DEFAULT));
        Endpoint::parse(kind, text).map_err(|error| {
            let is_socket = matches!(kind, Kind::Tcp | Kind::Udp | Kind::WebSocket);
            match is_socket && has_host_and_port(text) {
                true => error.into(),
                false => Misuse(format!("{option}: {error}")).into(),
            }
        })
    }
}

/// Whether an address is well formed, whoever knows its host.
fn has_host_and_port(text: &str) -> bool {
    let text = text.strip_prefix("ws://").map_or(text, |rest| rest.trim_end_matches('/'));
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains(['/', ':', '[', ' ']) && port.parse::<u16>().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_told_from_a_machine_that_is_not_known() {
        for right in ["robot.local:7700", "ws://robot:1/", "robot:0"] {
            assert!(has_host_and_port(right), "{right}");
        }
        for wrong in ["foo", "foo:", ":7700", "foo:bar", "foo:70000", "a b:1", "http://robot:1"] {
            assert!(!has_host_and_port(wrong), "{wrong}");
        }
    }
}
