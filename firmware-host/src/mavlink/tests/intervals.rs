//! The tracking status, and how often it is sent.

use super::*;

use MavResult::{MAV_RESULT_ACCEPTED as ACCEPTED, MAV_RESULT_DENIED as DENIED};

/// How often it is sent, in microseconds, as the component itself says.
fn told_interval(component: &mut Component, now: Instant) -> i32 {
    for request in [command(REQUEST, &[244.0, 275.0]), command(510, &[275.0])] {
        let of = request.command;
        let (ACCEPTED, Some(Outgoing::Interval(told))) = outcome(ask(component, request, now), of) else {
            panic!("no interval")
        };
        assert_eq!(told.message_id, 275);
        if of == 510 {
            return told.interval_us;
        }
    }
    unreachable!()
}

/// The milliseconds at which a status is sent, of the `ms` that follow.
fn times(component: &mut Component, from: Instant, ms: u64) -> Vec<u64> {
    let sends = |component: &mut Component, at| {
        let is_status = |message: &Outgoing| matches!(message, Outgoing::TrackingStatus(_));
        component.tick(at).iter().filter(|message| is_status(message)).count() == 1
    };
    (0..ms).filter(|at| sends(component, from + Duration::from_millis(*at))).collect()
}

fn set(component: &mut Component, who: (u8, u8), us: f32, now: Instant) -> MavResult {
    let answers = component.handle(from(who), Incoming::Command(command(INTERVAL, &[275.0, us])), now);
    let [Outgoing::Ack(ack)] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!(ack.to, who);
    ack.result
}

fn status(component: &mut Component, now: Instant) -> CAMERA_TRACKING_IMAGE_STATUS_DATA {
    match outcome(ask(component, command(REQUEST, &[275.0]), now), REQUEST) {
        (ACCEPTED, Some(Outgoing::TrackingStatus(status))) => status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_says_where_the_object_is() {
    let (mut component, fake, now) = camera();
    fake.show(RABBIT);
    // NaN is not equal to itself; the words are.
    assert_eq!(format!("{:?}", status(&mut component, now)), format!("{:?}", rabbit_status()));
    fake.show(Tracked::Active { centre: (1.1, -0.1), rectangle: [-0.5, 0.0, 1.5, 1.0], age: Duration::ZERO });
    let clamped = status(&mut component, now);
    assert_eq!((clamped.point_x, clamped.point_y, clamped.rec_top_x, clamped.rec_bottom_x), (1.0, 0.0, 0.0, 1.0));
}

#[test]
fn it_says_that_nothing_is_tracked_or_that_it_is_lost() {
    let (mut component, fake, now) = camera();
    let old = Tracked::Active { centre: (0.5, 0.5), rectangle: [0.5; 4], age: Duration::from_secs(11) };
    let idle = CameraTrackingStatusFlags::CAMERA_TRACKING_STATUS_FLAGS_IDLE;
    let error = CameraTrackingStatusFlags::CAMERA_TRACKING_STATUS_FLAGS_ERROR;
    let nowhere = Tracked::Active { centre: (0.5, f32::NAN), rectangle: [0.5; 4], age: Duration::ZERO };
    for (tracked, expected) in [(Tracked::Idle, idle), (Tracked::Lost, error), (old, error), (nowhere, error)] {
        fake.show(tracked);
        let status = status(&mut component, now);
        assert_eq!(status.tracking_status, expected);
        assert_eq!(status.tracking_mode, CameraTrackingMode::CAMERA_TRACKING_MODE_NONE);
        assert_eq!(status.target_data, CameraTrackingTargetData::empty());
        let places = [status.point_x, status.radius, status.rec_top_x, status.rec_bottom_y];
        assert!(places.iter().all(|place| place.is_nan()), "{status:?}");
    }
}

#[test]
fn it_is_sent_at_the_interval_that_is_asked_for() {
    let (mut component, _, now) = camera();
    assert!(times(&mut component, now, 3000).is_empty());
    assert_eq!(told_interval(&mut component, now), -1);
    assert_eq!(set(&mut component, GCS, 500_000.0, now), ACCEPTED);
    assert_eq!(told_interval(&mut component, now), 500_000);
    assert_eq!(times(&mut component, now, 1700), [0, 500, 1000, 1500]);
    // After a pause there is one, and no burst.
    let later = now + Duration::from_secs(60);
    assert_eq!(times(&mut component, later, 600), [0, 250]);
    for off in [-1.0, 0.0] {
        assert_eq!(set(&mut component, GCS, off, later), ACCEPTED);
        assert_eq!((told_interval(&mut component, later), times(&mut component, later, 3000)), (-1, vec![]));
        assert_eq!(set(&mut component, GCS, 100_000.0, later), ACCEPTED);
        assert_eq!(times(&mut component, later, 250), [0, 100, 200]);
    }
}

#[test]
fn too_short_an_interval_is_made_longer_and_nonsense_denied() {
    let (mut component, _, now) = camera();
    assert_eq!(set(&mut component, GCS, 1.0, now), ACCEPTED);
    assert_eq!(told_interval(&mut component, now), 20_000);
    assert_eq!(times(&mut component, now, 100).len(), 5);
    for us in [f32::NAN, -2.0, f32::INFINITY, f32::NEG_INFINITY, 1e12] {
        assert_eq!(set(&mut component, GCS, us, now), DENIED, "{us}");
    }
    assert_eq!(told_interval(&mut component, now), 20_000);
    assert_eq!(set(&mut component, GCS, i32::MAX as f32, now), ACCEPTED);
    assert_eq!(told_interval(&mut component, now), i32::MAX);
    for id in [0.0, 30.0, 275.5, f32::NAN, -275.0, 1e9] {
        assert_eq!(result(&mut component, command(INTERVAL, &[id, 1e6]), now), DENIED, "{id}");
        assert_eq!(result(&mut component, command(REQUEST, &[id]), now), DENIED, "{id}");
    }
}

#[test]
fn one_ground_station_does_not_stop_what_another_wants() {
    let (mut component, _, now) = camera();
    let (first, second) = (GCS, (254, 190));
    assert_eq!(set(&mut component, first, 1e6, now), ACCEPTED);
    assert_eq!(set(&mut component, second, 200_000.0, now), ACCEPTED);
    assert_eq!(told_interval(&mut component, now), 200_000);
    assert_eq!(set(&mut component, second, -1.0, now), ACCEPTED);
    assert_eq!(told_interval(&mut component, now), 1_000_000);
    assert_eq!(set(&mut component, first, -1.0, now), ACCEPTED);
    assert_eq!(told_interval(&mut component, now), -1);
}

#[test]
fn many_senders_cost_no_memory_and_do_not_push_out_who_listens() {
    let (mut component, fake, now) = camera();
    assert_eq!(set(&mut component, GCS, 1e6, now), ACCEPTED);
    for sender in 0..2000_u16 {
        let [low, high] = sender.to_le_bytes();
        let at = now + Duration::from_millis(sender.into());
        component.handle(from((low, high)), Incoming::Command(command(POINT, &[0.5, 0.5])), at);
    }
    assert_eq!(fake.asked().len(), 2000);
    assert_eq!(told_interval(&mut component, now), 1_000_000);
}
