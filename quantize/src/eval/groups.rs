//! Objects grouped over all sources: by their size, and by the shape of their image.

/// How large an object is in its image: square root of the mask's share of the pixels. At 512x512 the limits are
/// COCO's, 32 and 96 pixels squared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bucket {
    /// Below 1/16.
    Small,
    /// From 1/16 to below 3/16.
    Medium,
    /// 3/16 and above.
    Large,
}

impl Bucket {
    /// All of them, smallest first.
    pub const ALL: [Bucket; 3] = [Bucket::Small, Bucket::Medium, Bucket::Large];

    /// The bucket of a relative size, 0 to 1.
    pub fn of(relative_size: f64) -> Self {
        match relative_size * 16.0 {
            s if s < 1.0 => Bucket::Small,
            s if s < 3.0 => Bucket::Medium,
            _ => Bucket::Large,
        }
    }

    /// What the report calls it.
    pub fn name(self) -> &'static str {
        match self {
            Bucket::Small => "small",
            Bucket::Medium => "medium",
            Bucket::Large => "large",
        }
    }
}

/// The shape of an image, upright or lying: its longer side over its shorter one, by the nearest of the usual ratios.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aspect {
    /// Below 7:6.
    Square,
    /// To below 17:12.
    FourThirds,
    /// To below 1.64.
    ThreeHalves,
    /// 16:9 and longer.
    Wide,
}

impl Aspect {
    /// All of them, squarest first.
    pub const ALL: [Aspect; 4] = [Aspect::Square, Aspect::FourThirds, Aspect::ThreeHalves, Aspect::Wide];

    /// The shape of an image of `ratio` longer to shorter side, 1 or more.
    pub fn of(ratio: f64) -> Self {
        match ratio {
            r if r < 7.0 / 6.0 => Aspect::Square,
            r if r < 17.0 / 12.0 => Aspect::FourThirds,
            r if r < 1.64 => Aspect::ThreeHalves,
            _ => Aspect::Wide,
        }
    }

    /// What the report calls it.
    pub fn name(self) -> &'static str {
        match self {
            Aspect::Square => "1:1",
            Aspect::FourThirds => "4:3",
            Aspect::ThreeHalves => "3:2",
            Aspect::Wide => "16:9",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_coco_in_512x512() {
        assert_eq!(
            [31.9, 32.0, 95.9, 96.0].map(|side| Bucket::of(side / 512.0)),
            [Bucket::Small, Bucket::Medium, Bucket::Medium, Bucket::Large]
        );
    }

    #[test]
    fn usual_cameras_have_the_shape_that_they_say() {
        let of = |w: f64, h: f64| Aspect::of(w.max(h) / w.min(h)).name();
        assert_eq!([of(512.0, 512.0), of(640.0, 480.0), of(480.0, 640.0)], ["1:1", "4:3", "4:3"]);
        assert_eq!(
            [of(481.0, 321.0), of(1920.0, 1080.0), of(640.0, 400.0), of(1130.0, 460.0)],
            ["3:2", "16:9", "3:2", "16:9"]
        );
    }
}
