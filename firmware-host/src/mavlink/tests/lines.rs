//! Real lines, and ground stations made of the mavlink crate's own types.

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};
use std::sync::atomic::AtomicBool;

use mavlink::dialects::common::*;
use mavlink::{MAVLinkV2MessageRaw, MavHeader, MavlinkReader};

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

/// A service on a line, which ends with the value.
struct Served {
    fake: Arc<Fake>,
    stop: Arc<AtomicBool>,
    running: Option<Running>,
}

impl Served {
    fn start(link: &str) -> Self {
        let (fake, stop) = (Fake::new(), Arc::new(AtomicBool::new(false)));
        let options = Options { system: Some(1), ..Options::default() };
        let camera = Arc::clone(&fake) as Arc<dyn Camera>;
        let running = Some(run(link.parse().unwrap(), options, camera, Arc::clone(&stop)).unwrap());
        Served { fake, stop, running }
    }

    /// A ground station that has been heard.
    fn station(&self, system: u32) -> Station {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(self.running.as_ref().unwrap().address().unwrap()).unwrap();
        let mut station = Station::new(socket, system);
        station.greet();
        station.wait(heartbeat);
        station
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.running.take().unwrap().join();
    }
}

/// A ground station at a UDP socket.
struct Station {
    socket: UdpSocket,
    system: u32,
    sent: u8,
    /// Sequence number of the next packet, once there was one.
    expected: Option<u8>,
}

impl Station {
    fn new(socket: UdpSocket, system: u32) -> Self {
        Station { socket, system, sent: 0, expected: None }
    }

    fn greet(&mut self) {
        self.send(&MavMessage::HEARTBEAT(HEARTBEAT_DATA {
            mavtype: MavType::MAV_TYPE_GCS,
            autopilot: MavAutopilot::MAV_AUTOPILOT_INVALID,
            ..HEARTBEAT_DATA::DEFAULT
        }));
    }

    fn send(&mut self, message: &MavMessage) {
        self.socket.send(packet(self.system, self.sent, message).raw_bytes()).unwrap();
        self.sent = self.sent.wrapping_add(1);
    }

    fn tell(&mut self, command: MavCmd, parameters: &[f32]) {
        self.send(&long(command, parameters, 0));
    }

    /// The next packet, if it comes in time. None may be missing.
    fn next(&mut self, patience: Duration) -> Option<MavMessage> {
        self.socket.set_read_timeout(Some(patience.max(Duration::from_millis(1)))).unwrap();
        let mut datagram = [0; 600];
        let n = self.socket.recv(&mut datagram).ok()?;
        assert_eq!(datagram[0], 0xfd, "version 2");
        let (header, message) = MavlinkReader::new(&datagram[..n]).read_any_message::<MavMessage>().unwrap();
        assert_eq!((header.system_id, header.component_id), (1, 100));
        assert_eq!(*self.expected.get_or_insert(header.sequence), header.sequence, "{message:?}");
        self.expected = Some(header.sequence.wrapping_add(1));
        Some(message)
    }

    /// Waits for what `wanted` knows, until it is too late.
    fn wait_until<T>(&mut self, late: Instant, wanted: impl Fn(MavMessage) -> Option<T>) -> Option<T> {
        loop {
            let message = self.next(late.checked_duration_since(Instant::now())?)?;
            if let Some(found) = wanted(message) {
                return Some(found);
            }
        }
    }

    fn wait<T>(&mut self, wanted: impl Fn(MavMessage) -> Option<T>) -> T {
        self.wait_until(Instant::now() + PATIENCE, wanted).expect("what is waited for comes in time")
    }

    /// The result of a command, which is sent again as the standard says when no answer comes.
    fn result(&mut self, command: MavCmd, parameters: &[f32]) -> MavResult {
        let result = |message| match message {
            MavMessage::COMMAND_ACK(ack) if ack.command == command => Some(ack.result),
            _ => None,
        };
        let answer = (0..30).find_map(|confirmation| {
            self.send(&long(command, parameters, confirmation));
            self.wait_until(Instant::now() + Duration::from_secs(2), result)
        });
        answer.expect("an answer in time")
    }
}

fn packet(system: u32, sequence: u8, message: &MavMessage) -> MAVLinkV2MessageRaw {
    let mut raw = MAVLinkV2MessageRaw::new();
    raw.serialize_message(MavHeader { system_id: system, component_id: 190, sequence }, message);
    raw
}

fn long(command: MavCmd, first: &[f32], confirmation: u8) -> MavMessage {
    let p = |i: usize| first.get(i).copied().unwrap_or(0.0);
    MavMessage::COMMAND_LONG(COMMAND_LONG_DATA {
        target_system: 1,
        target_component: 100,
        command,
        confirmation,
        param1: p(0),
        param2: p(1),
        param3: p(2),
        param4: p(3),
        param5: p(4),
        param6: p(5),
        param7: p(6),
    })
}

fn heartbeat(message: MavMessage) -> Option<MavType> {
    match message {
        MavMessage::HEARTBEAT(heartbeat) => Some(heartbeat.mavtype),
        _ => None,
    }
}

fn status(message: MavMessage) -> Option<CAMERA_TRACKING_IMAGE_STATUS_DATA> {
    match message {
        MavMessage::CAMERA_TRACKING_IMAGE_STATUS(status) => Some(status),
        _ => None,
    }
}

#[test]
fn a_ground_station_finds_taps_follows_and_stops() {
    let served = Served::start("udp:127.0.0.1:0");
    let mut station = served.station(255);
    assert_eq!(station.wait(heartbeat), MavType::MAV_TYPE_CAMERA);
    station.tell(MavCmd::MAV_CMD_REQUEST_MESSAGE, &[259.0]);
    let information = station.wait(|message| match message {
        MavMessage::CAMERA_INFORMATION(information) => Some(information),
        _ => None,
    });
    assert!(information.flags.contains(CameraCapFlags::CAMERA_CAP_FLAGS_HAS_TRACKING_POINT));
    let accepted = MavResult::MAV_RESULT_ACCEPTED;
    assert_eq!(station.result(MavCmd::MAV_CMD_CAMERA_TRACK_POINT, &[0.5, 0.25]), accepted);
    assert_eq!(served.fake.asked(), [Target::Point { x: 0.5, y: 0.25, radius: 0.0 }]);
    assert_eq!(station.result(MavCmd::MAV_CMD_SET_MESSAGE_INTERVAL, &[275.0, 50_000.0]), accepted);
    for _ in 0..3 {
        assert_eq!(format!("{:?}", station.wait(status)), format!("{:?}", rabbit_status()));
    }
    assert_eq!(station.result(MavCmd::MAV_CMD_CAMERA_TRACK_RECTANGLE, &[0.1, f32::NAN]), MavResult::MAV_RESULT_DENIED);
    assert_eq!(station.result(MavCmd::MAV_CMD_CAMERA_STOP_TRACKING, &[]), accepted);
    let idle = CameraTrackingStatusFlags::CAMERA_TRACKING_STATUS_FLAGS_IDLE;
    station.wait(|message| status(message).filter(|status| status.tracking_status == idle));
    let traffic = *served.fake.traffic.lock().unwrap();
    assert!(traffic.received_bytes > 100 && traffic.sent_bytes > 300, "{traffic:?}");
    assert_eq!((traffic.bad_packets, traffic.peers), (0, 1));
}

#[test]
fn several_ground_stations_are_served_at_once() {
    let served = Served::start("udp:127.0.0.1:0");
    let mut stations: Vec<_> = (250..254).map(|system| served.station(system)).collect();
    for station in &mut stations {
        station.result(MavCmd::MAV_CMD_CAMERA_TRACK_POINT, &[0.5, 0.5]);
    }
    // One asks for the status, all get it; acknowledgements go to who asked. `next` sees that no number is missing.
    stations[0].result(MavCmd::MAV_CMD_SET_MESSAGE_INTERVAL, &[275.0, 50_000.0]);
    for station in &mut stations {
        station.wait(status);
        station.wait(|message| {
            assert!(!matches!(message, MavMessage::COMMAND_ACK(_)), "of another");
            heartbeat(message)
        });
    }
    assert_eq!((served.fake.asked().len(), served.fake.traffic.lock().unwrap().peers), (4, 4));
}

#[test]
fn strangers_and_garbage_disturb_nobody() {
    let served = Served::start("udp:127.0.0.1:0");
    let mut station = served.station(255);
    let address = served.running.as_ref().unwrap().address().unwrap();
    let mut strangers: Vec<_> = (0..100).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    for (i, stranger) in strangers.iter_mut().enumerate() {
        let garbage: Vec<u8> = (0..200).map(|j| [0xfd, 0xfe, i as u8, j as u8][(i + j) % 4]).collect();
        stranger.send_to(&garbage, address).unwrap();
        stranger.send_to(&[], address).unwrap();
    }
    // Those that speak MAVLink are more than there is room for; who was there first stays.
    let crowd: Vec<_> = (0..40).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    for one in &crowd {
        let greeting = packet(9, 0, &MavMessage::HEARTBEAT(HEARTBEAT_DATA::DEFAULT));
        one.send_to(greeting.raw_bytes(), address).unwrap();
    }
    station.expected = None;
    let tapped = station.result(MavCmd::MAV_CMD_CAMERA_TRACK_POINT, &[0.5, 0.5]);
    assert_eq!(tapped, MavResult::MAV_RESULT_ACCEPTED);
    station.wait(heartbeat);
    for stranger in &strangers {
        stranger.set_nonblocking(true).unwrap();
        assert!(stranger.recv(&mut [0; 64]).is_err(), "who does not speak MAVLink is not answered");
    }
    let traffic = *served.fake.traffic.lock().unwrap();
    assert!(traffic.bad_packets > 0 && traffic.peers <= 16, "{traffic:?}");
}

#[test]
fn udpout_speaks_first_and_outlives_its_ground_station() {
    // An address that no other test takes a port of.
    let socket = UdpSocket::bind("127.0.0.3:0").unwrap();
    let address = socket.local_addr().unwrap();
    let served = Served::start(&format!("udpout:{address}"));
    tap_at(&socket);
    assert_eq!(served.fake.asked().len(), 1);
    drop(socket);
    // The camera meets the closed port.
    let sent = served.fake.traffic.lock().unwrap().sent_bytes;
    wait_until(|| served.fake.traffic.lock().unwrap().sent_bytes > sent);
    tap_at(&UdpSocket::bind(address).unwrap());
    assert_eq!(served.fake.asked().len(), 2);
}

/// A ground station that waits at a socket until a camera comes, and taps.
fn tap_at(socket: &UdpSocket) {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let (_, camera) = socket.recv_from(&mut [0; 600]).unwrap();
    let socket = socket.try_clone().unwrap();
    socket.connect(camera).unwrap();
    Station::new(socket, 255).result(MavCmd::MAV_CMD_CAMERA_TRACK_POINT, &[0.5, 0.5]);
}

fn wait_until(done: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < until, "what is waited for does not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Talks over a stream of bytes: waits for a heartbeat, taps among garbage, and waits for the acknowledgement.
fn tap_over(mut stream: impl Read + Write) {
    let wait = |stream: &mut dyn Read, wanted: &dyn Fn(&MavMessage) -> bool| {
        let mut reader = MavlinkReader::new(stream);
        while !wanted(&reader.read_any_message::<MavMessage>().expect("a packet in time").1) {}
    };
    wait(&mut stream, &|message| matches!(message, MavMessage::HEARTBEAT(_)));
    stream.write_all(b"\r\nlogin: \xfe\xfd\xfd").unwrap();
    let mut tap = MAVLinkV2MessageRaw::new();
    let header = MavHeader { system_id: 255, component_id: 190, sequence: 0 };
    tap.serialize_message(header, &long(MavCmd::MAV_CMD_CAMERA_TRACK_POINT, &[0.5, 0.5], 0));
    for half in tap.raw_bytes().chunks(20) {
        stream.write_all(half).unwrap();
        stream.flush().unwrap();
    }
    wait(
        &mut stream,
        &|message| matches!(message, MavMessage::COMMAND_ACK(ack) if ack.result == MavResult::MAV_RESULT_ACCEPTED),
    );
}

#[test]
fn a_tcp_connection_that_breaks_is_made_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let served = Served::start(&format!("tcp:{}", listener.local_addr().unwrap()));
    for times in 1..=3 {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        tap_over(&stream);
        assert_eq!(served.fake.asked().len(), times);
    }
}

/// Two serial ports that are connected, as long as the process runs.
fn cable(ends: [&Path; 2]) -> Option<Child> {
    let end = |path: &Path| format!("pty,raw,echo=0,link={}", path.display());
    let socat = Process::new("socat").args(ends.map(end)).stderr(Stdio::null()).spawn().ok()?;
    wait_until(|| ends.iter().all(|path| path.exists()));
    Some(socat)
}

#[test]
fn a_serial_line_that_vanishes_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("camera"), folder.path().join("autopilot"));
    let served = Served::start(&format!("serial:{}:57600", ours.display()));
    for times in 1..=3 {
        let Some(mut socat) = cable([&ours, &theirs]) else {
            let _ = writeln!(std::io::stderr(), "NOT CHECKED: MAVLink over a serial line: socat is not installed");
            return;
        };
        let port = serialport::new(theirs.to_string_lossy(), 57_600).timeout(PATIENCE).open().unwrap();
        tap_over(port);
        assert_eq!(served.fake.asked().len(), times);
        socat.kill().unwrap();
        socat.wait().unwrap();
        for end in [&ours, &theirs] {
            let _ = std::fs::remove_file(end);
        }
    }
}

#[test]
fn an_idle_line_does_not_turn_fast_and_ends_at_once() {
    // Nobody listens there, and nobody else takes the port: each heartbeat comes back as an error.
    let silent = UdpSocket::bind("127.0.0.2:0").unwrap();
    let address = silent.local_addr().unwrap();
    drop(silent);
    for link in ["udp:127.0.0.1:0".into(), format!("udpout:{address}"), "serial:/no/such/device".into()] {
        let served = Served::start(&link);
        let began = Instant::now();
        std::thread::sleep(Duration::from_millis(1500));
        let turns = served.fake.turns.load(Ordering::Relaxed);
        let most = 30 * (1 + began.elapsed().as_secs() as usize);
        assert!(turns <= most, "{link}: {turns} turns");
        let began = Instant::now();
        drop(served);
        assert!(began.elapsed() < Duration::from_secs(20), "{link}");
    }
}

#[test]
fn what_cannot_be_served_is_told_at_once() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let start = |options| run(Link::UdpListen(address), options, Fake::new(), Arc::default());
    let error = start(Options::default()).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen for MAVLink at {address}"));
    let error = start(Options { component: 1, ..Options::default() }).unwrap_err();
    assert!(error.to_string().contains("100 to 105"), "{error}");
}

#[test]
fn version_1_is_answered_in_version_2() {
    let served = Served::start("udp:127.0.0.1:0");
    let mut station = served.station(255);
    let mut raw = mavlink::MAVLinkV1MessageRaw::new();
    let header = MavHeader { system_id: 255, component_id: 190, sequence: 1 };
    raw.serialize_message(header, &long(MavCmd::MAV_CMD_CAMERA_TRACK_POINT, &[0.5, 0.5], 0));
    station.socket.send(raw.raw_bytes()).unwrap();
    station.wait(|message| matches!(message, MavMessage::COMMAND_ACK(_)).then_some(()));
}
