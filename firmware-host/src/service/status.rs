//! How the service is, as it tells clients.

use cutout_protocol::Throttled;
use cutout_protocol::message::Status;

use super::Shared;
use super::metrics::Answer;
use crate::board::Board;

/// A count that the wire has no room for is told as the most that it has.
fn count(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// What a client is told; `bad_packets` are those of its own line.
pub(crate) fn read(shared: &Shared, bad_packets: u32) -> Status {
    let (metrics, board, engine) = (&shared.metrics, Board::read(), shared.hub.state());
    let temperature = board.temperature_c.map(|celsius| (celsius * 100.0).clamp(-32767.0, 32767.0) as i16);
    let micros = |time: std::time::Duration| count(time.as_micros() as u64);
    Status {
        uptime_s: count(shared.started.elapsed().as_secs()),
        clients: u16::try_from(shared.clients()).unwrap_or(u16::MAX),
        queue: u16::try_from(engine.waiting).unwrap_or(u16::MAX),
        frames: count(metrics.frames.get()),
        encoded: count(metrics.encoded.get()),
        answered: count(metrics.answered.total() - metrics.answered[Answer::Other].get()),
        deadlines_missed: count(metrics.deadlines_missed.get()),
        errors: count(metrics.errors.total()),
        oldest: engine.oldest,
        newest: engine.newest,
        resident_kib: board.resident_kib.map_or(0, count),
        temperature_cc: temperature.unwrap_or(i16::MIN),
        throttled: match board.held_back {
            Some(true) => Throttled::Yes,
            Some(false) => Throttled::No,
            None => Throttled::Unknown,
        },
        encode_us: micros(engine.encode),
        decode_us: micros(engine.decode),
        bad_packets,
    }
}
