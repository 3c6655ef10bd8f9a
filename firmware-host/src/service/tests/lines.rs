//! The text mode.

use super::*;

impl Talk {
    fn type_line(&mut self, line: &str) -> Vec<String> {
        self.bytes(line.as_bytes());
        self.bytes(b"\r\n");
        self.lines()
    }

    fn lines(&mut self) -> Vec<String> {
        let lines = self.replies().into_iter().map(|reply| match reply.message {
            Said::Line(line) => line,
            other => panic!("{other:?}"),
        });
        lines.collect()
    }
}

#[test]
fn a_terminal_asks_and_is_answered_in_lines() {
    let mut talk = Talk::new();
    assert_eq!(talk.type_line("P 10 6.5"), ["OK"]);
    assert_eq!(talk.type_line("b 1 1 20 20"), ["OK"]);
    assert!(talk.type_line("GO").is_empty());
    // What is typed before the answer waits for it.
    assert!(talk.type_line("SHOW").is_empty());
    talk.work(8);
    let lines = talk.lines();
    assert_eq!(
        lines[0],
        "OK frame=1 age_ms=3 ms=2 iou=0.8750 stability=0.7500 bbox=8,5,4,3 centroid=10.00,6.50 area=12 contour=8,5/12,5/12,8/8,8"
    );
    assert_eq!(lines.len(), 1 + 24 + 1);
    assert!(lines[4].starts_with("........####...."), "{lines:#?}");
    assert_eq!(lines[25], "OK");
    // What was typed stays until CLEAR; what is shown again is the last mask.
    assert_eq!(talk.type_line("SHOW").len(), 24 + 1);
    assert_eq!(talk.type_line("P 3 4 bg"), ["OK"]);
    talk.type_line("GO");
    let job = talk.work(8);
    let Ask::Mask { prompt, .. } = &job.ask else { panic!() };
    assert_eq!((prompt.points.len(), prompt.bbox.is_some()), (2, true));
    talk.lines();
    assert_eq!(talk.type_line("CLEAR"), ["OK"]);
    assert!(talk.type_line("HELP").len() > 8);
    assert!(talk.type_line("STATUS")[0].starts_with("OK uptime_s="));
}

#[test]
fn a_budget_of_a_line_counts_its_end() {
    let mut talk = Talk::new();
    talk.type_line("P 10 6");
    talk.type_line("GO 90");
    talk.work(8);
    let lines = talk.lines();
    assert_eq!(lines, ["OK frame=1 age_ms=3 ms=2 iou=0.8750 stability=0.7500 bbox=8,5,4,3 centroid=10.00,6.50"]);
    assert!(lines[0].len() + 2 <= 90);
}

#[test]
fn no_budget_is_too_awkward_for_a_line() {
    for budget in 1..600 {
        let mut talk = Talk::new();
        talk.type_line("P 10 6");
        talk.type_line(&format!("GO {budget}"));
        // Three borders, of which none can do with fewer than three corners.
        talk.work_with(rings());
        let lines = talk.lines();
        assert_eq!(lines.len(), 1, "{budget}");
        assert!(lines[0].len() + 2 <= budget || lines[0].starts_with("ERR TOO_LARGE"), "{budget}: {lines:?}");
    }
}

/// A mask of two rings and a bar.
fn rings() -> ScoredMask {
    let inside = |x: usize, y: usize| {
        let ring = |cx: f64, cy: f64| (6.0..10.0).contains(&(x as f64 - cx).hypot(y as f64 - cy));
        ring(16.0, 14.0) || ring(40.0, 26.0) || (y == 46 && x < 50)
    };
    let values: Vec<bool> =
        (0..SIZE.height).flat_map(|y| (0..SIZE.width).map(move |x| (x, y))).map(|(x, y)| inside(x, y)).collect();
    ScoredMask { mask: Mask::from_bools(SIZE, &values).unwrap(), ..scored(1) }
}

#[test]
fn two_talkers_on_one_line_fall_silent() {
    let mut talk = Talk::new();
    let answers: usize = (0..100).map(|_| talk.type_line("ERR MALFORMED no such command").len()).sum();
    assert_eq!(answers, 8);
    assert_eq!(talk.type_line("P 1 1"), ["OK"]);
    assert_eq!(talk.type_line("nonsense").len(), 1);
}

#[test]
fn mistakes_are_told_and_forgiven() {
    let mut talk = Talk::new();
    assert!(talk.type_line("GO")[0].starts_with("ERR BAD_PROMPT nothing is asked for"));
    assert!(talk.type_line("B 1 1 1 9")[0].starts_with("ERR BAD_PROMPT the box has no area"));
    assert!(talk.type_line("Q")[0].starts_with("ERR MALFORMED"));
    assert!(talk.type_line("REFINE")[0].starts_with("ERR BAD_PROMPT"));
    talk.type_line("FRAME 9");
    talk.type_line("P 1 1");
    assert!(talk.type_line("GO")[0].starts_with("ERR NO_FRAME"));
    assert_eq!(talk.type_line("FRAME latest"), ["OK"]);
    talk.type_line("GO");
    talk.work(8);
    assert!(talk.lines()[0].starts_with("OK frame=1"));
    talk.type_line("REFINE");
    talk.type_line("GO");
    let job = talk.work(9);
    let Ask::Mask { prompt, .. } = &job.ask else { panic!() };
    assert!(prompt.mask.is_some());
}

#[test]
fn who_comes_from_elsewhere_types_the_token_first() {
    let mut talk = Talk::with(&shared(true), false, None);
    assert!(talk.type_line("STATUS")[0].starts_with("ERR UNAUTHORIZED"));
    assert!(talk.type_line("TOKEN nonsense")[0].starts_with("ERR UNAUTHORIZED"));
    assert_eq!(talk.type_line(&format!("TOKEN {TOKEN}")), ["OK"]);
    assert!(talk.type_line("STATUS")[0].starts_with("OK uptime_s="));
}
