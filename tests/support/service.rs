//! A service in this process, for tests that are its clients.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use cutout::client::{Client, Options};
use cutout::service::Service;
use cutout::service::settings::Settings;
use cutout::transport::{Endpoint, Stop};
use cutout_models::Bundle;
use cutout_runtime::{InputShape, Model, ModelOptions};

use crate::root;

/// The shipped model on so few pixels that a mask takes a millisecond: for tests that are about bytes, not masks.
///
/// # Panics
/// If it cannot be loaded.
pub fn small_model() -> Model {
    let bundle = Bundle::shipped().expect("it is in the program");
    let input = Some(InputShape::of_side(96, bundle.architecture()));
    Model::load(bundle, ModelOptions { input, ..ModelOptions::default() }).expect("it runs here")
}

/// Settings of a service that shows the folder of the sample scene, again and again.
pub fn scene_settings() -> Settings {
    Settings { source: Some(format!("{}@5,loop", root().join("assets").display())), ..Settings::default() }
}

/// Starts a service on a free port of TCP, beside what the settings say.
///
/// # Panics
/// If it cannot be started.
pub fn start(settings: Settings, model: Model) -> Service {
    let tcp = [vec!["127.0.0.1:0".to_owned()], settings.tcp.clone()].concat();
    let plan = Settings { tcp, ..settings }.plan(None).expect("sound settings");
    Service::start(&plan, model, Stop::new().expect("files")).expect("a service")
}

/// Where its first way of TCP is.
///
/// # Panics
/// If it has none.
pub fn tcp_of(service: &Service) -> SocketAddr {
    let tcp = service.endpoints().into_iter().find_map(|endpoint| match endpoint {
        Endpoint::Tcp(address) => Some(address),
        _ => None,
    });
    tcp.expect("a port of TCP")
}

/// A client that is patient, for machines that have much to do.
///
/// # Panics
/// If it is not let in.
pub fn client(endpoint: &Endpoint) -> Client {
    let options = Options { patience: Duration::from_secs(20), ..Options::default() };
    Client::connect(endpoint, options).expect("the service lets it in")
}

/// Sends text and reads lines until one begins with `OK` or `ERR`.
///
/// # Panics
/// If none comes within a minute.
pub fn ask_in_text(stream: &mut TcpStream, line: &str) -> Vec<String> {
    stream.set_read_timeout(Some(Duration::from_secs(1))).expect("a socket");
    stream.write_all(format!("{line}\r\n").as_bytes()).expect("the service listens");
    let (mut bytes, patience) = (Vec::new(), Instant::now() + Duration::from_secs(60));
    loop {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => bytes.push(byte[0]),
            Ok(_) => panic!("the service hung up after {:?}", String::from_utf8_lossy(&bytes)),
            Err(_) if Instant::now() < patience => continue,
            Err(error) => panic!("no answer to {line:?}: {error}"),
        }
        let text = String::from_utf8_lossy(&bytes);
        if text.ends_with("\r\n")
            && text.lines().last().is_some_and(|line| line.starts_with("OK") || line.starts_with("ERR"))
        {
            return text.lines().map(str::to_owned).collect();
        }
    }
}
