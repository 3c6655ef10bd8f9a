//! Over a serial cable: at its speed, after it was pulled out, and at another speed.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use cutout::client::{Client, Options, Prompt, point};
use cutout::service::settings::Settings;
use cutout::transport::Endpoint;
use cutout_protocol::ItemSet;
use cutout_tests::serial::SerialLine;
use cutout_tests::service::{client, scene_settings, small_model, start};

fn asked(wanted: ItemSet) -> Prompt {
    let mut prompt = Prompt { wanted, ..Prompt::default() };
    prompt.points.extend([point(680.0, 200.0, true)]);
    prompt
}

fn port(path: &Path, baud: u32) -> Endpoint {
    Endpoint::Serial { path: path.into(), baud, rts_cts: false }
}

fn settings(path: &Path, baud: u32) -> Settings {
    Settings { serial: vec![format!("{}:{baud}", path.display())], ..scene_settings() }
}

#[test]
fn a_cable_carries_answers_at_its_speed_and_at_another() {
    let line = SerialLine::new(921_600);
    let service = start(settings(line.service(), 115_200), small_model());
    let mut client = client(&port(line.client(), 115_200));
    let answer = client.prompt(&asked(ItemSet::BBOX | ItemSet::RLE)).unwrap();
    assert!(answer.area().is_none() && answer.mask().unwrap().count() > 0);
    // The emulated cable carries any speed; that both sides change theirs is what is shown.
    client.set_baud(921_600).unwrap();
    assert_eq!(client.prompt(&asked(ItemSet::BBOX)).unwrap().bbox(), answer.bbox());
    client.set_baud(115_200).unwrap();
    client.ping().unwrap();
    drop(client);
    service.stop();
}

#[test]
fn a_cable_that_is_pulled_out_and_plugged_in_again_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    // As udev does: the name stays, the device behind it changes.
    let (service_port, client_port) = (folder.path().join("service"), folder.path().join("client"));
    let plug = |line: &SerialLine| {
        for (name, device) in [(&service_port, line.service()), (&client_port, line.client())] {
            let _ = std::fs::remove_file(name);
            symlink(device, name).unwrap();
        }
    };
    let mut line = SerialLine::new(115_200);
    plug(&line);
    let service = start(settings(&service_port, 115_200), small_model());
    for round in 0..3 {
        let mut client = connected(&port(&client_port, 115_200));
        client.prompt(&asked(ItemSet::BBOX)).unwrap();
        // A picture takes seconds over this cable: it is on its way when the cable goes.
        let asking = std::thread::spawn(move || client.picture(0, 320, 60));
        std::thread::sleep(Duration::from_millis(200));
        drop(line);
        line = SerialLine::new(115_200);
        plug(&line);
        // The client finds the cable again by itself, and asks for what it lacks.
        let answer = asking.join().unwrap().unwrap_or_else(|e| panic!("round {round}: {e}"));
        let photo = cutout::photo::Photo::decode(answer.picture().unwrap()).unwrap();
        assert_eq!(photo.size().width, 320);
    }
    connected(&port(&client_port, 115_200)).prompt(&asked(ItemSet::BBOX)).unwrap();
    service.stop();
}

/// The service needs a moment to find the port again.
fn connected(endpoint: &Endpoint) -> Client {
    let patience = Instant::now() + Duration::from_secs(60);
    loop {
        let options = Options { patience: Duration::from_secs(20), ..Options::default() };
        match Client::connect(endpoint, options) {
            Ok(client) => return client,
            Err(error) => assert!(Instant::now() < patience, "{error}"),
        }
    }
}
