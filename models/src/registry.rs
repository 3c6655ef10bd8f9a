//! The models that Cutout knows.
//!
//! To add a model of a known architecture: add a constant to its family's file below `registry/`, and a line to [`ALL`].
//! A new architecture also needs a graph builder in [`arch`](crate::arch), a variant of
//! [`Architecture`](crate::Architecture), and an arm in each `match` that the compiler then asks for.

mod cutout_s;
mod mobile_sam;
mod sam_vit;

pub use cutout_s::CUTOUT_S;
pub use mobile_sam::MOBILE_SAM;
pub use sam_vit::{SAM_VIT_B, SAM_VIT_H, SAM_VIT_L};

use crate::error::{Error, Result};
use crate::spec::ModelSpec;

/// Every model, the default first.
pub const ALL: &[ModelSpec] = &[CUTOUT_S, MOBILE_SAM, SAM_VIT_B, SAM_VIT_L, SAM_VIT_H];

/// The model of that name.
///
/// # Errors
/// `UnknownModel`, listing the names that exist.
pub fn find(name: &str) -> Result<&'static ModelSpec> {
    ALL.iter().find(|spec| spec.name == name).ok_or_else(|| {
        let known: Vec<_> = ALL.iter().map(|spec| spec.name).collect();
        Error::UnknownModel { name: name.into(), known: known.join(", ") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Source;

    #[test]
    fn names_are_unique_and_usable_as_folders() {
        for (i, spec) in ALL.iter().enumerate() {
            assert!(ALL[i + 1..].iter().all(|other| other.name != spec.name), "{} twice", spec.name);
            let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
            assert!(!spec.name.is_empty() && spec.name.chars().all(allowed), "{}", spec.name);
        }
    }

    #[test]
    fn hashes_are_whole_and_downloads_complete() {
        for spec in ALL {
            let Source::Download(download) = &spec.source else { continue };
            assert!(
                download.url.starts_with("https://") && download.url.ends_with(download.file_name),
                "{}",
                spec.name
            );
            assert!(download.bytes > spec.parameters, "{}: fewer bytes than parameters", spec.name);
            if let Some(hex) = download.checksum.sha256() {
                assert_eq!(hex.len(), 64, "{}", spec.name);
                assert!(hex.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')), "{}", spec.name);
            }
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let message = find("sam").unwrap_err().to_string();
        assert!(
            message.contains("'sam'") && message.contains("mobile_sam") && message.contains("sam_vit_h"),
            "{message}"
        );
        assert_eq!(find("mobile_sam").unwrap().parameters, 10_130_092);
    }
}
