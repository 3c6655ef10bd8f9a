//! Numbers with names, and sets of bits. Numbers that this version has no name for are kept as they came.

use crate::field::{Field, Full, Malformed, Sink, Take, Type};

macro_rules! codes {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $number:literal $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant,)*
            /// A number that this version has no name for.
            Other(u8),
        }

        impl $name {
            /// All that have a name.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// The name, as in the document; `OTHER` for a number without one.
            pub const fn name(self) -> &'static str {
                match self {
                    $($name::$variant => $text,)*
                    $name::Other(_) => "OTHER",
                }
            }
        }

        impl From<u8> for $name {
            fn from(number: u8) -> Self {
                match number {
                    $($number => $name::$variant,)*
                    other => $name::Other(other),
                }
            }
        }

        impl From<$name> for u8 {
            fn from(code: $name) -> u8 {
                match code {
                    $($name::$variant => $number,)*
                    $name::Other(number) => number,
                }
            }
        }

        impl Field<'_> for $name {
            const TYPE: Type = Type::plain("u8");
            const MIN: usize = 1;
            const MAX: usize = 1;
            fn put(&self, out: &mut impl Sink) -> Result<(), Full> {
                u8::from(*self).put(out)
            }
            fn take(from: &mut Take<'_>) -> Result<Self, Malformed> {
                u8::take(from).map($name::from)
            }
        }
    };
}

codes! {
    /// Why a request has no answer.
    ErrorCode {
        /// Too much is asked at once; `detail` says in how many milliseconds to try again.
        Busy = 1 "BUSY",
        /// The packet's header is whole, its payload is not: send it again.
        BadCrc = 2 "BAD_CRC",
        /// The prompt means nothing: no point and no box, a box without area, outside the image.
        BadPrompt = 3 "BAD_PROMPT",
        /// There is no frame yet, and none can be taken.
        NoFrame = 4 "NO_FRAME",
        /// The frame is no longer kept; `frame` is the oldest that is.
        StaleFrame = 5 "STALE_FRAME",
        /// It would be too late: `detail` is the milliseconds that it would take, `frame` the newest frame that is
        /// encoded already, which may be answered in time; 0 if none.
        Deadline = 6 "DEADLINE",
        /// Too many bytes; `detail` is the limit, or the bytes that are needed.
        TooLarge = 7 "TOO_LARGE",
        /// Not known, or not part of this service.
        Unsupported = 8 "UNSUPPORTED",
        /// The client speaks another version; `detail` is the service's version, `frame` its schema.
        Version = 9 "VERSION",
        /// A token is needed, or the one given is wrong.
        Unauthorized = 10 "UNAUTHORIZED",
        /// The service has a fault; its log says which.
        Internal = 11 "INTERNAL",
        /// The payload is not a message of its kind.
        Malformed = 12 "MALFORMED",
        /// The client cancelled it.
        Cancelled = 13 "CANCELLED",
    }
}

codes! {
    /// How the bytes of an upload are to be read. Rows are without padding.
    Format {
        /// Red, green, blue.
        Rgb8 = 1 "RGB8",
        /// Blue, green, red.
        Bgr8 = 2 "BGR8",
        /// Red, green, blue, and a fourth byte that is ignored.
        Rgba8 = 3 "RGBA8",
        /// One byte of luminance.
        Grey8 = 4 "GREY8",
        /// Y, U, Y, V of two pixels.
        Yuyv = 5 "YUYV",
        /// A plane of luminance, then one of U and V in turn at half the width and height.
        Nv12 = 6 "NV12",
        /// A colour filter array, red at the upper left.
        BayerRggb8 = 7 "BAYER_RGGB8",
        /// A picture file (JPEG, or what else the service reads); width and height are 0.
        Picture = 8 "PICTURE",
    }
}

codes! {
    /// In which numbers the model was computed.
    Precision {
        /// Single precision.
        F32 = 0 "F32",
        /// Weights in half precision, arithmetic in single.
        F16 = 1 "F16",
        /// Weights and arithmetic in half precision.
        F16Arithmetic = 2 "F16_ARITHMETIC",
        /// Weights and activations in bytes.
        Int8 = 3 "INT8",
    }
}

codes! {
    /// What can be configured.
    Key {
        /// The speed of a serial line, bits per second.
        Baud = 1 "BAUD",
        /// Milliseconds between Status messages that nobody asked for; 0 for none.
        StatusInterval = 2 "STATUS_INTERVAL",
    }
}

codes! {
    /// Whether the board runs slower because it is hot or short of power.
    Throttled {
        /// It does not.
        No = 0 "NO",
        /// It does.
        Yes = 1 "YES",
        /// The board does not tell.
        Unknown = 2 "UNKNOWN",
    }
}

codes! {
    /// What an item of an answer's body is; see [`body`](crate::body).
    ItemKind {
        /// The mask's bounding box.
        BBox = 1 "BBOX",
        /// The mean of the mask's pixels.
        Centroid = 2 "CENTROID",
        /// The number of the mask's pixels.
        Area = 3 "AREA",
        /// Polygons around the mask.
        Contour = 4 "CONTOUR",
        /// The mask, row by row.
        Rle = 5 "RLE",
        /// The mask as COCO's string.
        CocoRle = 6 "COCO_RLE",
        /// A JPEG.
        Picture = 7 "PICTURE",
    }
}

macro_rules! bits {
    ($(#[$meta:meta])* $name:ident: $int:ident { $($(#[$doc:meta])* $flag:ident = $value:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub struct $name(pub $int);

        impl $name {
            $($(#[$doc])* pub const $flag: $name = $name($value);)*

            /// Whether all bits of `other` are set.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// With the bits of `other` set too.
            #[must_use]
            pub const fn with(self, other: Self) -> Self {
                $name(self.0 | other.0)
            }

            /// With the bits of `other` not set.
            #[must_use]
            pub const fn without(self, other: Self) -> Self {
                $name(self.0 & !other.0)
            }

            /// Whether no bit is set.
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }
        }

        impl core::ops::BitOr for $name {
            type Output = Self;
            fn bitor(self, other: Self) -> Self {
                self.with(other)
            }
        }

        impl Field<'_> for $name {
            const TYPE: Type = Type::plain(stringify!($int));
            const MIN: usize = size_of::<$int>();
            const MAX: usize = size_of::<$int>();
            fn put(&self, out: &mut impl Sink) -> Result<(), Full> {
                self.0.put(out)
            }
            fn take(from: &mut Take<'_>) -> Result<Self, Malformed> {
                $int::take(from).map($name)
            }
        }
    };
}

bits! {
    /// Items of an answer's body: bit `1 << kind` for each.
    ItemSet: u16 {
        /// The mask's bounding box.
        BBOX = 0x02,
        /// The mean of the mask's pixels.
        CENTROID = 0x04,
        /// The number of the mask's pixels.
        AREA = 0x08,
        /// Polygons around the mask.
        CONTOUR = 0x10,
        /// The mask, row by row.
        RLE = 0x20,
        /// The mask as COCO's string.
        COCO_RLE = 0x40,
        /// A JPEG.
        PICTURE = 0x80,
    }
}

impl ItemSet {
    /// The set of one item; empty for numbers that have no bit.
    pub fn of(kind: ItemKind) -> Self {
        ItemSet(1u16.checked_shl(u32::from(u8::from(kind))).unwrap_or(0))
    }
}

bits! {
    /// How a prompt is to be answered.
    Options: u8 {
        /// Three masks are made and the best is taken.
        BEST_OF_THREE = 1,
        /// One mask is made. With neither of the two: three for a single point alone, else one.
        ONE_MASK = 2,
        /// A small object is looked at again, enlarged.
        ZOOM = 4,
    }
}

bits! {
    /// What is to be said about an answer.
    AnswerFlags: u16 {
        /// The object was looked at again, enlarged.
        ZOOMED = 1,
        /// The mask has no pixel.
        EMPTY_MASK = 2,
        /// The frame was encoded for this request; later prompts on it take less time.
        ENCODED = 4,
        /// The tracked object is lost.
        TRACK_LOST = 8,
    }
}

bits! {
    /// What a service can do besides answering prompts.
    Features: u32 {
        /// It has a source of frames: `Capture` works.
        SOURCE = 1,
        /// It takes uploads.
        UPLOAD = 2,
        /// It tracks.
        TRACK = 4,
        /// It can look at small objects enlarged.
        ZOOM = 8,
        /// It gives pictures of frames.
        PICTURE = 16,
        /// The speed of this line can be changed.
        BAUD = 32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_survives() {
        for number in 0..=255 {
            assert_eq!(u8::from(ErrorCode::from(number)), number);
            assert_eq!(u8::from(Format::from(number)), number);
            assert_eq!(u8::from(Precision::from(number)), number);
            assert_eq!(u8::from(Key::from(number)), number);
            assert_eq!(u8::from(Throttled::from(number)), number);
            assert_eq!(u8::from(ItemKind::from(number)), number);
        }
        assert_eq!(ErrorCode::from(13), ErrorCode::Cancelled);
        assert_eq!(ErrorCode::from(14), ErrorCode::Other(14));
    }

    #[test]
    fn an_items_bit_is_its_number() {
        assert_eq!(ItemSet::of(ItemKind::BBox), ItemSet::BBOX);
        assert_eq!(ItemSet::of(ItemKind::Picture), ItemSet::PICTURE);
        assert_eq!(ItemSet::of(ItemKind::Other(200)), ItemSet::default());
        let set = ItemSet::BBOX | ItemSet::RLE;
        assert!(set.contains(ItemSet::RLE) && !set.contains(ItemSet::AREA | ItemSet::RLE));
        assert_eq!(set.without(ItemSet::RLE), ItemSet::BBOX);
    }
}
