use std::path::Path;

use cutout_runtime::Size;

use super::*;
use crate::output::write_rgb_png;
use crate::source::SourceSpec;

/// A picture whose one pixel says which it is.
fn put(folder: &Path, name: &str, number: u8) {
    write_rgb_png(&folder.join(name), Size::new(1, 1), &[number, 0, 0]).unwrap();
}

fn paced(folder: &Path, options: &str) -> Paced {
    let spec: SourceSpec = format!("{}{options}", folder.display()).parse().unwrap();
    let SourceSpec::Files(files) = spec else { panic!("not files") };
    Paced::open(&files).unwrap()
}

fn number(frame: Frame) -> u8 {
    frame.pixels.develop().unwrap().bytes()[0]
}

/// Which picture there is after so many seconds, and when it was due.
fn after(source: &mut Paced, start: Instant, seconds: f64) -> Option<(u8, f64)> {
    match source.at(start + Duration::from_secs_f64(seconds)) {
        Step::Frame(frame) => {
            let due = frame.taken - start;
            Some((number(frame), due.as_secs_f64()))
        }
        _ => None,
    }
}

fn three() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (index, name) in ["a.png", "b.png", "c.png"].into_iter().enumerate() {
        put(folder.path(), name, index as u8);
    }
    folder
}

#[test]
fn pictures_come_by_the_clock_and_end() {
    let folder = three();
    let mut source = paced(folder.path(), "@2");
    let start = Instant::now();
    let mut seen = Vec::new();
    for step in 0..20 {
        seen.extend(after(&mut source, start, f64::from(step) * 0.125));
    }
    assert_eq!(seen, [(0, 0.0), (1, 0.5), (2, 1.0)]);
    assert!(source.finished() && source.next(Duration::MAX).unwrap().is_none());
    assert!(!source.is_live() && source.skipped() == 0);
}

#[test]
fn a_slow_consumer_gets_the_newest_and_the_last_one_always() {
    let folder = three();
    let start = Instant::now();
    let mut source = paced(folder.path(), "@10,loop");
    assert_eq!(after(&mut source, start, 0.0), Some((0, 0.0)));
    // Frames 1 to 6 were due; 7 is the second picture of the third round.
    assert_eq!(after(&mut source, start, 0.75), Some((1, 0.7)));
    assert_eq!(after(&mut source, start, 0.75), None, "none is given twice");
    assert_eq!(after(&mut source, start, 1e9).map(|(_, due)| due), Some(1e9));
    assert!(!source.finished());

    let mut source = paced(folder.path(), "@10");
    assert_eq!(after(&mut source, start, 0.0), Some((0, 0.0)));
    assert!(!source.finished());
    assert_eq!(after(&mut source, start, 100.0), Some((2, 100.0)));
    assert!(source.finished());
}

#[test]
fn no_tick_is_lost_to_rounding() {
    let folder = three();
    for rate in ["0.3", "29.97", "7", "999.9"] {
        let mut source = paced(folder.path(), &format!("@{rate},loop"));
        let start = Instant::now();
        let (mut now, mut count) = (start, 0_u64);
        for _ in 0..3000 {
            match source.at(now) {
                Step::Frame(frame) => {
                    assert_eq!(u64::from(number(frame)), count % 3, "frame {count} at {rate}");
                    count += 1;
                }
                Step::Wait(at) => now = at,
                Step::End => panic!("a loop ends"),
            }
        }
        assert_eq!(count, 1500, "each wait is for one frame");
    }
}

#[test]
fn files_that_come_and_go_are_no_fault() {
    let folder = three();
    let start = Instant::now();
    let mut source = paced(folder.path(), "@1,loop");
    assert_eq!(after(&mut source, start, 0.0), Some((0, 0.0)));
    std::fs::remove_file(folder.path().join("b.png")).unwrap();
    std::fs::write(folder.path().join("c.png"), b"\x89PNG\r\n\x1a\n cut short").unwrap();
    put(folder.path(), "d.png", 3);
    // b is gone, which shows that the folder changed; c is damaged; d is new.
    assert_eq!(after(&mut source, start, 1.0), None);
    assert_eq!(after(&mut source, start, 2.0), None);
    assert_eq!(source.skipped(), 2);
    assert_eq!(after(&mut source, start, 3.0), Some((3, 3.0)));
    // A folder that is gone, and comes back.
    let aside = folder.path().with_extension("aside");
    std::fs::rename(folder.path(), &aside).unwrap();
    for second in 4..9 {
        assert_eq!(after(&mut source, start, f64::from(second)), None);
    }
    assert!(!source.finished());
    std::fs::rename(&aside, folder.path()).unwrap();
    let seen: Vec<u8> =
        (9..15).filter_map(|second| after(&mut source, start, f64::from(second))).map(|(n, _)| n).collect();
    assert!(seen.len() >= 3 && seen.contains(&0) && seen.contains(&3), "{seen:?}");
    // An empty one is waited for.
    for name in ["a.png", "c.png", "d.png"] {
        std::fs::remove_file(folder.path().join(name)).unwrap();
    }
    for second in 15..20 {
        assert_eq!(after(&mut source, start, f64::from(second)), None);
    }
    put(folder.path(), "e.png", 4);
    let seen: Vec<u8> =
        (20..23).filter_map(|second| after(&mut source, start, f64::from(second))).map(|(n, _)| n).collect();
    assert!(seen.ends_with(&[4, 4]), "{seen:?}");
}

#[test]
fn what_is_added_behind_the_last_is_still_shown() {
    let folder = three();
    let start = Instant::now();
    let mut source = paced(folder.path(), "@1");
    assert_eq!(after(&mut source, start, 0.0), Some((0, 0.0)));
    assert_eq!(after(&mut source, start, 1.0), Some((1, 1.0)));
    put(folder.path(), "d.png", 3);
    put(folder.path(), "0.png", 9);
    assert_eq!(after(&mut source, start, 2.0), Some((2, 2.0)));
    assert!(!source.finished());
    assert_eq!(after(&mut source, start, 3.0), Some((3, 3.0)));
    assert!(source.finished());
}

#[test]
fn one_picture_may_be_a_source() {
    let folder = three();
    let mut source = paced(&folder.path().join("b.png"), "");
    let frame = source.next(Duration::ZERO).unwrap().unwrap();
    assert_eq!(number(frame), 1);
    assert!(source.finished());
}

#[test]
fn waiting_ends_with_the_patience() {
    let folder = three();
    let mut source = paced(folder.path(), "@0.001");
    assert!(source.next(Duration::ZERO).unwrap().is_some());
    assert!(source.next(Duration::from_millis(1)).unwrap().is_none());
    assert!(!source.finished());
    let mut source = paced(folder.path(), "@1000");
    let numbers = std::iter::from_fn(|| source.next(Duration::MAX).unwrap()).map(number);
    assert_eq!(numbers.last(), Some(2));
}

#[test]
fn a_recording_runs_at_its_own_rate() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.y4m");
    std::fs::write(&path, b"YUV4MPEG2 W2 H2 F4:1\nFRAME\n\x10\x10\x10\x10\x80\x80FRAME\n\xeb\xeb\xeb\xeb\x80\x80")
        .unwrap();
    let mut source = paced(&path, ",loop");
    let start = Instant::now();
    let mut seen = Vec::new();
    for step in 0..6 {
        if let Step::Frame(frame) = source.at(start + Duration::from_secs_f64(f64::from(step) / 4.0)) {
            seen.push(frame.pixels.develop().unwrap().to_rgb().pixels()[0]);
        }
    }
    assert_eq!(seen, [0, 255, 0, 255, 0, 255]);
    assert_eq!(source.describe(), format!("{}: 2 frames, 4.0000 a second, again and again", path.display()));
    // Cut short while it runs: that frame is passed over, the others go on.
    std::fs::File::options().write(true).open(&path).unwrap().set_len(35).unwrap();
    let left = (6..10)
        .filter(|step| matches!(source.at(start + Duration::from_secs_f64(f64::from(*step) / 4.0)), Step::Frame(_)));
    assert_eq!(left.count(), 2);
    assert_eq!(source.skipped(), 2);
}

#[test]
fn what_cannot_be_a_source_says_why() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("notes.txt"), b"text").unwrap();
    let refused = |text: String| crate::source::open(&text.parse().unwrap()).err().unwrap().to_string();
    let shown = folder.path().display();
    assert!(refused(format!("{shown}")).contains("holds no picture"));
    assert!(refused(format!("{shown}/notes.txt")).contains("ffmpeg"));
    assert!(refused(format!("{shown}/gone@5,lop")).contains(",loop"));
    assert!(refused("/dev/null".into()).contains("no file"));
}
