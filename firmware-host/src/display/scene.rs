//! [`Scene`]: what is to be seen.

use cutout_runtime::{BBox, ImageView, Mask, Point, Prompt, Size, Tracked};

use crate::overlay::Status;

/// A camera frame with an answer about it. All coordinates are in pixels of the frame.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// Columns and rows of the camera frame; not zero.
    pub frame: Size,
    /// Its picture, of any size; without one the ground is dark.
    pub picture: Option<ImageView<'a>>,
    /// What was found in it.
    pub objects: &'a [Object<'a>],
    /// What was asked, to be marked.
    pub prompt: Option<&'a Prompt>,
    /// The line of text along the lower edge.
    pub status: Option<Status<'a>>,
}

impl<'a> Scene<'a> {
    /// A scene with nothing in it yet.
    pub fn new(frame: Size) -> Self {
        Scene { frame, picture: None, objects: &[], prompt: None, status: None }
    }

    /// A camera frame as it is.
    pub fn of(picture: ImageView<'a>) -> Self {
        Scene { picture: Some(picture), ..Self::new(picture.size()) }
    }
}

/// One object that was found, or was followed until it was lost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Object<'a> {
    /// Its pixels. A mask that is not of the frame's size is scaled to it.
    pub mask: Option<&'a Mask>,
    /// Which of the palette's colours it has.
    pub colour: usize,
    /// Where it is and was, if it is being followed.
    pub track: Option<Track<'a>>,
}

/// An object that is followed from frame to frame.
#[derive(Debug, Clone, Copy)]
pub struct Track<'a> {
    /// How it goes.
    pub state: Tracked,
    /// Where it is; where it was last seen if it is lost.
    pub bbox: BBox,
    /// Where its middle was, the oldest first.
    pub trail: &'a [Point],
}
