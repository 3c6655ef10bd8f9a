//! [`Settings`]: how the service is to run, from flags and from a file with the same words.

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::{Deserialize, Deserializer};

use super::logs::{LogArgs, LogForm, LogLevel};
use crate::display::DisplaySpec;
use crate::mavlink::{self, Link};
use crate::source::SourceSpec;
use crate::transport::{Endpoint, Kind};

/// Port of TCP where no way for clients is named.
pub const DEFAULT_PORT: u16 = 7700;
/// Most threads: more are a slip of the keyboard.
const MOST_THREADS: usize = 256;
/// Fewest characters of a token: what can be guessed is none.
const SHORTEST_TOKEN: usize = 16;

/// Flags of `cutout serve`, or the contents of its file. What is not given is empty.
#[derive(Args, Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// A serial port and its speed. May be repeated, as all ways may
    #[arg(long, value_name = "PORT[:BAUD]", help_heading = "Ways for clients")]
    #[serde(deserialize_with = "one_or_many")]
    pub serial: Vec<String>,
    /// An address for TCP; a port alone is for this machine only [default, if no way is given: 7700]
    #[arg(long, value_name = "[HOST:]PORT", help_heading = "Ways for clients")]
    #[serde(deserialize_with = "one_or_many")]
    pub tcp: Vec<String>,
    /// A Unix domain socket
    #[arg(long, value_name = "PATH", help_heading = "Ways for clients")]
    #[serde(deserialize_with = "one_or_many")]
    pub unix: Vec<String>,
    /// An address for UDP, a packet in a datagram
    #[arg(long, value_name = "[HOST:]PORT", help_heading = "Ways for clients")]
    #[serde(deserialize_with = "one_or_many")]
    pub udp: Vec<String>,
    /// An address for WebSockets, a packet in a message
    #[arg(long, value_name = "[HOST:]PORT", help_heading = "Ways for clients")]
    #[serde(deserialize_with = "one_or_many")]
    pub ws: Vec<String>,
    /// A MAVLink link, on which the service is a camera: udp:HOST:PORT, udpout:HOST:PORT, tcp:HOST:PORT, serial:PORT:BAUD
    #[arg(long, value_name = "LINK", help_heading = "Ways for clients")]
    #[serde(deserialize_with = "one_or_many")]
    pub mavlink: Vec<String>,
    /// Which camera it is on MAVLink: the vehicle's system id [default: learned from its autopilot]
    #[arg(long, value_name = "1-255", help_heading = "Ways for clients")]
    pub mavlink_system: Option<u8>,
    /// Its component id [default: 100]
    #[arg(long, value_name = "100-105", help_heading = "Ways for clients")]
    pub mavlink_component: Option<u8>,
    /// Where ground stations find the camera's video, which something else serves: rtsp://HOST/PATH, udp:PORT, mpegts:PORT
    #[arg(long, value_name = "URI", help_heading = "Ways for clients")]
    pub video: Option<String>,
    /// A file whose first line is the token, of 16 to 64 bytes, that clients from other machines have to give; or set CUTOUT_TOKEN
    #[arg(long, value_name = "FILE", help_heading = "Ways for clients")]
    pub token_file: Option<PathBuf>,
    /// Web origins whose pages may connect by WebSocket.
    #[arg(
        long,
        value_name = "ORIGIN",
        help_heading = "Ways for clients",
        help = "A web origin whose pages may connect by WebSocket, such as https://example.org"
    )]
    #[serde(deserialize_with = "one_or_many")]
    pub allow_origin: Vec<String>,
    /// Most clients at once [default: 64]
    #[arg(long, value_name = "N", help_heading = "Ways for clients")]
    pub max_clients: Option<usize>,
    /// Most bytes of an uploaded picture [default: 16777216]
    #[arg(long, value_name = "BYTES", help_heading = "Ways for clients")]
    pub max_upload: Option<u32>,

    /// Where frames come from: camera, camera:DEVICE,SIZE,FPS,FORMAT, a folder, a .y4m or .mjpeg file, or - for such a stream on standard input [default: uploads only]
    #[arg(long, value_name = "SOURCE", help_heading = "Frames")]
    pub source: Option<String>,
    /// When a frame is encoded: 'on-demand', as if nothing is said, or 'always' (the newest, whenever there is time: prompts are quicker)
    #[arg(long, value_name = "WHEN", help_heading = "Frames")]
    pub encode: Option<String>,
    /// Encoded frames that are kept, for prompts about the past [default: 8]
    #[arg(long, value_name = "N", help_heading = "Frames")]
    pub ring: Option<u8>,
    /// Where answers are shown: fb:/dev/fb0, png:FOLDER, or a panel
    #[arg(long, value_name = "DISPLAY", help_heading = "Frames")]
    #[serde(deserialize_with = "one_or_many")]
    pub display: Vec<String>,

    /// Model by name, folder or file, as for `cutout segment` [default: the shipped model]
    #[arg(long, value_name = "NAME|DIR|FILE", help_heading = "Model")]
    pub model: Option<String>,
    /// Longest side of the model's input in pixels, or its height and width
    #[arg(long, value_name = "SIDE|HxW", help_heading = "Model")]
    pub size: Option<String>,
    /// Threads to compute on; 0 for one per core [default: 0]
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub threads: Option<usize>,
    /// What computes, as for `cutout segment`
    #[arg(long, value_name = "NAME", help_heading = "Model")]
    pub operators: Option<String>,
    /// What weights are kept in, as for `cutout segment`
    #[arg(long, value_name = "NAME", help_heading = "Model")]
    pub precision: Option<String>,

    /// An address at which Prometheus finds /metrics, and others /healthz [default: none]
    #[arg(long, value_name = "[HOST:]PORT", help_heading = "Log")]
    pub metrics: Option<String>,
    /// Form of the log on standard error: lines for people, or a JSON object per line [default: text]
    #[arg(long, value_enum, value_name = "FORM", help_heading = "Log")]
    pub log: Option<LogForm>,
    /// How much is logged [default: info]
    #[arg(long, value_enum, value_name = "LEVEL", env = "CUTOUT_LOG", help_heading = "Log")]
    pub log_level: Option<LogLevel>,
}

impl Settings {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, or says what there is not; with its line.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read the settings {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("the settings {} cannot be used", path.display()))
    }

    /// These, and from `file` what these do not say.
    #[must_use]
    pub fn or(self, file: Settings) -> Self {
        fn list<T>(mine: Vec<T>, other: Vec<T>) -> Vec<T> {
            if mine.is_empty() { other } else { mine }
        }
        Settings {
            serial: list(self.serial, file.serial),
            tcp: list(self.tcp, file.tcp),
            unix: list(self.unix, file.unix),
            udp: list(self.udp, file.udp),
            ws: list(self.ws, file.ws),
            mavlink: list(self.mavlink, file.mavlink),
            mavlink_system: self.mavlink_system.or(file.mavlink_system),
            mavlink_component: self.mavlink_component.or(file.mavlink_component),
            video: self.video.or(file.video),
            token_file: self.token_file.or(file.token_file),
            allow_origin: list(self.allow_origin, file.allow_origin),
            max_clients: self.max_clients.or(file.max_clients),
            max_upload: self.max_upload.or(file.max_upload),
            source: self.source.or(file.source),
            encode: self.encode.or(file.encode),
            ring: self.ring.or(file.ring),
            display: list(self.display, file.display),
            model: self.model.or(file.model),
            size: self.size.or(file.size),
            threads: self.threads.or(file.threads),
            operators: self.operators.or(file.operators),
            precision: self.precision.or(file.precision),
            metrics: self.metrics.or(file.metrics),
            log: self.log.or(file.log),
            log_level: self.log_level.or(file.log_level),
        }
    }

    /// How the log is written.
    pub fn logs(&self) -> LogArgs {
        LogArgs { form: self.log.unwrap_or_default(), level: self.log_level.unwrap_or_default() }
    }

    /// What they mean. `token` is that of the environment.
    ///
    /// # Errors
    /// If a value makes no sense, or clients from other machines could come without a token.
    pub fn plan(&self, token: Option<String>) -> Result<Plan> {
        let ways = [
            (Kind::Serial, &self.serial),
            (Kind::Tcp, &self.tcp),
            (Kind::Unix, &self.unix),
            (Kind::Udp, &self.udp),
            (Kind::WebSocket, &self.ws),
        ];
        let mut endpoints = Vec::new();
        for (kind, texts) in ways {
            for text in texts {
                endpoints.push(Endpoint::parse(kind, text)?);
            }
        }
        let links = self.mavlink.iter().map(|text| text.parse()).collect::<Result<Vec<Link>, _>>()?;
        if !links.is_empty() && self.source.is_none() {
            bail!("--mavlink needs a --source of frames: a ground station's tap is about what the camera sees");
        }
        let mavlink = mavlink::Options {
            system: self.mavlink_system,
            component: self.mavlink_component.unwrap_or(100),
            stream: self.video.as_deref().map(str::parse).transpose()?,
            ..mavlink::Options::default()
        };
        if endpoints.is_empty() && links.is_empty() {
            endpoints.push(Endpoint::parse(Kind::Tcp, &DEFAULT_PORT.to_string())?);
        }
        let token = match &self.token_file {
            Some(path) => Some(first_line(path)?),
            None => token.filter(|token| !token.is_empty()),
        };
        if let Some(token) = &token
            && !(SHORTEST_TOKEN..=64).contains(&token.len())
        {
            bail!(
                "the token has {} bytes: take {SHORTEST_TOKEN} to 64, such as `head -c 24 /dev/urandom | base64` gives",
                token.len()
            );
        }
        if token.is_none()
            && let Some(open) = endpoints.iter().find(|endpoint| !endpoint.is_loopback())
        {
            bail!("{open} can be reached from other machines: give --token-file FILE, or bind it to this machine");
        }
        if self.threads.is_some_and(|threads| threads > MOST_THREADS) {
            bail!("--threads is 0, for one per core, to {MOST_THREADS}");
        }
        if self.max_clients == Some(0) {
            bail!("--max-clients 0 lets nobody in: give 1 or more");
        }
        if self.mavlink_system == Some(0) {
            bail!("--mavlink-system is 1 to 255: 0 stands for all systems");
        }
        if let Some(wrong) = self.allow_origin.iter().find(|o| !o.contains("://") && *o != "*" && *o != "null") {
            bail!("--allow-origin {wrong} is no origin: write it as in https://example.org");
        }
        let encode_always = match self.encode.as_deref() {
            None | Some("on-demand") => false,
            Some("always") => true,
            Some(other) => bail!("--encode {other} is not known: 'on-demand' or 'always'"),
        };
        let source = self.source.as_deref().map(str::parse::<SourceSpec>).transpose()?;
        if encode_always && source.is_none() {
            bail!("--encode always needs a --source of frames");
        }
        let ring = self.ring.unwrap_or(8);
        if ring == 0 {
            bail!("--ring 0 keeps no frame to answer about: give 1 or more");
        }
        let metrics = match self.metrics.as_deref().map(|text| Endpoint::parse(Kind::Tcp, text)).transpose()? {
            Some(Endpoint::Tcp(address)) => Some(address),
            _ => None,
        };
        Ok(Plan {
            endpoints,
            links,
            mavlink,
            token,
            origins: self.allow_origin.clone(),
            max_clients: self.max_clients.unwrap_or(64).max(1),
            max_upload: self.max_upload.unwrap_or(16 << 20),
            source,
            encode_always,
            ring,
            displays: self.display.iter().map(|text| text.parse::<DisplaySpec>()).collect::<Result<_, _>>()?,
            metrics,
        })
    }
}

/// One word, or a list of them; a port may be a number.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Word {
        Text(String),
        Number(u64),
    }
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "write a text, a number, or a list of them")]
    enum Words {
        One(Word),
        Many(Vec<Word>),
    }
    let text = |word: Word| match word {
        Word::Text(text) => text,
        Word::Number(number) => number.to_string(),
    };
    Ok(match Words::deserialize(deserializer)? {
        Words::One(word) => vec![text(word)],
        Words::Many(words) => words.into_iter().map(text).collect(),
    })
}

/// What the service is to do, checked.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where clients come.
    pub endpoints: Vec<Endpoint>,
    /// Where it is a MAVLink camera.
    pub links: Vec<Link>,
    /// Which camera it is there.
    pub mavlink: mavlink::Options,
    /// What clients from other machines have to know.
    pub token: Option<String>,
    /// Web origins besides this machine's.
    pub origins: Vec<String>,
    /// Most clients at once.
    pub max_clients: usize,
    /// Most bytes of an upload.
    pub max_upload: u32,
    /// Where frames come from.
    pub source: Option<SourceSpec>,
    /// Whether frames are encoded unasked.
    pub encode_always: bool,
    /// Encoded frames that are kept.
    pub ring: u8,
    /// Where answers are shown.
    pub displays: Vec<DisplaySpec>,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
}

fn first_line(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read the token in {}", path.display()))?;
    let line = text.lines().next().unwrap_or("").trim();
    if line.is_empty() {
        bail!("{} holds no token in its first line", path.display());
    }
    Ok(line.to_owned())
}
