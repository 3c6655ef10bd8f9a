//! [`Stream`]: where a ground station finds the camera's video.

use std::str::FromStr;

use mavlink::dialects::common::{
    VIDEO_STREAM_INFORMATION_DATA, VIDEO_STREAM_STATUS_DATA, VideoStreamEncoding, VideoStreamStatusFlags,
    VideoStreamType,
};
use mavlink::types::CharArray;

use super::message::padded;

/// Most bytes of an address; a zero ends it.
const MAX_URI: usize = 159;

/// The address of a video stream that something else serves, in the form that `VIDEO_STREAM_INFORMATION` has for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    kind: VideoStreamType,
    uri: String,
}

/// Why an address is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// No ground station knows what it is.
    #[error(
        "{0:?} is no video address: write rtsp://HOST/PATH, udp:PORT (RTP), mpegts:PORT, tcp://HOST:PORT or http(s)://… (WHEP)"
    )]
    Unknown(String),
    /// It does not fit into the message.
    #[error("the video address has {0} bytes, and MAVLink takes {MAX_URI} at most")]
    TooLong(usize),
}

impl FromStr for Stream {
    type Err = StreamError;

    fn from_str(text: &str) -> Result<Self, StreamError> {
        let unknown = || StreamError::Unknown(text.into());
        let (scheme, rest) = text.split_once(':').ok_or_else(unknown)?;
        let port = || rest.trim_start_matches('/').parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(unknown);
        let address = || rest.strip_prefix("//").filter(|rest| !rest.is_empty()).ok_or_else(unknown);
        let (kind, uri) = match scheme {
            "rtsp" | "rtsps" => (VideoStreamType::VIDEO_STREAM_TYPE_RTSP, address().map(|_| text.to_owned())?),
            "tcp" => (VideoStreamType::VIDEO_STREAM_TYPE_TCP_MPEG, address().map(|_| text.to_owned())?),
            "http" | "https" => (VideoStreamType::VIDEO_STREAM_TYPE_WHEP, address().map(|_| text.to_owned())?),
            // The ground station listens: the message has the port alone.
            "udp" => (VideoStreamType::VIDEO_STREAM_TYPE_RTPUDP, port()?.to_string()),
            "mpegts" => (VideoStreamType::VIDEO_STREAM_TYPE_MPEG_TS, port()?.to_string()),
            _ => return Err(unknown()),
        };
        if uri.contains(|c: char| c.is_control()) {
            return Err(unknown());
        }
        if uri.len() > MAX_URI { Err(StreamError::TooLong(uri.len())) } else { Ok(Stream { kind, uri }) }
    }
}

impl Stream {
    /// The message about it. There is one stream, and its rates are not known.
    pub(super) fn information(&self, (width, height): (u16, u16)) -> VIDEO_STREAM_INFORMATION_DATA {
        VIDEO_STREAM_INFORMATION_DATA {
            framerate: 0.0,
            bitrate: 0,
            flags: VideoStreamStatusFlags::VIDEO_STREAM_STATUS_FLAGS_RUNNING,
            resolution_h: width,
            resolution_v: height,
            rotation: 0,
            hfov: 0,
            stream_id: 1,
            count: 1,
            mavtype: self.kind,
            name: CharArray::new(padded("Camera")),
            uri: CharArray::new(padded(&self.uri)),
            encoding: VideoStreamEncoding::VIDEO_STREAM_ENCODING_UNKNOWN,
            camera_device_id: 0,
        }
    }

    /// The message about its state.
    pub(super) fn status(&self, (width, height): (u16, u16)) -> VIDEO_STREAM_STATUS_DATA {
        VIDEO_STREAM_STATUS_DATA {
            framerate: 0.0,
            bitrate: 0,
            flags: VideoStreamStatusFlags::VIDEO_STREAM_STATUS_FLAGS_RUNNING,
            resolution_h: width,
            resolution_v: height,
            rotation: 0,
            hfov: 0,
            stream_id: 1,
            camera_device_id: 0,
        }
    }
}
