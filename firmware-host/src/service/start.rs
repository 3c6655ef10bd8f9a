//! [`Service`]: the parts put together, started and stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cutout_runtime::{Model, Predictor, Size};

use super::camera::Camera;
use super::display::Displays;
use super::engine::{Engine, Show};
use super::frames::Keep;
use super::hub::{Hub, Rules};
use super::memory::Memories;
use super::metrics::{self, Metrics};
use super::readiness::Heart;
use super::settings::Plan;
use super::{Facts, Shared, connection, convert};
use crate::board::Board;
use crate::display::{self, DisplayError};
use crate::mavlink;
use crate::source::{self, ImageSource, SourceError};
use crate::transport::{self, Endpoint, Listener, Options, Stop, TransportError};

/// Size of the frames for which the networks are built before any is there.
const USUAL: Size = Size::new(640, 480);
/// How long the start waits for a source's first frame.
const FIRST_FRAME: Duration = Duration::from_secs(2);
/// How often the board is asked how it is.
const SAMPLING: Duration = Duration::from_secs(5);
/// Clients that are remembered while they are not connected.
const REMEMBERED: usize = 64;

/// Why there is no service.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// No client could come that way.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// There is no such source.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// There is no such display.
    #[error(transparent)]
    Display(#[from] DisplayError),
    /// The address of the metrics is taken, or is none.
    #[error(transparent)]
    Metrics(#[from] metrics::EndpointError),
    /// A MAVLink line cannot be served.
    #[error(transparent)]
    Mavlink(#[from] mavlink::RunError),
    /// The model cannot be run.
    #[error(transparent)]
    Model(#[from] cutout_runtime::Error),
    /// The system gives no more threads or files.
    #[error("the system does not give what the service needs: {0}")]
    System(#[from] std::io::Error),
}

/// A service that runs, in threads of its own.
pub struct Service {
    shared: Arc<Shared>,
    stop: Stop,
    heart: Arc<Heart>,
    listeners: Vec<Listener>,
    links: Vec<mavlink::Running>,
    threads: Vec<JoinHandle<()>>,
    displays: Option<Displays>,
    metrics: Option<metrics::Endpoint>,
}

impl Service {
    /// Starts everything that a plan asks for. When it returns, clients can come and are answered at full speed.
    ///
    /// # Errors
    /// If a part cannot be had; nothing runs then.
    pub fn start(plan: &Plan, model: Model, stop: Stop) -> Result<Self, ServiceError> {
        let mut source = plan.source.as_ref().map(source::open).transpose()?;
        let screens = plan.displays.iter().map(display::open).collect::<Result<Vec<_>, _>>()?;
        let facts = facts(plan, &model)?;
        let info = metrics::Info {
            version: env!("CARGO_PKG_VERSION").into(),
            model: facts.model.clone(),
            precision: facts.precision.name().to_lowercase(),
        };
        let metrics = Arc::new(Metrics::new(info));
        let ring = usize::from(plan.ring);
        let hub = Arc::new(Hub::new(
            Rules {
                keep: Keep { encoded: ring, recent: 2, uploads: 2 },
                encode_always: plan.encode_always,
                waiting: 8,
                tracks: 4,
                has_source: source.is_some(),
            },
            metrics.clone(),
        ));
        let shared = Arc::new(Shared {
            hub: hub.clone(),
            metrics: metrics.clone(),
            facts,
            token: plan.token.as_ref().map(|token| token.clone().into_bytes()),
            most_clients: plan.max_clients,
            started: Instant::now(),
            stop: stop.clone(),
            memories: Memories::new(REMEMBERED + plan.max_clients),
            next_client: AtomicU64::new(0),
            clients: AtomicUsize::new(0),
        });

        let size = source.as_deref_mut().map(|source| first_frame(source, &hub)).transpose()?.flatten();
        let displays = (!screens.is_empty()).then(|| Displays::start(screens, &shared.facts.model)).transpose()?;
        let show = displays.as_ref().map(|displays| Box::new(displays.door()) as Show);
        let mut engine = Engine::new(hub.clone(), Predictor::new(model), show);
        engine.warm_up(size.unwrap_or(USUAL))?;

        let heart = Heart::new();
        let mut service = Service {
            shared: shared.clone(),
            stop,
            heart: heart.clone(),
            listeners: Vec::new(),
            links: Vec::new(),
            threads: Vec::new(),
            displays,
            metrics: None,
        };
        let pulse = heart.pulse("the engine", Duration::MAX);
        service.spawn("engine", move || engine.run(&pulse))?;
        let watched = hub.clone();
        service.spawn("deadlines", move || watched.watch_deadlines())?;
        if let Some(source) = source {
            let (hub, stop) = (hub.clone(), service.stop.clone());
            service.spawn("source", move || give_frames(source, &hub, &stop))?;
        }
        let (sampled, stop) = (metrics.clone(), service.stop.clone());
        service.spawn("board", move || sample(&sampled, &stop))?;
        if let Some(address) = plan.metrics {
            let heart = heart.clone();
            service.metrics = Some(metrics::Endpoint::start(address, metrics, move || heart.check())?);
        }
        let options = Options { max_clients: plan.max_clients, origins: plan.origins.clone(), ..Options::default() };
        for endpoint in &plan.endpoints {
            let shared = shared.clone();
            let accept = move |client| connection::serve(client, &shared);
            service.listeners.push(transport::listen(endpoint, &options, service.stop.clone(), accept)?);
        }
        for link in &plan.links {
            let camera = Arc::new(Camera::new(shared.clone()));
            let running = mavlink::run(link.clone(), plan.mavlink.clone(), camera, service.stop.flag())?;
            service.links.push(running);
        }
        Ok(service)
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        self.threads.push(thread::Builder::new().name(name.into()).spawn(work)?);
        Ok(())
    }

    /// Where clients come, with the ports that the system chose.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.listeners.iter().map(|listener| listener.local().clone()).collect()
    }

    /// Where MAVLink is waited for, with the ports that the system chose.
    pub fn mavlink_addresses(&self) -> Vec<std::net::SocketAddr> {
        self.links.iter().filter_map(mavlink::Running::address).collect()
    }

    /// Where metrics are served.
    pub fn metrics_address(&self) -> Option<std::net::SocketAddr> {
        self.metrics.as_ref().map(metrics::Endpoint::address)
    }

    /// Whether its parts live.
    pub fn heart(&self) -> &Arc<Heart> {
        &self.heart
    }

    /// Ends it: clients are told that their requests are cancelled, and all threads end.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.set();
        self.shared.hub.stop();
        if let Some(displays) = self.displays.take() {
            displays.stop();
        }
        for thread in self.threads.drain(..) {
            // What it panicked with is in the log.
            let _ = thread.join();
        }
        self.links.drain(..).for_each(mavlink::Running::join);
        self.listeners.drain(..).for_each(Listener::join);
    }
}

fn facts(plan: &Plan, model: &Model) -> cutout_runtime::Result<Facts> {
    let bundle = model.bundle();
    let input = model.input_shape().largest();
    let side = |pixels: usize| u16::try_from(pixels).unwrap_or(u16::MAX);
    let mut sha256 = [0; 32];
    for (byte, pair) in sha256.iter_mut().zip(bundle.weights_sha256().as_bytes().chunks_exact(2)) {
        *byte = std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()).unwrap_or(0);
    }
    Ok(Facts {
        model: model.id().to_owned(),
        sha256,
        precision: convert::precision(model.encoder_precision(model.input_for(USUAL))?),
        input: (side(input.width), side(input.height)),
        has_source: plan.source.is_some(),
        max_upload: plan.max_upload,
        ring: plan.ring,
    })
}

/// Waits for a source's first frame, so that the networks are built for its size.
fn first_frame(source: &mut dyn ImageSource, hub: &Hub) -> Result<Option<Size>, SourceError> {
    tracing::info!("frames come from {}", source.describe());
    let Some(frame) = source.next(FIRST_FRAME)? else {
        tracing::warn!("no frame has come yet from {}", source.describe());
        return Ok(None);
    };
    let size = frame.pixels.clone().develop().ok().map(|raster| raster.size());
    hub.offer(frame.pixels, frame.taken);
    Ok(size)
}

fn give_frames(mut source: Box<dyn ImageSource>, hub: &Hub, stop: &Stop) {
    let mut skipped = 0;
    while !stop.is_set() {
        match source.next(Duration::from_millis(200)) {
            Ok(Some(frame)) => hub.offer(frame.pixels, frame.taken),
            Ok(None) if source.finished() => {
                tracing::info!("{} has no more frames; the last ones stay", source.describe());
                return hub.source_ended();
            }
            Ok(None) => {}
            Err(fault) => {
                tracing::error!("no more frames: {fault}");
                return hub.source_ended();
            }
        }
        if source.skipped() > skipped {
            skipped = source.skipped();
            tracing::debug!(skipped, "frames could not be used");
        }
    }
}

fn sample(metrics: &Metrics, stop: &Stop) {
    loop {
        let board = Board::read();
        metrics.resident_bytes.set(board.resident_kib.map(|kib| kib as f64 * 1024.0));
        metrics.temperature.set(board.temperature_c);
        metrics.throttled.set(board.held_back.map(|held| f64::from(u8::from(held))));
        if stop.wait(SAMPLING) {
            return;
        }
    }
}
