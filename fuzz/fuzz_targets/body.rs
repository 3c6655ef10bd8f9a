//! Any body: what is read and written again is the same bytes, because each mask and polygon has one form.
#![no_main]

use cutout_protocol::body::contour::{self, Contour, Part, Ring};
use cutout_protocol::body::rle::{self, Spans};
use cutout_protocol::body::{BBox, Centroid, Items, area_from_bytes};
use cutout_protocol::{ItemKind, SliceSink};
use libfuzzer_sys::fuzz_target;

fn check_rle(bytes: &[u8]) {
    let Ok(spans) = Spans::new(bytes) else { return };
    let (width, height) = (spans.width() as u16, spans.height() as u16);
    let Ok(spans) = spans.collect::<Result<Vec<_>, _>>() else { return };
    let mut out = vec![0; bytes.len()];
    rle::encode(width, height, spans, &mut SliceSink::new(&mut out)).expect("spans that were read are a mask");
    assert_eq!(out, bytes);
}

fn check_contour(bytes: &[u8]) {
    let Ok(contour) = Contour::new(bytes) else { return };
    let iou = contour.iou();
    let mut rings: Vec<(bool, Vec<[u16; 2]>)> = Vec::new();
    for part in contour {
        match part {
            Ok(Part::Ring { hole, .. }) => rings.push((hole, Vec::new())),
            Ok(Part::Point { x, y }) => rings.last_mut().expect("a ring comes first").1.push([x, y]),
            Err(_) => return,
        }
    }
    let rings: Vec<_> = rings.iter().map(|(hole, points)| Ring { hole: *hole, points }).collect();
    let mut out = vec![0; bytes.len()];
    contour::encode(iou, &rings, &mut SliceSink::new(&mut out)).expect("as long as what was read");
    assert_eq!(out, bytes);
}

fuzz_target!(|data: &[u8]| {
    for item in Items::new(data).flatten() {
        match item.kind {
            ItemKind::BBox => drop(BBox::from_bytes(item.bytes)),
            ItemKind::Centroid => drop(Centroid::from_bytes(item.bytes)),
            ItemKind::Area => drop(area_from_bytes(item.bytes)),
            ItemKind::Contour => check_contour(item.bytes),
            _ => check_rle(item.bytes),
        }
    }
});
