//! `cutout serve`: the device service.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use cutout_runtime::{Model, ModelOptions};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::values::parse_size;
use crate::model_source::load_bundle;
use crate::service::Service;
use crate::service::logs;
use crate::service::readiness::Readiness;
use crate::service::settings::{Plan, Settings};
use crate::transport::Stop;

const MORE: &str = "\
Ways to start it:
  cutout serve                                              clients on this machine, TCP port 7700, frames by upload
  cutout serve --source camera --tcp 7700                   what the camera sees
  cutout serve --source camera --serial /dev/ttyUSB0:921600 a microcontroller on a cable
  cutout serve --source camera --mavlink udp:0.0.0.0:14550  a ground station's tap on the video segments
  cutout serve --config /etc/cutout.toml                    as the file says, which has the words of the flags

Ways to ask it:
  cutout prompt --tcp 127.0.0.1:7700 --point 320,240        from a shell; see `cutout prompt --help`
  printf 'P 320 240\\nSHOW\\n' | nc -q 3 127.0.0.1 7700       from a bare terminal: lines of text; HELP lists them
  docs/protocol.md                                          packets, with clients in Rust, C and Python

In a settings file the words are those of the flags, a list for what may be repeated:
  source = \"camera:/dev/video0,1280x720,30\"
  serial = [\"/dev/ttyAMA0:921600\"]
  tcp = [\"7700\", \"0.0.0.0:7701\"]
  token-file = \"/etc/cutout.token\"
A flag goes before the file.

A frame is encoded when the first prompt about it comes, or, with --encode always, whenever there is time for the newest one. The last
--ring encoded frames can be asked about by their numbers, as what an operator saw and clicked on.

Only clients of this machine are let in, unless an address of another is given; then --token-file is needed. It ends on SIGTERM or Ctrl-C,
tells systemd when it is ready and that it lives (docs/cutout.service), and logs to standard error.";

/// Answer prompts over serial lines, sockets and MAVLink
///
/// Takes frames from a camera, from files or from clients, and answers points and boxes with masks: as many bytes as the line has room for, within
/// the time that a request allows.
#[derive(Args, Debug)]
#[command(after_long_help = MORE)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    settings: Settings,
    /// A file with settings (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(crate) fn run(args: &ServeArgs) -> Result<ExitCode> {
    let (settings, plan) = match understood(args) {
        Ok(understood) => understood,
        Err(error) => {
            // As with what clap does not understand.
            writeln!(std::io::stderr(), "error: {error:#}")?;
            return Ok(ExitCode::from(2));
        }
    };
    let secrets: Vec<&str> = plan.token.as_deref().into_iter().collect();
    logs::start(settings.logs(), &secrets);
    let readiness = Readiness::new();

    let model = Model::load(load_bundle(settings.model.as_deref())?, options(&settings)?)?;
    let stop = Stop::new().context("the system gives no more files")?;
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT]).context("cannot wait for signals")?;
    let (handle, on_signal) = (signals.handle(), stop.clone());
    let waiting = std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            if on_signal.is_set() {
                // Asked twice: no more waiting for clients.
                std::process::exit(128 + signal);
            }
            tracing::info!("stopping, on signal {signal}");
            on_signal.set();
        }
    })?;

    let service = Service::start(&plan, model, stop.clone())?;
    for endpoint in service.endpoints() {
        tracing::info!("clients come by {endpoint}");
    }
    for link in &plan.links {
        tracing::info!(
            "a MAVLink camera on {link}; MAVLink knows no token: whoever reaches it may have things followed"
        );
    }
    if let Some(address) = service.metrics_address() {
        tracing::info!("metrics are at http://{address}/metrics");
        if !address.ip().is_loopback() {
            tracing::warn!("metrics ask nobody for a token: other machines can read them at {address}");
        }
    }
    let links = service.mavlink_addresses().into_iter().map(|address| format!("mavlink:udp:{address}"));
    let ways: Vec<String> = service.endpoints().iter().map(ToString::to_string).chain(links).collect();
    // For scripts that wait for it, and want to know the port that the system chose.
    writeln!(std::io::stdout(), "ready {}", ways.join(" "))?;
    readiness.ready(&format!("serving {}", ways.join(", ")));
    let watchdog = readiness.watch(service.heart());
    let well = loop {
        if stop.wait(Duration::from_secs(1)) {
            break true;
        }
        if let Err(fault) = service.heart().check() {
            tracing::error!("{fault}: stopping, to be started anew");
            break false;
        }
    };
    readiness.stopping();
    drop(watchdog);
    service.stop();
    handle.close();
    let _ = waiting.join();
    tracing::info!("stopped");
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What flags and file say.
fn understood(args: &ServeArgs) -> Result<(Settings, Plan)> {
    let file = args.config.as_deref().map(Settings::read).transpose()?.unwrap_or_default();
    let settings = args.settings.clone().or(file);
    let plan = settings.plan(std::env::var("CUTOUT_TOKEN").ok())?;
    Ok((settings, plan))
}

/// How the model is loaded, from words that the flags of other commands take as well.
fn options(settings: &Settings) -> Result<ModelOptions> {
    let mut options = ModelOptions { threads: settings.threads.unwrap_or(0), ..ModelOptions::default() };
    if let Some(name) = &settings.operators {
        options.operators = name.parse().map_err(anyhow::Error::msg).context("--operators")?;
    }
    if let Some(name) = &settings.precision {
        options.precision = name.parse().map_err(anyhow::Error::msg).context("--precision")?;
    }
    if let Some(text) = &settings.size {
        let size = parse_size(text).map_err(anyhow::Error::msg).context("--size")?;
        let bundle = load_bundle(settings.model.as_deref())?;
        options.input = Some(size.shape(bundle.architecture()));
    }
    Ok(options)
}
