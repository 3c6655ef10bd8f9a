//! Promptable segmentation on the device that holds the camera.
//!
//! ```text
//! ImageView -> Preprocessor -> ImageEncoder -> ImageEmbedding
//!                                                   |
//! Prompt -------------------------------------> MaskDecoder -> Prediction -> Mask -> CocoRle, contours
//! ```
//!
//! Every public coordinate is in image pixels: x to the right, y down, pixel (i, j) covers `[i, i + 1) x [j, j + 1)`.
#![forbid(unsafe_code)]

mod coco_rle;
mod embedding;
pub mod engine;
mod error;
mod geometry;
mod image;
mod image_encoder;
mod input_shape;
mod mask;
mod mask_decoder;
mod mask_prompt;
mod model;
mod polygon;
mod postprocess;
mod predictor;
mod preprocess;
mod prompt;
mod simplify;
mod timings;
mod tracker;
mod zoom;

pub use coco_rle::CocoRle;
pub use cutout_kernels::SimdLevel;
pub use embedding::ImageEmbedding;
pub use error::{Error, ErrorKind, Result};
pub use geometry::{BBox, MAX_PIXELS, MAX_SIDE, Point, Region, ResizeLongestSide, Size};
pub use image::{BayerDepth, BayerPattern, ImageView, PixelFormat, YuvEncoding};
pub use input_shape::InputShape;
pub use mask::{Mask, Run};
pub use model::{Model, ModelOptions};
pub use polygon::{Contour, contours, rasterize};
pub use postprocess::{Upscaler, stability_score, upscale_to_image};
pub use predictor::{MASK_THRESHOLD, PredictOptions, Prediction, Predictor, ScoredMask};
pub use preprocess::{InputElement, InputLayout, Normalization, Preprocessor};
pub use prompt::{LowResLogits, MAX_POINTS, PointLabel, Prompt};
pub use simplify::{Outline, outline};
pub use timings::StageTimings;
pub use tracker::{Tracked, Tracker};
pub use zoom::Zoom;
