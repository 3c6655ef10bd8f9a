//! Segment Anything (Kirillov et al., 2023) with its three vision transformers.
//!
//! The digits in the file names are the start of each file's MD5, not of its SHA-256. The publisher gives no SHA-256;
//! the values here are those that micro-sam (github.com/computational-cell-analytics/micro-sam) enforces when it
//! downloads the same files.

use crate::arch::InputSize;
use crate::spec::{Architecture, Checksum, Download, ModelSpec, Normalization, Source};

const BASE: ModelSpec = ModelSpec {
    name: "",
    title: "",
    architecture: Architecture::SamVit,
    licence: "Apache-2.0",
    homepage: "https://github.com/facebookresearch/segment-anything",
    source: Source::BuiltIn,
    input_size: InputSize { height: 1024, width: 1024 },
    normalization: Normalization::SEGMENT_ANYTHING,
    parameters: 0,
    purpose: "",
};

const fn published(url: &'static str, file_name: &'static str, bytes: u64, hex: &'static str) -> Source {
    let checksum = Checksum::Sha256 { hex, recorded_by: "micro-sam's model registry" };
    Source::Download(Download { url, file_name, bytes, checksum })
}

/// Segment Anything, ViT-B.
pub const SAM_VIT_B: ModelSpec = ModelSpec {
    name: "sam_vit_b",
    title: "Segment Anything ViT-B",
    source: published(
        "https://dl.fbaipublicfiles.com/segment_anything/sam_vit_b_01ec64.pth",
        "sam_vit_b_01ec64.pth",
        375_042_383,
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    ),
    parameters: 93_735_472,
    purpose: "the smallest official Segment Anything",
    ..BASE
};

/// Segment Anything, ViT-L.
pub const SAM_VIT_L: ModelSpec = ModelSpec {
    name: "sam_vit_l",
    title: "Segment Anything ViT-L",
    source: published(
        "https://dl.fbaipublicfiles.com/segment_anything/sam_vit_l_0b3195.pth",
        "sam_vit_l_0b3195.pth",
        1_249_524_607,
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    ),
    parameters: 312_342_832,
    purpose: "nearly the largest one's masks at half its size",
    ..BASE
};

/// Segment Anything, ViT-H.
pub const SAM_VIT_H: ModelSpec = ModelSpec {
    name: "sam_vit_h",
    title: "Segment Anything ViT-H",
    source: published(
        "https://dl.fbaipublicfiles.com/segment_anything/sam_vit_h_4b8939.pth",
        "sam_vit_h_4b8939.pth",
        2_564_550_879,
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
    ),
    parameters: 641_090_608,
    purpose: "the reference: the best masks, for workstations",
    ..BASE
};
