//! [`Outgoing`]: the messages that the component sends.

use mavlink::dialects::common::{
    CAMERA_INFORMATION_DATA, CAMERA_SETTINGS_DATA, CAMERA_TRACKING_IMAGE_STATUS_DATA, HEARTBEAT_DATA,
    MESSAGE_INTERVAL_DATA, MavMessage, MavResult, VIDEO_STREAM_INFORMATION_DATA, VIDEO_STREAM_STATUS_DATA,
};
use mavlink::error::ParserError;
use mavlink::utils::remove_trailing_zeroes;
use mavlink::{MAVLinkV2MessageRaw, MavHeader, MavlinkVersion, MessageData};

/// A message of the component.
#[derive(Clone, Debug, PartialEq)]
pub enum Outgoing {
    /// `HEARTBEAT`.
    Heartbeat(HEARTBEAT_DATA),
    /// `COMMAND_ACK`.
    Ack(Ack),
    /// `CAMERA_INFORMATION`.
    Information(Box<CAMERA_INFORMATION_DATA>),
    /// `CAMERA_SETTINGS`.
    Settings(CAMERA_SETTINGS_DATA),
    /// `VIDEO_STREAM_INFORMATION`.
    StreamInformation(Box<VIDEO_STREAM_INFORMATION_DATA>),
    /// `VIDEO_STREAM_STATUS`.
    StreamStatus(VIDEO_STREAM_STATUS_DATA),
    /// `CAMERA_TRACKING_IMAGE_STATUS`.
    TrackingStatus(CAMERA_TRACKING_IMAGE_STATUS_DATA),
    /// `MESSAGE_INTERVAL`.
    Interval(MESSAGE_INTERVAL_DATA),
}

impl Outgoing {
    /// The packet.
    pub(super) fn packet(&self, header: MavHeader) -> MAVLinkV2MessageRaw {
        let mut raw = MAVLinkV2MessageRaw::new();
        match self {
            Outgoing::Heartbeat(data) => raw.serialize_message_data(header, data),
            Outgoing::Ack(data) => raw.serialize_message_data(header, data),
            Outgoing::Information(data) => raw.serialize_message_data(header, &**data),
            Outgoing::Settings(data) => raw.serialize_message_data(header, data),
            Outgoing::StreamInformation(data) => raw.serialize_message_data(header, &**data),
            Outgoing::StreamStatus(data) => raw.serialize_message_data(header, data),
            Outgoing::TrackingStatus(data) => raw.serialize_message_data(header, data),
            Outgoing::Interval(data) => raw.serialize_message_data(header, data),
        }
        raw
    }
}

/// `COMMAND_ACK`, also for commands that the crate's own type cannot name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ack {
    /// The command that is answered.
    pub command: u16,
    /// What became of it.
    pub result: MavResult,
    /// System and component that sent it.
    pub to: (u8, u8),
}

impl MessageData for Ack {
    type Message = MavMessage;

    const ID: u32 = 77;
    const NAME: &'static str = "COMMAND_ACK";
    const EXTRA_CRC: u8 = 143;
    const ENCODED_LEN: usize = 10;

    fn ser(&self, _: MavlinkVersion, payload: &mut [u8]) -> usize {
        let [low, high] = self.command.to_le_bytes();
        // No progress is known, and there is no second result.
        let bytes = [low, high, self.result as u8, u8::MAX, 0, 0, 0, 0, self.to.0, self.to.1];
        if let Some(start) = payload.get_mut(..bytes.len()) {
            start.copy_from_slice(&bytes);
        }
        remove_trailing_zeroes(&bytes)
    }

    fn deser(_: MavlinkVersion, _: &[u8]) -> Result<Self, ParserError> {
        Err(ParserError::UnknownMessage { id: Self::ID })
    }
}

/// A text with zeros behind it, cut where a character ends if it is too long. The last byte is always zero.
pub(super) fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    let mut end = text.len().min(N.saturating_sub(1));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    for (to, from) in bytes.iter_mut().zip(text.bytes().take(end)) {
        *to = from;
    }
    bytes
}
