//! A hostile or damaged checkpoint can do nothing but fail with an error.

use std::io::{Cursor, Write};
use std::path::Path;

use cutout_models::Error;
use cutout_models::checkpoint::StateDict;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

fn sample(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)).unwrap()
}

/// An archive as `torch.save` writes it, with a pickle of the test's own.
fn archive(pickle: &[u8], storages: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut add = |name: &str, bytes: &[u8]| {
        zip.start_file(format!("archive/{name}"), stored).unwrap();
        zip.write_all(bytes).unwrap();
    };
    add("data.pkl", pickle);
    for (key, bytes) in storages {
        add(&format!("data/{key}"), bytes);
    }
    zip.finish().unwrap().into_inner()
}

fn text(value: &str) -> Vec<u8> {
    [b"X".as_slice(), &(value.len() as u32).to_le_bytes(), value.as_bytes()].concat()
}

fn int(value: i64) -> Vec<u8> {
    [b"\x8a\x08".as_slice(), &value.to_le_bytes()].concat()
}

fn tuple(items: &[i64]) -> Vec<u8> {
    let items: Vec<u8> = items.iter().flat_map(|n| int(*n)).collect();
    [b"(".as_slice(), &items, b"t"].concat()
}

/// A call of `_rebuild_tensor_v2` on storage `key` of float32.
fn tensor(key: &str, count: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n((".as_slice(),
        &text("storage"),
        b"ctorch\nFloatStorage\n",
        &text(key),
        &text("cpu"),
        &int(count),
        b"tQ",
        &int(offset),
        &tuple(shape),
        &tuple(strides),
        b"\x89ccollections\nOrderedDict\n)RtR",
    ]
    .concat()
}

/// A pickled dict with one entry.
fn dict(name: &str, value: &[u8]) -> Vec<u8> {
    [b"\x80\x02}".as_slice(), &text(name), value, b"s."].concat()
}

/// Reads a file and, where it opens, everything in it.
fn read_all(bytes: Vec<u8>) -> Result<usize, Error> {
    let weights = StateDict::from_bytes(bytes)?;
    weights.names().map(|name| weights.to_f32(name).map(|values| values.len())).sum()
}

fn refused(pickle: &[u8]) -> String {
    match read_all(archive(pickle, &[])) {
        Err(Error::Refused { what }) => what,
        other => panic!("{other:?}"),
    }
}

fn malformed(pickle: &[u8]) -> String {
    match read_all(archive(pickle, &[("0", &[0; 16])])) {
        Err(Error::Malformed { what }) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_assembled_pickles_are_valid_ones() {
    let fine = dict("w", &tensor("0", 4, 0, &[2, 2], &[2, 1]));
    assert_eq!(read_all(archive(&fine, &[("0", &[0; 16])])).unwrap(), 4);
}

#[test]
fn names_outside_the_closed_set_are_refused() {
    assert!(refused(b"\x80\x02cos\nsystem\n.").contains("os.system"));
    assert!(refused(b"\x80\x02cposix\nsystem\n)R.").contains("os.system"));
    assert!(refused(b"\x80\x02c__builtin__\neval\n.").contains("builtins.eval"));
    assert!(refused(b"\x80\x04\x8c\x0asubprocess\x94\x8c\x05Popen\x94\x93.").contains("subprocess.Popen"));
    assert!(refused(b"\x80\x02(ios\nsystem\n.").contains("os.system"));
    assert!(refused(b"\x80\x02ctorch.storage\n_load_from_bytes\n.").contains("torch.storage._load_from_bytes"));
    assert!(refused(b"\x80\x02ctorch.storage\nUntypedStorage\n.").contains("torch.storage.UntypedStorage"));
    assert!(refused(b"\x80\x02ccollections\nOrderedDict\x1b[31m\n.").contains("\\u{1b}"));
    let long = [b"\x80\x02cos\n".as_slice(), &vec![b'x'; 1 << 20], b"\n."].concat();
    assert!(refused(&long).len() < 400);
}

#[test]
fn opcodes_that_construct_objects_are_refused() {
    for (pickle, opcode) in [
        (b"\x80\x02ccollections\nOrderedDict\n)\x81.".as_slice(), "NEWOBJ"),
        (b"\x80\x04ccollections\nOrderedDict\n)}\x92.", "NEWOBJ_EX"),
        (b"\x80\x02(ccollections\nOrderedDict\no.", "OBJ"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"\x80\x02\x83\x01\x01.", "EXT2"),
        (b"\x80\x02\x84\x01\x01\x01\x01.", "EXT4"),
        (b"\x80\x02Pabc\n.", "PERSID"),
        (b"\x80\x02}}b.", "BUILD"),
        (b"\x80\x02)}b.", "BUILD"),
        (b"\x80\x02ccollections\nOrderedDict\n)R)b.", "BUILD"),
        (b"\x80\x02X\x02\0\0\0os)R.", "calls"),
        (b"\x80\x02ctorch\nFloatStorage\n)R.", "storage"),
    ] {
        assert!(refused(pickle).contains(opcode), "{opcode}");
    }
}

#[test]
fn damaged_pickles_are_malformed() {
    for pickle in [
        b"".as_slice(),
        b"\x80",
        b"\x80\x02",
        b"\x80\x01.",
        b"\x80\x09.",
        b"\x80\x02.",
        b"\x80\x02N.",
        b"\x80\x02t.",
        b"\x80\x02(.",
        b"\x80\x02N(a.",
        b"\x80\x02}(Nu.",
        b"\x80\x02]NNs.",
        b"\x80\x02}Na.",
        b"\x80\x02h\x05.",
        b"\x80\x02q\x00.",
        b"\x80\x02\x85.",
        b"\x80\x02NQ.",
        b"\x80\x02I1\n.",
        b"\x80\x02X\xff\xff\xff\xffabc",
        b"\x80\x02X\x02\0\0\0\xff\xfe.",
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xffabc",
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"\x80\x02\x8b\xff\xff\xff\xff.",
        b"\x80\x02ccollections\nOrderedDict\n]\x85R.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
        b"\x80\x02ctorch._utils\n_rebuild_parameter\nNNN\x87R.",
        b"\x80\x02ccollections\nOrderedDict",
        b"\x80\x04NN\x93.",
    ] {
        assert!(!malformed(pickle).is_empty());
    }
}

#[test]
fn nesting_and_size_are_bounded() {
    assert!(malformed(&[b"\x80\x02".as_slice(), &vec![b'('; 1 << 20]].concat()).contains("nested"));
    assert!(malformed(&[b"\x80\x02".as_slice(), &vec![b'}'; 2 << 20]].concat()).contains("objects"));
    assert!(malformed(&[b"\x80\x02".as_slice(), &vec![b'N'; 2 << 20]].concat()).contains("stack"));
    // A quarter of a million tuples, each in the next: dropping them must not recurse.
    let nested = [b"\x80\x02N".as_slice(), &vec![0x85; 1 << 18], b"."].concat();
    assert!(malformed(&nested).contains("not a dict"));
    // A dict that is its own entry `model`.
    assert!(malformed(&[b"\x80\x02}q\x00".as_slice(), &text("model"), b"h\x00s."].concat()).contains("'model'"));
    assert!(malformed(&vec![b'N'; (16 << 20) + 1]).contains("more than"));
}

#[test]
fn tensors_outside_their_storage_are_malformed() {
    let huge = i64::MAX;
    for (count, offset, shape, strides) in [
        (4, 0, [3, 2], [2, 1]),
        (4, 1, [2, 2], [2, 1]),
        (4, huge, [1, 1], [1, 1]),
        (4, -1, [1, 1], [1, 1]),
        (4, 0, [2, 2], [-1, 1]),
        (4, 0, [-2, 2], [2, 1]),
        (4, 0, [huge, huge], [0, 0]),
        (4, 0, [0, huge], [huge, huge]),
        (4, 0, [0, huge / 2], [1, 1]),
        (4, 0, [1 << 30, 1 << 30], [0, 0]),
        (4, 0, [2, 1], [huge, huge]),
        (5, 0, [1, 1], [1, 1]),
        (huge, 0, [1, 1], [1, 1]),
        (-1, 0, [1, 1], [1, 1]),
    ] {
        let pickle = dict("w", &tensor("0", count, offset, &shape, &strides));
        let found = read_all(archive(&pickle, &[("0", &[0; 16])]));
        // A zero-element tensor with one enormous dimension is harmless where it can be represented.
        let harmless = shape == [0, huge] || shape == [0, huge / 2];
        assert!(
            matches!(found, Err(Error::Malformed { .. })) || (harmless && matches!(found, Ok(0))),
            "{shape:?}: {found:?}"
        );
    }
    let rank = dict("w", &tensor("0", 4, 0, &[1; 100], &[1; 100]));
    assert!(malformed(&rank).contains("size or stride"));
    let uneven = dict("w", &tensor("0", 4, 0, &[2, 2], &[1]));
    assert!(malformed(&uneven).contains("'w'"));
    assert!(malformed(&dict("w", &tensor("1", 4, 0, &[4], &[1]))).contains("data/1"));
    assert!(malformed(&dict("w", &tensor("../../data.pkl", 1, 0, &[1], &[1]))).contains("no entry"));
}

/// A checkpoint of about 100 kB: one large tensor and some small ones.
fn large() -> Vec<u8> {
    let weights: Vec<u8> = (0..24_000u32).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let names: Vec<_> = (0..20).map(|i| format!("layer{i}.bias")).collect();
    let mut pickle = b"\x80\x02}".to_vec();
    for (name, key) in names.iter().zip(1..) {
        pickle.extend([text(name), tensor(&format!("{key}"), 4, 0, &[4], &[1]), b"s".to_vec()].concat());
    }
    pickle.extend([text("w"), tensor("0", 24_000, 0, &[150, 160], &[160, 1]), b"s.".to_vec()].concat());
    let keys: Vec<_> = (1..=20).map(|i| i.to_string()).collect();
    let mut storages = vec![("0", weights.as_slice())];
    storages.extend(keys.iter().map(|key| (key.as_str(), &weights[..16])));
    archive(&pickle, &storages)
}

fn assert_no_prefix_opens(file: &[u8]) {
    let tail = file.len().saturating_sub(300);
    for len in (0..file.len()).step_by(1000).chain(tail..file.len()) {
        assert!(StateDict::from_bytes(file[..len].to_vec()).is_err(), "{len} of {}", file.len());
    }
}

#[test]
fn truncated_files_fail_cleanly() {
    let file = large();
    assert!(file.len() > 100_000);
    assert_eq!(read_all(file.clone()).unwrap(), 24_000 + 80);
    assert_no_prefix_opens(&file);

    let folder = tempfile::tempdir().unwrap();
    let (archived, flat) = (folder.path().join("w.pt"), folder.path().join("w.safetensors"));
    std::fs::write(&archived, &file).unwrap();
    let weights = StateDict::open(&archived).unwrap();
    weights.write_safetensors(cutout_models::checkpoint::Dtype::F32, &flat).unwrap();
    assert_no_prefix_opens(&std::fs::read(&flat).unwrap());
    for len in (0..file.len()).step_by(1000) {
        std::fs::write(folder.path().join("cut.pt"), &file[..len]).unwrap();
        let error = StateDict::open(folder.path().join("cut.pt")).unwrap_err();
        assert!(error.to_string().contains("cut.pt"), "{error}");
    }
    for name in ["plain.pt", "nested.pt", "mixed.safetensors"] {
        assert_no_prefix_opens(&sample(name));
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let mut state = 2024u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for name in ["mixed.pt", "nested.pt", "protocol4.pt", "views.pt", "mixed.safetensors"] {
        let file = sample(name);
        let mut opened = 0;
        for _ in 0..3000 {
            let mut damaged = file.clone();
            for _ in 0..=random(4) {
                let at = random(damaged.len());
                damaged[at] = random(256) as u8;
            }
            opened += usize::from(read_all(damaged).is_ok());
        }
        assert!(opened < 3000, "{name}");
    }
}
