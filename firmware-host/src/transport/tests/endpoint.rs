//! How endpoints are written.

use std::net::SocketAddr;

use super::super::*;

#[test]
fn what_is_printed_is_read_again() {
    let address: SocketAddr = "[::1]:7700".parse().unwrap();
    for endpoint in [
        Endpoint::Serial { path: "/dev/ttyUSB0".into(), baud: 921_600, rts_cts: false },
        Endpoint::Serial { path: "/dev/serial/by-path/pci-0:1:1.0".into(), baud: 115_200, rts_cts: true },
        Endpoint::Tcp(address),
        Endpoint::Unix("/run/cutout.sock".into()),
        Endpoint::Unix("relative".into()),
        Endpoint::Udp("0.0.0.0:7701".parse().unwrap()),
        Endpoint::WebSocket(address),
    ] {
        assert_eq!(endpoint.to_string().parse::<Endpoint>().unwrap(), endpoint);
    }
}

#[test]
fn what_people_type_is_understood() {
    let serial = |path: &str, baud, rts_cts| Endpoint::Serial { path: path.into(), baud, rts_cts };
    let tcp = |address: &str| Endpoint::Tcp(address.parse().unwrap());
    for (text, endpoint) in [
        ("/dev/ttyUSB0:921600", serial("/dev/ttyUSB0", 921_600, false)),
        ("/dev/ttyACM0", serial("/dev/ttyACM0", DEFAULT_BAUD, false)),
        ("/tmp/pty:9600", serial("/tmp/pty", 9600, false)),
        ("/dev/ttyAMA0:3000000,rtscts", serial("/dev/ttyAMA0", 3_000_000, true)),
        ("7700", tcp("127.0.0.1:7700")),
        ("10.1.2.3:7700", tcp("10.1.2.3:7700")),
        ("localhost:7700", tcp("127.0.0.1:7700")),
        ("/run/cutout.sock", Endpoint::Unix("/run/cutout.sock".into())),
        ("ws://127.0.0.1:7702/", Endpoint::WebSocket("127.0.0.1:7702".parse().unwrap())),
        ("ws:7702", Endpoint::WebSocket("127.0.0.1:7702".parse().unwrap())),
        ("udp:7701", Endpoint::Udp("127.0.0.1:7701".parse().unwrap())),
    ] {
        assert_eq!(text.parse::<Endpoint>().unwrap(), endpoint, "{text}");
    }
    assert_eq!(Endpoint::parse(Kind::Udp, "7700").unwrap(), Endpoint::Udp("127.0.0.1:7700".parse().unwrap()));
}

#[test]
fn what_is_no_endpoint_gets_told_what_to_write() {
    for (kind, text, hint) in [
        (Kind::Tcp, "", "HOST:PORT"),
        (Kind::Tcp, "77000", "HOST:PORT"),
        (Kind::Tcp, ":7700", "HOST:PORT"),
        (Kind::Tcp, "10.1.2.3", "HOST:PORT"),
        (Kind::Udp, "::1:7700", "HOST:PORT"),
        (Kind::WebSocket, "http://10.1.2.3:7702", "HOST:PORT"),
        (Kind::Serial, "/dev/ttyUSB0:fast", "/dev/ttyUSB0:115200"),
        (Kind::Serial, "/dev/ttyUSB0:0", "/dev/ttyUSB0:115200"),
        (Kind::Serial, ":9600", "/dev/ttyUSB0:115200"),
        (Kind::Unix, "", "/run/cutout.sock"),
        (Kind::Unix, &"x".repeat(200), "103 bytes"),
        (Kind::Unix, "a\0b", "103 bytes"),
    ] {
        let error = Endpoint::parse(kind, text).unwrap_err().to_string();
        assert!(error.contains(hint), "{kind} {text:?}: {error}");
    }
}

#[test]
fn only_this_machine_reaches_loopback() {
    for text in ["7700", "[::1]:7700", "udp:127.9.9.9:1", "[::ffff:127.0.0.1]:7700", "/run/cutout.sock", "/dev/ttyS0"] {
        assert!(text.parse::<Endpoint>().unwrap().is_loopback(), "{text}");
    }
    for text in ["0.0.0.0:7700", "[::]:7700", "websocket:10.1.2.3:7702"] {
        assert!(!text.parse::<Endpoint>().unwrap().is_loopback(), "{text}");
    }
}

#[test]
fn peers_are_trusted_by_where_they_come_from() {
    let peer = |address: &str| super::super::tcp::peer(Kind::Tcp, address.parse().unwrap());
    assert!(peer("127.0.0.1:5").trusted && peer("[::1]:5").trusted);
    // An IPv4 client at a socket of all addresses of IPv6.
    let mapped = peer("[::ffff:127.0.0.1]:5");
    assert!(mapped.trusted);
    assert_eq!(mapped.name, "tcp 127.0.0.1:5");
    for stranger in ["10.1.2.3:5", "[fe80::1]:5", "[::ffff:10.1.2.3]:5", "0.0.0.0:5"] {
        assert!(!peer(stranger).trusted, "{stranger}");
    }
}
