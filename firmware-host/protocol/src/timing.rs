//! How long to wait: from bytes and the line's speed, never a fixed number.

/// Time that bytes take on a serial line of `baud` bits per second, in microseconds, rounded up: ten bits each, with start and stop bit.
/// 0 for `baud` 0, which stands for a line whose time does not count (a socket).
pub const fn transfer_us(bytes: usize, baud: u32) -> u64 {
    if baud == 0 {
        return 0;
    }
    let bits = (bytes as u64).saturating_mul(10_000_000);
    bits.div_ceil(baud as u64)
}

/// What neither line nor work explains, in milliseconds: USB serial adapters hold bytes back for 16, both ways, and both
/// programs may have to wait for the processor.
pub const SLACK_MS: u32 = 100;

/// Milliseconds after which an answer has to be there, counted from the moment when the request's first byte is written: a
/// quarter more than both take on the line, the service's work, and [`SLACK_MS`].
///
/// `request_bytes` and `answer_bytes` are on the wire ([`wire_size`](crate::wire_size) of each packet; of the budget, where
/// one is given); whatever waits in the same direction before it counts too. `work_ms` is the deadline, or the longest that
/// the client will bear.
pub const fn answer_timeout_ms(request_bytes: usize, answer_bytes: usize, baud: u32, work_ms: u32) -> u32 {
    let line_us = transfer_us(request_bytes, baud).saturating_add(transfer_us(answer_bytes, baud));
    let line_ms = (line_us / 4).saturating_add(line_us).div_ceil(1000);
    let all = line_ms.saturating_add(work_ms as u64).saturating_add(SLACK_MS as u64);
    if all > u32::MAX as u64 { u32::MAX } else { all as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_bits_a_byte() {
        assert_eq!(transfer_us(11_520, 115_200), 1_000_000);
        assert_eq!(transfer_us(1, 921_600), 11);
        assert_eq!(transfer_us(1_000_000, 0), 0);
        assert_eq!(transfer_us(usize::MAX, 1), u64::MAX);
    }

    #[test]
    fn time_outs_grow_with_bytes_and_never_overflow() {
        assert_eq!(answer_timeout_ms(0, 0, 0, 0), SLACK_MS);
        assert_eq!(answer_timeout_ms(576, 576, 115_200, 80), 125 + 80 + SLACK_MS);
        assert_eq!(answer_timeout_ms(100, 1052, 0, 80), 80 + SLACK_MS);
        assert_eq!(answer_timeout_ms(usize::MAX, usize::MAX, 1, u32::MAX), u32::MAX);
    }
}
