//! What torch has written, and what others have broken.

use super::*;
use crate::model::files::pickle::{MAX_OPCODES, TOO_MANY};
use crate::model::files::torch_write::{StateTensor, Values, write_state_dict};
use std::io::{self, Cursor};

#[derive(serde::Deserialize)]
struct Expected {
    key: Option<String>,
    tensors: BTreeMap<String, Golden>,
}

#[derive(serde::Deserialize)]
struct Golden {
    shape: Vec<usize>,
    values: Vec<f64>,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/torch").join(name)
}

fn index() -> BTreeMap<String, Expected> {
    serde_json::from_str(&std::fs::read_to_string(fixture("index.json")).unwrap()).unwrap()
}

fn error(name: &str) -> String {
    TorchFile::open(&fixture(name)).unwrap_err().to_string()
}

#[test]
fn files_of_torch_are_read_to_the_bit() {
    for (name, expected) in index() {
        let file = TorchFile::open(&fixture(&name)).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(file.key(), expected.key.as_deref(), "{name}");
        assert_eq!(file.names(), expected.tensors.keys().cloned().collect::<Vec<_>>(), "{name}");
        for (tensor, golden) in expected.tensors {
            let what = format!("{name}: {tensor}");
            assert_eq!(file.shape(&tensor).unwrap(), golden.shape, "{what}");
            if tensor.ends_with("num_batches_tracked") {
                assert!(file.values(&tensor).unwrap_err().to_string().contains("of type Long"), "{what}");
                continue;
            }
            let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            let golden = golden.values.into_iter().map(|value| value as f32).collect();
            assert_eq!(bits(file.values(&tensor).unwrap()), bits(golden), "{what}");
        }
    }
}

#[test]
fn what_is_not_a_state_dict_is_refused_with_a_reason() {
    assert!(
        error("two_models.pth")
            .contains("holds tensors under 'generator', 'discriminator' only; expected a state dict")
    );
    assert!(error("no_tensors.pth").contains("holds no tensors by name"));
    assert!(error("list.pth").contains("holds no tensors by name"));
    assert!(
        error("sparse.pth")
            .contains("its 'weight' is no plain tensor ('torch._utils._rebuild_sparse_tensor')")
    );
    assert!(
        error("whole_model.pth").contains("holds a whole module ('torch.nn.modules.container.Sequential')")
    );
    assert!(error("whole_model_beside.pth").contains("torch.save(model.state_dict(), PATH)"));
    // A whole module in the legacy format, whose persistent ids hold the source of its classes.
    let module = b"\x80\x02(X\x06\0\0\0modulec__main__\nNet\nX\x06\0\0\0net.py\
          X\x05\0\0\0classtQ)\x81}X\x08\0\0\0_modules}sb.";
    assert!(
        open_bytes(&legacy(module))
            .unwrap_err()
            .to_string()
            .contains("holds a whole module ('__main__.Net')")
    );
    assert!(error("no_torch.zip").contains("not a whole PyTorch file"));
    assert!(error("compressed.pth").contains("is compressed"));
    assert!(error("index.json").contains("not a whole PyTorch file"));
    assert!(error("missing.pth").contains("no such file"));
    let big_endian =
        legacy(b"\x80\x02}.").iter().map(|&byte| if byte == 0x88 { 0x89 } else { byte }).collect::<Vec<_>>();
    assert!(open_bytes(&big_endian).unwrap_err().to_string().contains("not in little-endian order"));
    let integers = TorchFile::open(&fixture("integers.pth")).unwrap();
    assert_eq!(integers.values("f32").unwrap().len(), 8);
    assert!(integers.values("u8").unwrap_err().to_string().contains("of type Byte; expected floats"));
    assert!(integers.values("other").unwrap_err().to_string().contains("there is no tensor 'other'"));
    for name in std::fs::read_dir(fixture("")).unwrap() {
        if let Err(e) = TorchFile::open(&name.unwrap().path()) {
            assert!(!e.to_string().contains('\n'), "{e}");
        }
    }
}

/// Opens bytes as a file and reads every tensor that is no larger than a megabyte.
fn open_bytes(bytes: &[u8]) -> Result<()> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let file = TorchFile::open(file.path())?;
    let small = |name: &String| file.shape(name).unwrap().iter().product::<usize>() < 1 << 20;
    file.names().iter().filter(|name| small(name)).try_for_each(|name| match file.values(name) {
        Err(e) if e.to_string().contains("expected floats") => Ok(()),
        other => other.map(drop),
    })
}

#[test]
fn cut_files_are_refused() {
    for name in ["zip.pth", "legacy.pth", "checkpoint.pth"] {
        let bytes = std::fs::read(fixture(name)).unwrap();
        open_bytes(&bytes).unwrap();
        for length in (0..bytes.len()).step_by(bytes.len() / 50) {
            assert!(open_bytes(&bytes[..length]).is_err(), "{name} cut to {length} bytes");
        }
    }
}

#[test]
fn damaged_files_never_panic() {
    // SplitMix64: a fixed sequence.
    let mut state = 1u64;
    let mut next = |below: usize| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % below as u64) as usize
    };
    for name in
        ["zip.pth", "legacy.pth", "checkpoint.pth", "views_legacy.pth", "whole_model.pth", "protocol5.pth"]
    {
        let original = std::fs::read(fixture(name)).unwrap();
        for _ in 0..400 {
            let mut bytes = original.clone();
            for _ in 0..=next(4) {
                let place = next(bytes.len());
                match next(4) {
                    0 => bytes[place] = next(256) as u8,
                    1 => bytes[place] ^= 1 << next(8),
                    2 => drop(bytes.drain(place..(place + next(16)).min(bytes.len()))),
                    _ => {
                        let from = next(bytes.len());
                        let piece = bytes[from..(from + next(64)).min(bytes.len())].to_vec();
                        bytes.splice(place..place, piece);
                    }
                }
            }
            let _ = open_bytes(&bytes);
        }
    }
}

/// A legacy file around a pickle.
fn legacy(pickle: &[u8]) -> Vec<u8> {
    let header = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02\
          }X\x0d\0\0\0little_endian\x88s.";
    [header, pickle, b"\x80\x02]."].concat()
}

fn integer(value: u64) -> Vec<u8> {
    [&b"\x8a\x08"[..], &value.to_le_bytes()].concat()
}

/// A legacy file of one tensor named `w`, whose storage is there.
fn one_tensor(count: u64, offset: u64, shape: &[u64], strides: &[u64]) -> Vec<u8> {
    let integers = |values: &[u64]| values.iter().flat_map(|value| integer(*value)).collect::<Vec<_>>();
    let parts: [&[u8]; 10] = [
        b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n(\
          (X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000N",
        &integer(count),
        b"tQ",
        &integer(offset),
        b"(",
        &integers(shape),
        b"t(",
        &integers(strides),
        b"t\x89}tRs.\x80\x02]X\x01\0\0\x000a.",
        &count.to_le_bytes(),
    ];
    let file = legacy(&parts.concat());
    let without_list = file.strip_suffix(b"\x80\x02].").unwrap();
    [without_list, &vec![0; 4 * count.min(1000) as usize]].concat()
}

#[test]
fn tensors_beyond_their_storage_are_refused() {
    open_bytes(&one_tensor(6, 0, &[2, 3], &[3, 1])).unwrap();
    open_bytes(&one_tensor(6, 5, &[1000, 1], &[0, 7])).unwrap();
    let cases: [(u64, u64, &[u64], &[u64]); 10] = [
        (6, 1, &[2, 3], &[3, 1]),
        (6, 0, &[7], &[1]),
        (6, 0, &[2, 3], &[1]),
        (6, 0, &[1 << 40], &[0]),
        (6, 0, &[1 << 33, 1 << 33], &[0, 0]),
        (6, i64::MAX as u64, &[2], &[1]),
        (6, 0, &[2], &[i64::MAX as u64]),
        (6, 0, &[2], &[u64::MAX]),
        (1 << 40, 0, &[1 << 40], &[1]),
        (1 << 62, 0, &[2], &[1]),
    ];
    for (count, offset, shape, strides) in cases {
        assert!(
            open_bytes(&one_tensor(count, offset, shape, strides)).is_err(),
            "{count} {offset} {shape:?} {strides:?}"
        );
    }
}

#[test]
fn descriptions_that_would_grow_are_refused() {
    let huge_string = b"\x80\x02X\xff\xff\xff\xff.".to_vec();
    let huge_long = b"\x80\x02\x8b\xff\xff\xff\x7f.".to_vec();
    let many = [&b"\x80\x02"[..], &b"N".repeat(MAX_OPCODES)].concat();
    // A list of a thousand pairs, made into a dictionary again and again.
    let copies = [
        &b"\x80\x02ccollections\nOrderedDict\nq\x00]"[..],
        &b"K\x01K\x02\x86a".repeat(1000),
        &b"\x85q\x01"[..],
        &b"h\x00h\x01R".repeat(100_000),
        &b"."[..],
    ]
    .concat();
    for (pickle, problem) in
        [(huge_string, "ends early"), (huge_long, "ends early"), (many, TOO_MANY), (copies, TOO_MANY)]
    {
        let error = open_bytes(&legacy(&pickle)).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
    // Neither depth nor doubling costs anything: values refer to each other.
    let deep = [&b"\x80\x02"[..], &b"]".repeat(500_000), &b"a".repeat(499_999), b"."].concat();
    let doubling = [&b"\x80\x02K\x01"[..], &b"2\x86".repeat(1000), b"."].concat();
    for pickle in [deep, doubling] {
        assert!(open_bytes(&legacy(&pickle)).unwrap_err().to_string().contains("holds no tensors by name"));
    }
}

#[test]
fn false_sizes_and_checksums_of_a_zip_are_seen() {
    let mut bytes = Cursor::new(Vec::new());
    write_state_dict(&mut bytes, sample().into_iter().map(Ok)).unwrap();
    let bytes = bytes.into_inner();
    open_bytes(&bytes).unwrap();
    let places: Vec<usize> =
        bytes.windows(14).enumerate().filter(|(_, w)| w == b"archive/data/0").map(|(i, _)| i).collect();
    let [_, central] = places[..] else { panic!("a local and a central entry") };
    let mut large = bytes.clone();
    large[central - 26..central - 18].copy_from_slice(&[0, 0, 0, 0x70, 0, 0, 0, 0x70]); // both sizes
    assert!(open_bytes(&large).unwrap_err().to_string().contains("its end is missing"));
    let mut damaged = bytes.clone();
    let first_value = bytes.windows(4).position(|w| w == (1.0f32 / 7.0).to_le_bytes()).unwrap();
    damaged[first_value] ^= 1;
    assert!(
        open_bytes(&damaged)
            .unwrap_err()
            .to_string()
            .contains("'features.0.weight' do not match their checksum")
    );
}

#[test]
fn objects_are_named_and_never_made() {
    // os.system("...") as pickle would run it; it stays an opaque value beside the tensors.
    let evil = b"\x80\x02}(X\x01\0\0\0acos\nsystem\nX\x02\0\0\0id\x85RX\x05\0\0\0epochK\x03u.";
    assert!(open_bytes(&legacy(evil)).unwrap_err().to_string().contains("holds no tensors by name"));
}

fn sample() -> Vec<StateTensor> {
    let tensor =
        |name: &str, shape: &[usize], values| StateTensor { name: name.into(), shape: shape.into(), values };
    vec![
        tensor("features.0.weight", &[2, 3, 1, 2], Values::F32((0..12).map(|v| v as f32 / 7.0).collect())),
        tensor("features.0.bias", &[2], Values::F32(vec![f32::MIN_POSITIVE, -0.0])),
        tensor("features.1.num_batches_tracked", &[], Values::I64(vec![1 << 40])),
        tensor("empty", &[0, 3], Values::F32(Vec::new())),
    ]
}

#[test]
fn what_is_written_is_read_back() {
    let mut bytes = Cursor::new(Vec::new());
    write_state_dict(&mut bytes, sample().into_iter().map(Ok)).unwrap();
    let mut again = Cursor::new(Vec::new());
    write_state_dict(&mut again, sample().into_iter().map(Ok)).unwrap();
    assert_eq!(bytes, again);

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes.get_ref()).unwrap();
    let file = TorchFile::open(file.path()).unwrap();
    assert_eq!((file.key(), file.names().len()), (None, 4));
    for StateTensor { name, shape, values } in sample() {
        assert_eq!(file.shape(&name).unwrap(), shape);
        match values {
            Values::F32(values) => assert_eq!(file.values(&name).unwrap(), values),
            Values::I64(_) => {
                assert!(file.values(&name).unwrap_err().to_string().contains("of type Long"))
            }
        }
    }
    let mut zip = ZipArchive::new(bytes).unwrap();
    for index in 0..zip.len() {
        let entry = zip.by_index(index).unwrap();
        assert_eq!((entry.compression(), entry.data_start().unwrap() % 64), (CompressionMethod::Stored, 0));
    }
}

#[test]
fn a_wrong_count_of_values_is_refused() {
    let wrong = StateTensor { name: "w".into(), shape: vec![2, 2], values: Values::F32(vec![0.0; 3]) };
    let error = write_state_dict(Cursor::new(Vec::new()), [Ok(wrong)]).unwrap_err();
    assert!(error.to_string().contains("shape [2, 2] comes with 3 values"));
    let error =
        write_state_dict(Cursor::new(Vec::new()), [Err(io::Error::other("the device is gone"))]).unwrap_err();
    assert_eq!(error.to_string(), "the device is gone");
}

#[test]
fn half_precision_numbers_keep_their_value() {
    let cases = [
        (0x0000, 0.0),
        (0x3c00, 1.0),
        (0xc100, -2.5),
        (0x7bff, 65504.0),
        (0x0400, 6.103_515_6e-5),
        (0x0001, 5.960_464_5e-8),
    ];
    for (bits, value) in cases {
        assert_eq!(f16_to_f32(bits), value);
    }
    assert_eq!(f16_to_f32(0x8000).to_bits(), (-0.0f32).to_bits());
    assert_eq!(f16_to_f32(0xfc00), f32::NEG_INFINITY);
    assert!(f16_to_f32(0x7e00).is_nan());
    assert_eq!(bf16_to_f32(0xc020), -2.5);
}
