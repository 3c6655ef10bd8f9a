//! Lines and video addresses, as they are written on the command line.

use super::*;

#[test]
fn lines_are_read_and_written_the_same() {
    let serial = |path: &str, baud| Link::Serial { path: path.into(), baud };
    let cases = [
        ("udp:127.0.0.1:14550", Link::UdpListen(([127, 0, 0, 1], 14550).into())),
        ("udp:[::1]:14550", Link::UdpListen("[::1]:14550".parse().unwrap())),
        ("udpout:gcs.local:14550", Link::UdpSend("gcs.local:14550".into())),
        ("udpout:[fe80::1]:14550", Link::UdpSend("[fe80::1]:14550".into())),
        ("tcp:192.168.1.10:5760", Link::Tcp("192.168.1.10:5760".into())),
        ("serial:/dev/ttyS0:57600", serial("/dev/ttyS0", 57600)),
        ("serial:/dev/ttyAMA0:921600", serial("/dev/ttyAMA0", 921_600)),
    ];
    for (text, link) in cases {
        assert_eq!(text.parse(), Ok(link.clone()));
        assert_eq!(link.to_string(), text);
    }
    assert_eq!("serial:/dev/ttyS0".parse(), Ok(serial("/dev/ttyS0", 57600)));
    let by_path = "/dev/serial/by-path/platform-usb-0:1.2:1.0-port0/x";
    assert_eq!(format!("serial:{by_path}").parse(), Ok(serial(by_path, 57600)));
}

#[test]
fn what_is_no_line_is_told_with_what_to_write() {
    let address = |text: &str| LinkError::Address(text.into());
    let host = |text: &str| LinkError::Host(text.into());
    let cases = [
        ("", LinkError::Unknown("".into())),
        ("14550", LinkError::Unknown("14550".into())),
        ("usb:/dev/ttyS0", LinkError::Unknown("usb:/dev/ttyS0".into())),
        ("udp:14550", address("14550")),
        ("udp:gcs:14550", address("gcs:14550")),
        ("udpout:14550", host("14550")),
        ("udpout::14550", host(":14550")),
        ("tcp:host:0", host("host:0")),
        ("tcp:host:99999", host("host:99999")),
        ("tcp:::1:5760", host("::1:5760")),
        ("tcp://host:5760", host("//host:5760")),
        ("serial:", LinkError::Path),
        ("serial::57600", LinkError::Path),
        ("serial:/dev/ttyS0:fast", LinkError::Baud("fast".into())),
        ("serial:/dev/ttyS0:0", LinkError::Baud("0".into())),
    ];
    for (text, error) in cases {
        assert_eq!(text.parse::<Link>(), Err(error.clone()), "{text}");
        assert!(error.to_string().contains("write "), "{error}");
    }
}

#[test]
fn video_addresses_become_what_the_message_has_for_them() {
    let told = |text: &str| {
        let information = text.parse::<Stream>().unwrap().information((640, 480));
        (information.mavtype as u8, information.uri.to_str().unwrap().to_owned())
    };
    assert_eq!(told("rtsp://h:8554/cam"), (0, "rtsp://h:8554/cam".into()));
    assert_eq!(told("udp:5600"), (1, "5600".into()));
    assert_eq!(told("udp://5600"), (1, "5600".into()));
    assert_eq!(told("tcp://h:5000"), (2, "tcp://h:5000".into()));
    assert_eq!(told("mpegts:5600"), (3, "5600".into()));
    assert_eq!(told("https://h/whep"), (4, "https://h/whep".into()));
    let long = format!("rtsp://{}", "a".repeat(152));
    assert_eq!(told(&long), (0, long.clone()));
    assert_eq!(format!("{long}a").parse::<Stream>(), Err(StreamError::TooLong(160)));
    for bad in ["", "cam", "rtsp:cam", "rtsp://", "udp:0", "udp:h:5600", "file:///x", "rtsp://h/\n"] {
        assert_eq!(bad.parse::<Stream>(), Err(StreamError::Unknown(bad.into())));
    }
}

#[test]
fn a_name_that_is_too_long_is_cut_where_a_character_ends() {
    let options = Options { system: Some(1), model: "ä".repeat(40), ..Options::default() };
    let now = Instant::now();
    let mut component = Component::new(options, Fake::new(), now).unwrap();
    let (_, Some(Outgoing::Information(information))) =
        outcome(ask(&mut component, command(REQUEST, &[259.0]), now), REQUEST)
    else {
        panic!("no information")
    };
    let name = std::str::from_utf8(&information.model_name).unwrap();
    assert_eq!(name, format!("{}\0\0", "ä".repeat(15)));
}
