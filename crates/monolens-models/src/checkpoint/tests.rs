use super::*;
use crate::test_support::{golden, golden_path};
use serde_json::json;

fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

fn error_of(header: serde_json::Value, data: usize) -> String {
    let bytes = file(&header.to_string(), data);
    Checkpoint::from_bytes(bytes).unwrap_err().to_string()
}

fn two_floats(from: usize, to: usize) -> serde_json::Value {
    json!({"dtype": "F32", "shape": [2], "data_offsets": [from, to]})
}

#[test]
fn single_and_sharded_hold_the_same_tensors() {
    let single = Checkpoint::open(&golden_path("mono-v1/bf16")).unwrap();
    let sharded = Checkpoint::open(&golden_path("mono-v1/sharded")).unwrap();
    assert_eq!(sharded.layout().files().len(), 3);
    assert_eq!(single.names(), sharded.names());
    for name in single.names() {
        assert_eq!(single.slice(name).unwrap(), sharded.slice(name).unwrap());
        assert_eq!(single.info(name).unwrap().dtype, DType::BF16);
    }
}

#[test]
fn our_header_equals_the_reference_readers() {
    for name in ["mono-v1", "mono-v15", "mono-v15-qkv", "internvl15"] {
        let bytes = golden(&format!("{name}/golden.safetensors"));
        let ours = Checkpoint::from_bytes(bytes.clone()).unwrap();
        let theirs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(ours.layout().len(), theirs.len());
        for (name, view) in theirs.iter() {
            let info = ours.info(name).unwrap();
            assert_eq!(info.shape, view.shape());
            assert_eq!(ours.slice(name).unwrap(), view.data());
        }
    }
}

#[test]
fn a_tensor_wider_or_shorter_than_its_bytes_is_named() {
    let message = error_of(json!({"a.weight": two_floats(0, 4)}), 8);
    assert!(message.contains("a.weight"), "{message}");
    let huge = json!({"x": {"dtype": "F32", "shape": [1u64 << 62, 16], "data_offsets": [0, 0]}});
    assert!(error_of(huge, 0).contains('x'));
}

#[test]
fn overlaps_gaps_tails_and_truncation_are_refused() {
    let overlap = json!({"a": two_floats(0, 8), "b": two_floats(4, 12)});
    assert!(error_of(overlap, 12).contains("no overlap"));
    let gap = json!({"a": two_floats(0, 8), "b": two_floats(12, 20)});
    assert!(error_of(gap, 20).contains("no gap"));
    assert!(error_of(json!({"a": two_floats(0, 8)}), 9).contains("tail"));
    assert!(error_of(json!({"a": two_floats(0, 8)}), 7).contains("within the file"));
}

#[test]
fn unknown_types_and_repeated_names_are_refused() {
    let odd = json!({"a": {"dtype": "Q4", "shape": [2], "data_offsets": [0, 1]}});
    assert!(error_of(odd, 1).contains("BF16"));
    let entry = two_floats(0, 8);
    let twice = format!("{{\"a\":{entry},\"a\":{entry}}}");
    let error = Checkpoint::from_bytes(file(&twice, 8)).unwrap_err();
    assert!(error.to_string().contains("twice"));
}

#[test]
fn headers_longer_than_the_file_or_the_limit_are_refused() {
    let mut bytes = file("{}", 0);
    bytes[..8].copy_from_slice(&100u64.to_le_bytes());
    assert!(Checkpoint::from_bytes(bytes.clone()).is_err());
    bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let error = Checkpoint::from_bytes(bytes).unwrap_err().to_string();
    assert!(error.contains("at most"), "{error}");
    assert!(Checkpoint::from_bytes(vec![1, 2, 3]).is_err());
    assert!(Checkpoint::from_bytes(vec![]).is_err());
}

#[test]
fn a_missing_shard_is_named_with_its_tensors() {
    let folder = std::env::temp_dir().join(format!("monolens-shards-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let index = golden("mono-v1/sharded/model.safetensors.index.json");
    std::fs::write(folder.join("model.safetensors.index.json"), index).unwrap();
    let error = Checkpoint::open(&folder).unwrap_err();
    std::fs::remove_dir_all(&folder).unwrap();
    let CheckpointError::MissingShard { shard, tensors, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(shard, "model-00001-of-00003.safetensors");
    assert!(tensors > 1);
}

#[test]
fn a_folder_without_weights_says_what_is_expected() {
    let error = Checkpoint::open(&golden_path("images")).unwrap_err();
    assert!(error.to_string().contains("model.safetensors"));
}

#[test]
fn an_index_may_not_leave_its_folder() {
    for shard in ["../x", "/etc/x", "", "a/b", "..", "c:x"] {
        let json = json!({"weight_map": {"a": shard}}).to_string();
        assert!(ShardIndex::parse("index", json.as_bytes()).is_err());
    }
    assert!(ShardIndex::parse("index", b"{}").is_err());
}

#[test]
fn nan_and_infinite_weights_are_found_in_every_type() {
    let bf16 = [0x80, 0x3f, 0xc0, 0x7f];
    assert!(matches!(first_not_finite(DType::BF16, &bf16), Some((1, x)) if x.is_nan()));
    let f16 = [0x00, 0x7c, 0x00, 0x3c];
    assert_eq!(first_not_finite(DType::F16, &f16), Some((0, f32::INFINITY)));
    let mut f32s = [0u8; 12];
    assert_eq!(first_not_finite(DType::F32, &f32s), None);
    f32s[8..].copy_from_slice(&f32::NEG_INFINITY.to_le_bytes());
    assert_eq!(first_not_finite(DType::F32, &f32s), Some((2, f32::NEG_INFINITY)));
    let header = json!({"w": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}});
    let mut bytes = file(&header.to_string(), 0);
    bytes.extend_from_slice(&bf16);
    let error = Checkpoint::from_bytes(bytes).unwrap().scan_finite("w");
    assert!(error.unwrap_err().to_string().contains("element 1"));
}
