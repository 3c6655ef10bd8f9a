//! The two checksums of a packet.

use crc::{CRC_16_IBM_3740, CRC_32_ISO_HDLC, Crc, Digest, Table};

static CRC16: Crc<u16, Table<1>> = Crc::<u16, Table<1>>::new(&CRC_16_IBM_3740);
static CRC32: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISO_HDLC);

/// CRC-16/IBM-3740 (also called CCITT-FALSE): that of a header.
pub fn crc16(bytes: &[u8]) -> u16 {
    CRC16.checksum(bytes)
}

/// CRC-32/ISO-HDLC (that of zlib and Ethernet): that of a packet, an upload, an answer's body.
pub fn crc32(bytes: &[u8]) -> u32 {
    CRC32.checksum(bytes)
}

/// [`crc32`] of bytes that come in pieces.
#[derive(Clone)]
pub struct Crc32(Digest<'static, u32, Table<1>>);

impl Crc32 {
    /// Of nothing yet.
    pub fn new() -> Self {
        Crc32(CRC32.digest())
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all bytes so far.
    pub fn value(&self) -> u32 {
        self.0.clone().finalize()
    }
}

impl Default for Crc32 {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of the catalogue of parametrised CRC algorithms (reveng).
    #[test]
    fn the_catalogues_check_values() {
        assert_eq!(crc16(b"123456789"), 0x29b1);
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let mut pieces = Crc32::new();
        pieces.update(b"1234");
        pieces.update(b"56789");
        assert_eq!(pieces.value(), 0xcbf4_3926);
    }
}
