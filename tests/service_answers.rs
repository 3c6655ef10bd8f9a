//! A client of the service gets the library's masks, whatever way it comes.

use std::net::TcpStream;
use std::ops::ControlFlow;
use std::sync::OnceLock;
use std::time::Duration;

use cutout::client::{Client, ClientError, Prompt, Tracked, point, rect};
use cutout::service::Service;
use cutout::service::settings::Settings;
use cutout::transport::Endpoint;
use cutout_protocol::{AnswerFlags, ErrorCode, Format, ItemSet, Options, wire_size};
use cutout_runtime::{BBox, CocoRle, Mask, PredictOptions, Predictor, Run, Size};
use cutout_tests::service::{ask_in_text, client, scene_settings, small_model, start, tcp_of};
use cutout_tests::{scene_objects, scene_path, scene_photo, shipped_model};

const ALL: ItemSet = ItemSet(
    ItemSet::BBOX.0 | ItemSet::CENTROID.0 | ItemSet::AREA.0 | ItemSet::CONTOUR.0 | ItemSet::RLE.0 | ItemSet::COCO_RLE.0,
);

/// What the library says to the box around the first object.
fn expected() -> &'static (BBox, Mask) {
    static EXPECTED: OnceLock<(BBox, Mask)> = OnceLock::new();
    EXPECTED.get_or_init(|| {
        let bbox = scene_objects()[0].bbox;
        let mut predictor = Predictor::new(shipped_model());
        predictor.set_image(&scene_photo().view()).unwrap();
        let prompt = cutout_runtime::Prompt::new().with_box(bbox);
        let answer = predictor.predict(&prompt, &PredictOptions::default()).unwrap();
        (bbox, answer.best().mask.clone())
    })
}

fn asked(wanted: ItemSet) -> Prompt {
    let BBox { x0, y0, x1, y1 } = expected().0;
    Prompt { bbox: Some(rect(x0, y0, x1, y1)), wanted, ..Prompt::default() }
}

/// The mask that an answer's runs make.
fn mask_of(answer: &cutout::client::Answer) -> Mask {
    let spans = answer.mask().unwrap();
    let size = Size::new(spans.width() as usize, spans.height() as usize);
    let runs = spans.map(|span| span.map(|s| Run { y: s.y, x: s.x, len: s.len }).unwrap()).collect();
    Mask::from_runs(size, runs).unwrap()
}

fn checked(client: &mut Client) {
    let (_, mask) = expected();
    let answer = client.prompt(&asked(ALL)).unwrap();
    assert_eq!((answer.included, answer.cut), (ALL, ItemSet::default()));
    assert_eq!(mask_of(&answer), *mask);
    assert_eq!(answer.coco_rle(), Some(CocoRle::encode(mask).counts.as_str()));
    assert_eq!(answer.area().map(u64::from), Some(mask.area()));
    let bbox = answer.bbox().unwrap();
    assert_eq!(mask.bbox(), Some((bbox.x.into(), bbox.y.into(), bbox.width.into(), bbox.height.into())));
}

fn service() -> (Service, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let unix = folder.path().join("cutout.sock").display().to_string();
    let local = || vec!["127.0.0.1:0".to_owned()];
    let settings = Settings { unix: vec![unix], udp: local(), ws: local(), ..scene_settings() };
    (start(settings, shipped_model()), folder)
}

#[test]
fn over_every_way_the_mask_is_the_librarys() {
    let (service, _folder) = service();
    let endpoints = service.endpoints();
    assert_eq!(endpoints.len(), 4);
    for endpoint in &endpoints {
        checked(&mut client(endpoint));
    }
    service.stop();
}

#[test]
fn a_picture_that_is_uploaded_is_answered_as_the_librarys() {
    let service = start(Settings::default(), shipped_model());
    let mut client = client(&Endpoint::Tcp(tcp_of(&service)));
    let refused = client.prompt(&asked(ALL)).unwrap_err();
    assert!(matches!(&refused, ClientError::Refused(why) if why.code == ErrorCode::NoFrame), "{refused}");
    let file = std::fs::read(scene_path()).unwrap();
    let mut told = 0;
    let frame = client.upload(&file, (0, 0), Format::Picture, |bytes| told = bytes).unwrap();
    assert_eq!((frame, told as usize), (1, file.len()));
    checked(&mut client);
    // The same as pixels.
    let photo = scene_photo();
    let size = (photo.size().width as u16, photo.size().height as u16);
    client.upload(photo.pixels(), size, Format::Rgb8, |_| {}).unwrap();
    checked(&mut client);
}

#[test]
fn budgets_deadlines_and_the_past_are_kept() {
    let (service, _folder) = service();
    let mut client = client(&Endpoint::Tcp(tcp_of(&service)));
    let frame = client.capture(Duration::from_secs(60), None).unwrap();
    let size = scene_photo().size();
    assert_eq!((frame.width as usize, frame.height as usize, frame.encoded), (size.width, size.height, 1));
    for budget in [100u32, 240, 600, 2000] {
        let answer = client.prompt(&Prompt { budget, ..asked(ALL) }).unwrap();
        assert!(answer.received <= u64::from(budget), "{} bytes of {budget}", answer.received);
        assert_eq!(answer.included.0 | answer.cut.0, ALL.0);
    }
    let refused = client.prompt(&Prompt { budget: 20, ..asked(ALL) }).unwrap_err();
    assert!(matches!(&refused, ClientError::Refused(why) if why.code == ErrorCode::TooLarge), "{refused}");
    // Frames come five times a second: soon the first one is not among the newest, but it was encoded.
    while client.status().unwrap().newest < frame.frame + 4 {
        std::thread::sleep(Duration::from_millis(50));
    }
    let answer = client.prompt(&Prompt { frame: frame.frame, ..asked(ALL) }).unwrap();
    assert_eq!(answer.frame, frame.frame);
    assert!(!answer.flags.contains(AnswerFlags::ENCODED));
    // No model answers within a millisecond, and this one says so at once.
    let late = client.prompt(&Prompt { deadline_ms: 1, ..asked(ALL) }).unwrap_err();
    let ClientError::Refused(why) = late else { panic!("{late}") };
    assert_eq!(why.code, ErrorCode::Deadline);
    assert!(why.detail > 1, "it says how long it would take");
}

#[test]
fn answers_are_refined_zoomed_and_chosen_as_asked() {
    let (service, _folder) = service();
    let mut client = client(&Endpoint::Tcp(tcp_of(&service)));
    let frame = client.capture(Duration::from_secs(60), None).unwrap().frame;
    let at = scene_objects()[0].point;
    let mut prompt = Prompt { frame, wanted: ALL, ..Prompt::default() };
    prompt.points.extend([point(at.x, at.y, true)]);
    let first = client.prompt(&prompt).unwrap();
    let refined = client.prompt(&Prompt { refine: first.request, ..prompt.clone() }).unwrap();
    let mut predictor = Predictor::new(shipped_model());
    predictor.set_image(&scene_photo().view()).unwrap();
    let point = cutout_runtime::Prompt::new().with_point(at.x, at.y, true);
    let three = predictor.predict(&point, &PredictOptions { multimask: true }).unwrap();
    assert_eq!(mask_of(&first), three.best().mask);
    let again = point.clone().with_mask(three.best().low_res_logits.clone());
    let expected = predictor.predict(&again, &PredictOptions::default()).unwrap();
    assert_eq!(mask_of(&refined), expected.best().mask);
    let one = client.prompt(&Prompt { options: Options::ONE_MASK, ..prompt.clone() }).unwrap();
    assert_eq!(mask_of(&one), predictor.predict(&point, &PredictOptions::default()).unwrap().best().mask);
    let zoomed = client.prompt(&Prompt { options: Options::ZOOM, ..asked(ALL) }).unwrap();
    assert!(zoomed.flags.contains(AnswerFlags::ZOOMED));
    let picture = client.picture(frame, 320, 80).unwrap();
    let photo = cutout::photo::Photo::decode(picture.picture().unwrap()).unwrap();
    assert_eq!(photo.size(), Size::new(320, 213));
}

#[test]
fn an_object_is_followed_until_the_client_has_seen_enough() {
    let service = start(scene_settings(), shipped_model());
    let mut client = client(&Endpoint::Tcp(tcp_of(&service)));
    let mut frames = Vec::new();
    client
        .track(&asked(ItemSet::RLE), Duration::ZERO, |event| {
            if let Tracked::Answer(answer) = event {
                assert!(!answer.flags.contains(AnswerFlags::TRACK_LOST));
                assert_eq!(answer.sequence as usize, frames.len() + 1);
                // The picture stands still, and so does the mask.
                assert!(mask_of(answer).iou(&expected().1).unwrap() > 0.9);
                frames.push(answer.frame);
            }
            if frames.len() < 4 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .unwrap();
    assert!(frames.is_sorted_by(|a, b| a < b), "{frames:?}");
    // It is over: nothing comes but what is asked for.
    client.ping().unwrap();
    assert_eq!(client.status().unwrap().queue, 0);
}

#[test]
fn a_terminal_needs_no_client() {
    let service = start(scene_settings(), shipped_model());
    let mut stream = TcpStream::connect(tcp_of(&service)).unwrap();
    let (bbox, mask) = expected();
    let BBox { x0, y0, x1, y1 } = bbox;
    assert_eq!(ask_in_text(&mut stream, &format!("b {x0} {y0} {x1} {y1}")), ["OK"]);
    let answer = ask_in_text(&mut stream, "GO");
    let (x, y, w, h) = mask.bbox().unwrap();
    assert!(answer[0].contains(&format!(" bbox={x},{y},{w},{h} ")), "{answer:?}");
    assert!(answer[0].contains(&format!(" area={} ", mask.area())), "{answer:?}");
    let drawn = ask_in_text(&mut stream, "SHOW");
    let (lines, columns) = (drawn.len() - 1, drawn[0].len());
    assert_eq!((lines, columns), (21, 64));
    let (middle, size) = (mask.centroid().unwrap(), mask.size());
    let column = (middle.x * 64.0) as usize / size.width;
    let row = (middle.y * 21.0) as usize / size.height;
    assert_eq!(drawn[row].as_bytes()[column], b'#', "{drawn:#?}");
    assert!(ask_in_text(&mut stream, "P 5000 10").starts_with(&["OK".to_owned()]));
    assert!(ask_in_text(&mut stream, "GO")[0].starts_with("ERR BAD_PROMPT"));
}

#[test]
fn clients_of_other_machines_are_asked_for_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "correct horse battery\n").unwrap();
    let settings = Settings { token_file: Some(token), tcp: vec!["0.0.0.0:0".into()], ..Settings::default() };
    let service = start(settings, small_model());
    // Who comes over loopback is trusted, also at an address for all.
    for endpoint in service.endpoints() {
        let Endpoint::Tcp(mut address) = endpoint else { panic!() };
        address.set_ip([127, 0, 0, 1].into());
        assert!(client(&Endpoint::Tcp(address)).ping().is_ok());
    }
    let Some(outside) = an_address_of_this_machine() else {
        return cutout_tests::not_checked("a client from another machine (there is no network here)");
    };
    let Endpoint::Tcp(address) = service.endpoints()[1] else { panic!() };
    let endpoint = Endpoint::Tcp((outside, address.port()).into());
    let connect =
        |token: &str| Client::connect(&endpoint, cutout::client::Options { token: token.into(), ..Default::default() });
    let refused = connect("wrong horse").err().unwrap();
    assert!(matches!(&refused, ClientError::Refused(why) if why.code == ErrorCode::Unauthorized), "{refused}");
    assert!(connect("correct horse battery").unwrap().ping().is_ok());
}

/// One that is not loopback; found by asking the system how it would reach another one. Nothing is sent.
fn an_address_of_this_machine() -> Option<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

#[test]
fn the_least_answer_has_its_size() {
    // Clients that plan their cable's time by it rely on this number.
    assert_eq!(wire_size(cutout_protocol::message::Result::MIN_SIZE), 71);
}
