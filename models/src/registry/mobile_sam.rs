//! MobileSAM (Zhang et al., "Faster Segment Anything", 2023).

use crate::arch::InputSize;
use crate::spec::{Architecture, Checksum, Download, ModelSpec, Normalization, Source};

/// MobileSAM with its TinyViT-5M image encoder.
pub const MOBILE_SAM: ModelSpec = ModelSpec {
    name: "mobile_sam",
    title: "MobileSAM",
    architecture: Architecture::MobileSam,
    licence: "Apache-2.0",
    homepage: "https://github.com/ChaoningZhang/MobileSAM",
    source: Source::Download(Download {
        url: "https://raw.githubusercontent.com/ChaoningZhang/MobileSAM/master/weights/mobile_sam.pt",
        file_name: "mobile_sam.pt",
        bytes: 40_728_226,
        checksum: Checksum::Sha256 {
            hex: "6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
            recorded_by: "micro-sam's model registry",
        },
    }),
    input_size: InputSize { height: 1024, width: 1024 },
    normalization: Normalization::SEGMENT_ANYTHING,
    parameters: 10_130_092,
    purpose: "Segment Anything's quality on everyday objects, on a device without a GPU",
};
