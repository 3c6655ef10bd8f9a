//! What an evaluation left out, and why: nothing is dropped without a count.

use std::collections::BTreeMap;

use serde::Serialize;

/// Messages kept for each reason; the count goes on beyond.
const EXAMPLES: usize = 3;

/// Why something was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// A line of the annotations that is no JSON object with `file` and `segments`. Counts lines.
    BrokenLines,
    /// `file` names nothing in the folder, or something outside it. Counts images.
    MissingImages,
    /// The image cannot be decoded, or has a shape that the model cannot take. Counts images.
    UnreadableImages,
    /// A segment whose `rle` cannot be decoded. Counts objects.
    BrokenMasks,
    /// A segment whose mask has another size than its image. Counts objects.
    WrongSizeMasks,
    /// A segment without a single pixel. Counts objects.
    EmptyMasks,
}

impl Reason {
    /// The reason in words, after its count.
    pub fn describe(self) -> &'static str {
        match self {
            Reason::BrokenLines => "broken lines",
            Reason::MissingImages => "images missing",
            Reason::UnreadableImages => "images unreadable",
            Reason::BrokenMasks => "masks that do not decode",
            Reason::WrongSizeMasks => "masks of another size than their image",
            Reason::EmptyMasks => "empty masks",
        }
    }
}

/// Counts by reason, with the first few messages of each. Serialises as `{reason: count}`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skipped(BTreeMap<Reason, (usize, Vec<String>)>);

impl Skipped {
    /// Counts one more, with a message that says where and what.
    pub fn add(&mut self, reason: Reason, message: impl Into<String>) {
        let (count, examples) = self.0.entry(reason).or_default();
        *count += 1;
        if examples.len() < EXAMPLES {
            examples.push(message.into());
        }
    }

    /// How many were left out for `reason`.
    pub fn count(&self, reason: Reason) -> usize {
        self.0.get(&reason).map_or(0, |(count, _)| *count)
    }

    /// Whether nothing was left out.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every reason that occurred: its count and its first messages.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, usize, &[String])> {
        self.0.iter().map(|(reason, (count, examples))| (*reason, *count, examples.as_slice()))
    }
}

impl Serialize for Skipped {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(reason, (count, _))| (reason, count)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_everything_and_keeps_a_few_messages() {
        let mut skipped = Skipped::default();
        for i in 0..10 {
            skipped.add(Reason::BrokenLines, format!("line {i}"));
        }
        skipped.add(Reason::EmptyMasks, "a.png");
        assert_eq!(skipped.count(Reason::BrokenLines), 10);
        assert_eq!(skipped.iter().map(|(_, _, examples)| examples.len()).collect::<Vec<_>>(), [EXAMPLES, 1]);
        assert_eq!(serde_json::to_string(&skipped).unwrap(), r#"{"broken_lines":10,"empty_masks":1}"#);
    }
}
