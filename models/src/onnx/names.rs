//! [`Names`]: names that are given once.

use std::collections::HashMap;

/// The names of a graph so far.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// How many names were made of each.
    given: HashMap<String, usize>,
}

impl Names {
    /// `name` itself the first time, then `name.1`, `name.2` and so on: what it is called depends on what bears the same name only.
    pub(super) fn give(&mut self, name: String) -> String {
        let Some(&count) = self.given.get(&name) else {
            self.given.insert(name.clone(), 1);
            return name;
        };
        let mut next = count;
        let numbered = loop {
            let candidate = format!("{name}.{next}");
            next += 1;
            if !self.given.contains_key(&candidate) {
                break candidate;
            }
        };
        self.given.insert(name, next);
        self.given.insert(numbered.clone(), 1);
        numbered
    }
}

#[cfg(test)]
mod tests {
    use super::Names;

    #[test]
    fn names_are_numbered_from_the_second_on() {
        let mut names = Names::default();
        let mut give = |name: &str| names.give(name.into());
        assert_eq!([give("a"), give("b"), give("a"), give("a")], ["a", "b", "a.1", "a.2"]);
    }

    #[test]
    fn a_number_that_is_taken_is_left_out() {
        let mut names = Names::default();
        let mut give = |name: &str| names.give(name.into());
        assert_eq!([give("a.1"), give("a"), give("a"), give("a.1")], ["a.1", "a", "a.2", "a.1.1"]);
    }
}
