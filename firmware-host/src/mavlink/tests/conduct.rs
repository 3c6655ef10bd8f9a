//! Who is answered, and how.

use mavlink::dialects::common::{CAMERA_INFORMATION_DATA, CameraCapFlags, MavState, MavType};

use super::*;

use MavResult::{
    MAV_RESULT_ACCEPTED as ACCEPTED, MAV_RESULT_DENIED as DENIED, MAV_RESULT_FAILED as FAILED,
    MAV_RESULT_TEMPORARILY_REJECTED as REJECTED, MAV_RESULT_UNSUPPORTED as UNSUPPORTED,
};

fn information(component: &mut Component, now: Instant) -> CAMERA_INFORMATION_DATA {
    match outcome(ask(component, command(REQUEST, &[259.0]), now), REQUEST) {
        (ACCEPTED, Some(Outgoing::Information(information))) => *information,
        other => panic!("{other:?}"),
    }
}

fn heard(component: &mut Component, system: u8, kind: u8, autopilot: u8, now: Instant) {
    let from = Header { system, component: 1, sequence: 0, message: 0 };
    assert!(component.handle(from, Incoming::Heartbeat { kind, autopilot }, now).is_empty());
}

#[test]
fn a_ground_station_finds_a_camera_that_tracks() {
    let (mut component, fake, now) = camera();
    let information = information(&mut component, now + Duration::from_millis(1234));
    assert_eq!(information.time_boot_ms, 1234);
    assert_eq!(&information.vendor_name[..7], b"Cutout\0");
    assert_eq!(&information.model_name[..14], b"Rabbit finder\0");
    assert_eq!((information.resolution_h, information.resolution_v), (1280, 720));
    let tracks =
        CameraCapFlags::CAMERA_CAP_FLAGS_HAS_TRACKING_POINT | CameraCapFlags::CAMERA_CAP_FLAGS_HAS_TRACKING_RECTANGLE;
    assert_eq!(information.flags, tracks);
    assert!(information.focal_length.is_nan() && information.sensor_size_h.is_nan());
    assert_eq!(information.firmware_version & 0xff, env!("CARGO_PKG_VERSION_MAJOR").parse::<u32>().unwrap());
    assert_eq!(information.cam_definition_uri.to_str(), Ok(""));
    *fake.size.lock().unwrap() = None;
    let (mut blind, now) = (component, now);
    assert_eq!(self::information(&mut blind, now).resolution_h, 0);
}

#[test]
fn older_ground_stations_are_answered_the_same() {
    let (mut component, _, now) = camera();
    for (old, id) in [(521, 259.0), (522, 260.0)] {
        let (result, message) = outcome(ask(&mut component, command(old, &[1.0]), now), old);
        let (_, new) = outcome(ask(&mut component, command(REQUEST, &[id]), now), REQUEST);
        // NaN is not equal to itself; the words are.
        assert_eq!((result, format!("{message:?}")), (ACCEPTED, format!("{new:?}")));
        assert!(new.is_some());
        assert_eq!(result_of(&mut component, old, &[0.0], now), ACCEPTED);
        assert_eq!(result_of(&mut component, old, &[2.0], now), DENIED);
    }
}

fn result_of(component: &mut Component, id: u16, parameters: &[f32], now: Instant) -> MavResult {
    result(component, command(id, parameters), now)
}

#[test]
fn a_video_stream_is_told_if_there_is_one() {
    let (mut component, _, now) = camera();
    for request in [command(REQUEST, &[269.0, 1.0]), command(2504, &[1.0]), command(2505, &[1.0])] {
        assert_eq!(result(&mut component, request, now), DENIED);
    }
    assert_eq!(result_of(&mut component, 2502, &[1.0], now), UNSUPPORTED);
    let stream = Some("rtsp://10.0.0.2:8554/cam".parse().unwrap());
    let options = Options { system: Some(1), stream, ..Options::default() };
    let mut component = Component::new(options, Fake::new(), now).unwrap();
    assert!(information(&mut component, now).flags.contains(CameraCapFlags::CAMERA_CAP_FLAGS_HAS_VIDEO_STREAM));
    for request in [command(REQUEST, &[269.0, 0.0]), command(REQUEST, &[269.0, 1.0]), command(2504, &[0.0])] {
        let of = request.command;
        let (ACCEPTED, Some(Outgoing::StreamInformation(told))) = outcome(ask(&mut component, request, now), of) else {
            panic!("no stream")
        };
        assert_eq!(told.uri.to_str(), Ok("rtsp://10.0.0.2:8554/cam"));
        assert_eq!((told.stream_id, told.count, told.resolution_h, told.mavtype as u8), (1, 1, 1280, 0));
    }
    let (ACCEPTED, Some(Outgoing::StreamStatus(status))) =
        outcome(ask(&mut component, command(REQUEST, &[270.0, 1.0]), now), REQUEST)
    else {
        panic!("no status")
    };
    assert_eq!((status.stream_id, status.resolution_v), (1, 720));
    assert_eq!(result_of(&mut component, REQUEST, &[269.0, 2.0], now), DENIED);
    assert_eq!(result_of(&mut component, 2502, &[1.0], now), ACCEPTED);
    assert_eq!(result_of(&mut component, 2503, &[2.0], now), DENIED);
}

#[test]
fn taps_and_rectangles_reach_the_service() {
    let (mut component, fake, now) = camera();
    let point = |x, y, radius| Target::Point { x, y, radius };
    let box_ = Target::Rectangle { x0: 0.1, y0: 0.2, x1: 0.3, y1: 0.4 };
    let cases = [
        (command(POINT, &[0.5, 0.25, 0.1]), point(0.5, 0.25, 0.1)),
        (command(POINT, &[0.0, 1.0, f32::NAN]), point(0.0, 1.0, 0.0)),
        (command(RECTANGLE, &[0.1, 0.2, 0.3, 0.4]), box_),
        // Drawn from another corner.
        (command(RECTANGLE, &[0.3, 0.4, 0.1, 0.2]), box_),
        (command(RECTANGLE, &[0.1, 0.4, 0.3, 0.2, 100.0]), box_),
        (command(POINT, &[0.5, 0.5, 0.0, f32::NAN]), point(0.5, 0.5, 0.0)),
    ];
    for (i, (command, target)) in cases.into_iter().enumerate() {
        assert_eq!(result(&mut component, command, now), ACCEPTED, "{command:?}");
        assert_eq!((fake.asked().len(), fake.asked().last().copied()), (i + 1, Some(target)));
    }
    assert_eq!(result_of(&mut component, STOP, &[], now), ACCEPTED);
    assert_eq!(fake.stops.load(Ordering::Relaxed), 1);
}

#[test]
fn what_is_not_in_the_frame_is_denied_and_changes_nothing() {
    let (mut component, fake, now) = camera();
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let denied: [(u16, &[f32]); 17] = [
        (POINT, &[nan, 0.5]),
        (POINT, &[0.5, nan]),
        (POINT, &[1.01, 0.5]),
        (POINT, &[0.5, -0.01]),
        (POINT, &[inf, 0.5]),
        (POINT, &[0.5, 0.5, -1.0]),
        (POINT, &[0.5, 0.5, 1.5]),
        (POINT, &[0.5, 0.5, 0.1, 101.0]),
        (RECTANGLE, &[nan, 0.2, 0.3, 0.4]),
        (RECTANGLE, &[0.1, 0.2, 0.3, nan]),
        (RECTANGLE, &[0.1, 0.2, 0.3, 1.4]),
        (RECTANGLE, &[-0.1, 0.2, 0.3, 0.4]),
        (RECTANGLE, &[0.1, 0.2, 0.1, 0.4]),
        (RECTANGLE, &[0.1, 0.2, 0.3, 0.2]),
        (RECTANGLE, &[0.1, 0.2, 0.3, 0.4, 3.0]),
        (STOP, &[7.0]),
        (STOP, &[-inf]),
    ];
    for (id, parameters) in denied {
        assert_eq!(result_of(&mut component, id, parameters, now), DENIED, "{id} {parameters:?}");
    }
    assert_eq!((fake.asked(), fake.stops.load(Ordering::Relaxed)), (Vec::new(), 0));
}

#[test]
fn what_the_service_refuses_is_told_as_what_may_help() {
    let (mut component, fake, now) = camera();
    for (refusal, expected) in [(Refusal::NoFrame, REJECTED), (Refusal::Busy, REJECTED), (Refusal::Failed, FAILED)] {
        *fake.refusal.lock().unwrap() = Some(refusal);
        assert_eq!(result_of(&mut component, POINT, &[0.5, 0.5], now), expected);
    }
    // The next try, which says that it is one, is not mistaken for one that succeeded.
    *fake.refusal.lock().unwrap() = None;
    assert_eq!(result(&mut component, Command { confirmation: 3, ..command(POINT, &[0.5, 0.5]) }, now), ACCEPTED);
    assert_eq!(fake.asked().len(), 1);
}

#[test]
fn a_command_whose_acknowledgement_was_lost_is_executed_once() {
    let (mut component, fake, now) = camera();
    let tap = command(POINT, &[0.5, 0.5]);
    assert_eq!(result(&mut component, tap, now), ACCEPTED);
    let again = Command { confirmation: 1, ..tap };
    assert_eq!(result(&mut component, again, now + Duration::from_secs(1)), ACCEPTED);
    assert_eq!(fake.asked().len(), 1);
    // A second tap at the same place is none of that, and neither is one at another, or of another operator.
    assert_eq!(result(&mut component, tap, now + Duration::from_secs(2)), ACCEPTED);
    let elsewhere = Command { confirmation: 1, ..command(POINT, &[0.5, 0.75]) };
    assert_eq!(result(&mut component, elsewhere, now + Duration::from_secs(3)), ACCEPTED);
    component.handle(from((254, 190)), Incoming::Command(Command { confirmation: 1, ..elsewhere }), now);
    assert_eq!(fake.asked().len(), 4);
    // A minute later it is a tap again.
    assert_eq!(result(&mut component, elsewhere, now + Duration::from_secs(60)), ACCEPTED);
    assert_eq!(fake.asked().len(), 5);
}

#[test]
fn only_what_is_for_this_camera_is_executed() {
    let (mut component, fake, now) = camera();
    let to =
        |target_system, target_component| Command { target_system, target_component, ..command(POINT, &[0.5, 0.5]) };
    for (system, component_id, executed) in
        [(1, 100, true), (1, 0, true), (0, 100, true), (0, 0, true), (2, 100, false), (1, 101, false), (1, 1, false)]
    {
        let before = fake.asked().len();
        let answers = ask(&mut component, to(system, component_id), now);
        let expected = usize::from(executed);
        assert_eq!((answers.len(), fake.asked().len() - before), (expected, expected), "{system} {component_id}");
    }
    // What is for all components and none of a camera's, or names another camera, is for others to answer.
    let to_all = |id, parameters: &[f32]| Command { target_component: 0, ..command(id, parameters) };
    for others in
        [to_all(400, &[1.0]), to_all(REQUEST, &[148.0]), to_all(INTERVAL, &[30.0, 1e6]), to_all(STOP, &[101.0])]
    {
        assert_eq!(ask(&mut component, others, now), []);
    }
    assert_eq!(fake.stops.load(Ordering::Relaxed), 0);
    // A camera's command that is wrong is told to be.
    assert_eq!(result(&mut component, to_all(POINT, &[2.0, 0.5]), now), DENIED);
    let own = Header { system: 1, component: 100, sequence: 0, message: 76 };
    assert_eq!(component.handle(own, Incoming::Command(to(1, 100)), now), []);
}

#[test]
fn a_heartbeat_goes_out_each_second() {
    let (mut component, fake, now) = camera();
    let at = |ms| now + Duration::from_millis(ms);
    let Some(Outgoing::Heartbeat(heartbeat)) = component.tick(now).pop() else { panic!("no heartbeat") };
    assert_eq!((heartbeat.mavtype, heartbeat.system_status), (MavType::MAV_TYPE_CAMERA, MavState::MAV_STATE_ACTIVE));
    assert_eq!(component.due(), at(1000));
    let beats: Vec<u64> = (1..=3500).filter(|ms| !component.tick(at(*ms)).is_empty()).collect();
    assert_eq!(beats, [1000, 2000, 3000]);
    // After a pause there is one, and no burst.
    *fake.size.lock().unwrap() = None;
    let late = component.tick(at(60_000));
    let [Outgoing::Heartbeat(heartbeat)] = &late[..] else { panic!("{late:?}") };
    assert_eq!(heartbeat.system_status, MavState::MAV_STATE_STANDBY);
    assert_eq!(component.tick(at(60_001)), []);
}

#[test]
fn the_system_id_is_the_vehicles() {
    let (fake, now) = (Fake::new(), Instant::now());
    let mut component = Component::new(Options::default(), Arc::clone(&fake) as Arc<dyn Camera>, now).unwrap();
    // It listens before it speaks.
    assert_eq!(component.tick(now + Duration::from_secs(2)), []);
    // A ground station, an antenna tracker and another camera are no vehicles.
    heard(&mut component, 255, 6, 8, now);
    heard(&mut component, 9, 5, 3, now);
    heard(&mut component, 3, 30, 8, now);
    heard(&mut component, 0, 2, 3, now);
    assert_eq!(component.ids(), (1, 100));
    // An autopilot of a kind that nobody knows yet is.
    heard(&mut component, 7, 250, 251, now);
    assert_eq!((component.ids(), component.tick(now).len()), ((7, 100), 1));
    heard(&mut component, 8, 2, 3, now);
    assert_eq!(component.ids(), (7, 100));
    assert_eq!(ask(&mut component, command(POINT, &[0.5, 0.5]), now), []);
    let tap = Command { target_system: 7, ..command(POINT, &[0.5, 0.5]) };
    assert_eq!(result(&mut component, tap, now), ACCEPTED);
    // Without a vehicle it is system 1, as on the bench; and one that is given stays.
    let mut alone = Component::new(Options::default(), fake, now).unwrap();
    assert_eq!(alone.tick(now + Duration::from_secs(3)).len(), 1);
    let (mut given, ..) = camera();
    heard(&mut given, 7, 2, 3, now);
    assert_eq!(given.ids(), (1, 100));
}

#[test]
fn impossible_ids_are_refused() {
    let new = |system, component| {
        let options = Options { system, component, ..Options::default() };
        Component::new(options, Fake::new(), Instant::now()).err()
    };
    assert_eq!(new(Some(1), 105), None);
    assert_eq!(new(None, 99), Some(OptionsError::Component(99)));
    assert_eq!(new(Some(1), 106), Some(OptionsError::Component(106)));
    assert_eq!(new(Some(0), 100), Some(OptionsError::System));
}
