//! What luma and chroma of a V4L2 format mean.

use cutout_runtime::YuvEncoding;

/// Reads the debug text of a format, which alone of all that the crate `linuxvideo` gives tells of colours: `colorspace: REC709,
/// ... enc: 0, quantization: DEFAULT`. What it leaves open is what the kernel takes as the default of a colour space
/// (`V4L2_MAP_YCBCR_ENC_DEFAULT`, `V4L2_MAP_QUANTIZATION_DEFAULT` of videodev2.h).
pub(super) fn encoding(format: &str) -> YuvEncoding {
    let field = |name: &str| {
        let (_, rest) = format.split_once(&format!(" {name}: "))?;
        rest.split([',', ' ', '}']).next()
    };
    let space = field("colorspace").unwrap_or_default();
    let hd = match field("enc") {
        // 601 and xv601.
        Some("1" | "3") => false,
        // 709 and xv709; that of BT.2020 is nearest to it.
        Some("2" | "4" | "6" | "7") => true,
        _ => matches!(space, "REC709" | "DCI_P3" | "BT2020"),
    };
    let full = match field("quantization") {
        Some("FULL_RANGE") => true,
        Some("LIM_RANGE") => false,
        _ => space == "JPEG",
    };
    match (hd, full) {
        (false, false) => YuvEncoding::Bt601Limited,
        (false, true) => YuvEncoding::Bt601Full,
        (true, false) => YuvEncoding::Bt709Limited,
        (true, true) => YuvEncoding::Bt709Full,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_as_the_kernel_means_them() {
        for (space, enc, quantization, expected) in [
            ("DEFAULT", 0, "DEFAULT", YuvEncoding::Bt601Limited),
            ("SRGB", 0, "DEFAULT", YuvEncoding::Bt601Limited),
            ("JPEG", 0, "DEFAULT", YuvEncoding::Bt601Full),
            ("JPEG", 0, "LIM_RANGE", YuvEncoding::Bt601Limited),
            ("REC709", 0, "DEFAULT", YuvEncoding::Bt709Limited),
            ("REC709", 1, "FULL_RANGE", YuvEncoding::Bt601Full),
            ("SRGB", 2, "FULL_RANGE", YuvEncoding::Bt709Full),
            ("(unknown: 0x63)", 99, "(unknown: 0x7)", YuvEncoding::Bt601Limited),
        ] {
            let text = format!(
                "PixFormat {{ width: 4, colorspace: {space}, flags: (empty), enc: {enc}, quantization: {quantization}, }}"
            );
            assert_eq!(encoding(&text), expected, "{text}");
        }
        assert_eq!(encoding(""), YuvEncoding::Bt601Limited);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_crate_still_says_so() {
        use linuxvideo::format::{PixFormat, PixelFormat};
        let text = format!("{:?}", PixFormat::new(640, 480, PixelFormat::YUYV));
        for field in [" colorspace: DEFAULT", " enc: 0", " quantization: DEFAULT"] {
            assert!(text.contains(field), "{text} tells no {field}");
        }
    }
}
