use super::*;
use crate::checkpoint::Checkpoint;
use crate::config::AttentionExperts;
use crate::random::Preset;
use crate::test_support::{golden, golden_path};
use crate::weights::interpolate_positions;

const FOLDERS: [&str; 8] = [
    "mono-v1",
    "mono-v1/bf16",
    "mono-v1/sharded",
    "mono-v15",
    "mono-v15/bf16",
    "mono-v15-qkv",
    "internvl15",
    "mono-v1",
];

#[test]
fn every_golden_folder_opens_and_gives_all_its_weights() {
    for folder in FOLDERS {
        let model = Model::open(&golden_path(folder)).unwrap();
        let vision = model.vision_graph(true).unwrap();
        let decoder = model.decoder_graph(&DecoderOptions::default()).unwrap();
        for weight in vision.weights.iter().chain(&decoder.weights) {
            let got = model.weight(&weight.name).unwrap();
            let elements: usize = weight.shape.iter().product();
            assert_eq!(got.bytes.len() as u64, elements as u64 * got.dtype.size());
            assert_eq!(Some(got.dtype), model.weight_dtype(&weight.name));
        }
        model.scan_finite(&decoder).unwrap();
        let unused = unused_tensors(model.config(), &[&vision, &decoder], model.tensors());
        let mono = model.config().family == Family::Mono;
        let class = "vision_model.embeddings.class_embedding";
        assert_eq!(unused, if mono { vec![class] } else { vec![] }, "{folder}");
    }
}

#[test]
fn the_experts_are_read_off_the_tensors() {
    let experts = |folder: &str| Model::open(&golden_path(folder)).unwrap().experts().attention;
    assert_eq!(experts("mono-v1"), AttentionExperts::None);
    assert_eq!(experts("mono-v15"), AttentionExperts::Qkvo);
    assert_eq!(experts("mono-v15-qkv"), AttentionExperts::Qkv);
    let with = |kind| {
        Model::open_with(&golden_path("mono-v15"), |config| {
            config.decoder.attention_experts = kind;
        })
    };
    assert_eq!(with(None).unwrap().experts().attention, AttentionExperts::Qkvo);
    let chained = with(Some(AttentionExperts::QkvoChained)).unwrap();
    assert_eq!(chained.name(), "Mono-InternVL-1.5 (qkvo, chained)");
}

#[test]
fn an_override_without_its_tensors_is_refused() {
    let opened = Model::open_with(&golden_path("mono-v15-qkv"), |config| {
        config.decoder.attention_experts = Some(AttentionExperts::Qkvo);
    });
    let error = opened.unwrap_err().to_string();
    assert!(error.contains("wo_ve") && error.contains("got attention.wqkv_ve"), "{error}");
}

#[test]
fn visual_experts_in_a_modular_config_are_refused() {
    let config = golden("internvl15/config.json");
    let parts = ModelParts {
        config: ModelConfig::from_json(&config).unwrap(),
        generation: GenerationConfig::default(),
        tokenizer: Tokenizer::open(&golden_path("mono-v1")).unwrap(),
        tensors: Arc::new(Checkpoint::open(&golden_path("mono-v1")).unwrap()),
    };
    let error = Model::from_parts(parts).unwrap_err().to_string();
    assert!(error.contains("feed_forward_ve"), "{error}");
}

#[test]
fn wrong_shapes_and_missing_tensors_are_named() {
    let open = |change: fn(&mut ModelConfig)| {
        Model::open_with(&golden_path("mono-v1"), change).unwrap_err().to_string()
    };
    let error = open(|config| config.decoder.intermediate_size = 161);
    assert!(error.contains("feed_forward.w1.weight") && error.contains("[161, 64]"), "{error}");
    let error = open(|config| config.decoder.num_layers = 4);
    assert!(error.contains("layers.3.") && error.contains("no such tensor"), "{error}");
    let error = open(|config| config.decoder.vocab_size = 500);
    assert!(error.contains("vocab_size 500"), "{error}");
}

#[test]
fn a_missing_tokenizer_or_config_is_named() {
    let error = Model::open(&golden_path("images")).unwrap_err().to_string();
    assert!(error.contains("config.json"), "{error}");
}

#[test]
fn position_tables_are_interpolated_to_the_tile() {
    let model = Model::open(&golden_path("mono-v15")).unwrap();
    let goldens = Checkpoint::open_file(&golden_path("mono-v15/golden.safetensors")).unwrap();
    let name = goldens.names().into_iter().find(|name| name.ends_with(".vision_embeddings"));
    let case = name.unwrap().strip_suffix(".vision_embeddings").unwrap();
    let embeddings = goldens.values(&format!("{case}.vision_embeddings")).unwrap();
    let patches = goldens.values(&format!("{case}.conv_patches")).unwrap();
    let stored = model.tensors().values("vision_model.embeddings.position_embedding").unwrap();
    let table = interpolate_positions(&stored, 8, 6);
    let (channels, side) = (32, 6);
    // First tile: embeddings [1+36, C] less patches [C, 6, 6] is the table.
    for p in 0..side * side {
        for c in 0..channels {
            let expected = embeddings[(1 + p) * channels + c] - patches[c * side * side + p];
            let got = table[(1 + p) * channels + c];
            assert!((got - expected).abs() < 2e-6, "{p} {c}: {got} {expected}");
        }
    }
    assert_eq!(interpolate_positions(&stored, 8, 8), stored);
}

#[test]
fn random_presets_open_with_the_small_tokenizer() {
    for preset in Preset::ALL {
        let model = Model::random(preset, DType::BF16, 1, None).unwrap();
        assert_eq!(preset.name().parse::<Preset>().unwrap(), preset);
        let prompt = model.prompt(&Conversation::new(), "<image>\nHi", &[2]).unwrap();
        assert_eq!(prompt.visual_tokens(), 2 * model.config().num_image_token());
    }
    assert!("huge".parse::<Preset>().is_err());
}

#[test]
fn parts_add_up_to_the_checkpoint() {
    let model = Model::open(&golden_path("mono-v15")).unwrap();
    let checkpoint = Checkpoint::open(&golden_path("mono-v15")).unwrap();
    let sizes = part_sizes(&model, None).unwrap();
    let total: u64 = sizes.iter().map(|size| size.parameters).sum();
    assert_eq!(total, checkpoint.layout().parameters());
    assert_eq!(sizes.len(), 9);
    assert!(sizes.iter().all(|size| size.part != Part::Other));
}

#[test]
fn a_layout_alone_is_enough_to_check_a_model() {
    let checkpoint = Checkpoint::open(&golden_path("mono-v1")).unwrap();
    let model = Model::from_parts(ModelParts {
        config: ModelConfig::from_json(&golden("mono-v1/config.json")).unwrap(),
        generation: GenerationConfig::default(),
        tokenizer: Tokenizer::open(&golden_path("mono-v1")).unwrap(),
        tensors: Arc::new(checkpoint.layout().clone()),
    });
    assert!(model.unwrap().weight("mlp1.0.weight").is_err());
}
