use super::*;
use crate::checkpoint::{Checkpoint, TensorSource};
use crate::test_support::{golden_json, golden_path, real_tokenizer};
use serde_json::Value;

const CONTEXT: &str = "<IMG_CONTEXT>";

fn texts(list: &Value) -> Vec<String> {
    let strings = list.as_array().unwrap().iter();
    strings.map(|s| s.as_str().unwrap().to_owned()).collect()
}

/// Builds the prompt of a golden case and compares its text, with images written out.
fn build(tokenizer: &Tokenizer, case: &Value, tokens_per_tile: usize) -> Prompt {
    let mut conversation = Conversation::new();
    for turn in case["history"].as_array().unwrap() {
        let [question, answer] = &texts(turn)[..] else { panic!("{turn}") };
        conversation.push(question, answer);
    }
    let tiles = case["num_patches_list"].as_array().unwrap();
    let tiles: Vec<usize> = tiles.iter().map(|n| n.as_u64().unwrap() as usize).collect();
    let question = case["question"].as_str().unwrap();
    let prompt = Prompt::build(tokenizer, &conversation, question, &tiles, tokens_per_tile).unwrap();
    let mut shown = prompt.text.clone();
    for count in &tiles {
        let tile = format!("<IMG_CONTEXT*{tokens_per_tile}>");
        let image = format!("<img>{}</img>", tile.repeat(*count));
        shown = shown.replacen(IMAGE_PLACEHOLDER, &image, 1);
    }
    assert_eq!(shown, case["prompt"].as_str().unwrap());
    assert_eq!(prompt.ids.len() as u64, case["n_tokens"].as_u64().unwrap());
    assert_eq!(prompt.visual_tokens(), tiles.iter().sum::<usize>() * tokens_per_tile);
    // Encoding the written-out text must give the same ids.
    let whole = shown.replace(&format!("<IMG_CONTEXT*{tokens_per_tile}>"), &CONTEXT.repeat(tokens_per_tile));
    assert_eq!(tokenizer.encode(&whole).unwrap(), prompt.ids);
    prompt
}

#[test]
fn prompts_of_all_golden_models_match() {
    let mut count = 0;
    for model in ["mono-v1", "mono-v15", "mono-v15-qkv", "internvl15"] {
        let tokenizer = Tokenizer::open(&golden_path(model)).unwrap();
        let golden = golden_json(&format!("{model}/golden.json"));
        let tensors = Checkpoint::open_file(&golden_path(&format!("{model}/golden.safetensors")));
        let tensors = tensors.unwrap();
        let per_tile = golden["tokens_per_tile"].as_u64().unwrap() as usize;
        for (name, case) in golden["cases"].as_object().unwrap() {
            let prompt = build(&tokenizer, case, per_tile);
            let ids = tensors.bytes(&format!("{name}.input_ids")).unwrap();
            let ids: Vec<u32> =
                ids.as_chunks::<8>().0.iter().map(|id| u64::from_le_bytes(*id) as u32).collect();
            assert_eq!(prompt.ids, ids, "{model} {name}");
            let mask = tensors.bytes(&format!("{name}.visual_mask")).unwrap();
            let ours: Vec<u8> = (0..ids.len()).map(|n| u8::from(prompt.is_visual(n))).collect();
            assert_eq!(ours, *mask);
            count += 1;
        }
    }
    assert_eq!(count, 10);
}

#[test]
fn prompts_of_the_real_tokenizer_match() {
    let Some(folder) = real_tokenizer() else { return };
    let tokenizer = Tokenizer::open(&folder).unwrap();
    let golden = std::fs::read(folder.join("prompts.json")).unwrap();
    let golden: Value = serde_json::from_slice(&golden).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    for case in cases {
        let prompt = build(&tokenizer, case, 256);
        let mut expected = Vec::new();
        for run in case["ids_run_length"].as_array().unwrap() {
            let (id, repeat) = (run[0].as_u64().unwrap(), run[1].as_u64().unwrap());
            expected.extend(std::iter::repeat_n(id as u32, repeat as usize));
        }
        assert_eq!(prompt.ids, expected);
    }
    assert_eq!(cases.len(), 10);
}

fn tiny() -> Tokenizer {
    Tokenizer::open(&golden_path("tiny-tokenizer")).unwrap()
}

#[test]
fn placeholders_must_match_the_images() {
    let conversation = Conversation::new();
    let ask = |question: &str, tiles: &[usize]| Prompt::build(&tiny(), &conversation, question, tiles, 4);
    assert!(matches!(ask("a", &[1]), Err(PromptError::Placeholders { images: 1, placeholders: 0 })));
    assert!(matches!(ask("<image> a", &[]), Err(PromptError::Placeholders { .. })));
    assert!(matches!(ask(" \n", &[]), Err(PromptError::Empty)));
    let error = ask("<image> and <IMG_CONTEXT>", &[1]).unwrap_err();
    assert!(matches!(error, PromptError::ContextTokens { expected: 4, got: 5 }));
}

#[test]
fn questions_without_placeholders_get_them() {
    assert_eq!(place_images("q", 0), "q");
    assert_eq!(place_images("q", 1), "<image>\nq");
    assert_eq!(place_images("see <image>: q", 1), "see <image>: q");
    assert_eq!(place_images("q", 2), "Image-1: <image>\nImage-2: <image>\nq");
    assert_eq!(place_frames("q", 2), "Frame1: <image>\nFrame2: <image>\nq");
    assert_eq!(place_images_official("q", 2), "<image 1> (图1):<image><image 2> (图2):<image>\nq");
}

#[test]
fn frames_are_spread_like_the_official_code_does() {
    assert_eq!(frame_indices(80, 8, None), [4, 14, 24, 34, 44, 53, 63, 73]);
    assert_eq!(frame_indices(9, 4, None), [1, 3, 5, 7]);
    assert_eq!(frame_indices(100, 2, Some((50, 70))), [55, 65]);
    assert_eq!(frame_indices(1, 3, None), [0, 0, 0]);
    assert!(frame_indices(0, 3, None).is_empty());
    assert!(frame_indices(5, 0, None).is_empty());
}

#[test]
fn another_system_message_takes_the_official_ones_place() {
    let parts = Conversation::with_system("Be brief.").prompt("Hi");
    let text = "<|im_start|>system\nBe brief.<|im_end|><|im_start|>user\nHi<|im_end|><|im_start|>assistant\n";
    assert_eq!(parts, [Part::Text(text.into())]);
}

#[test]
fn an_answer_whose_ids_are_known_is_not_cut_into_tokens_anew() {
    let tokenizer = tiny();
    let mut conversation = Conversation::with_system("");
    conversation.push("<image>a", "b");
    let of_text = Prompt::build(&tokenizer, &conversation, "c <image>", &[1, 2], 4).unwrap();
    // The same where the ids are those of the text ..
    let own = |text: &str| tokenizer.encode(text).unwrap()[1..].to_vec();
    conversation.turns[0].answer = Part::Ids(own("b"));
    assert_eq!(Prompt::build(&tokenizer, &conversation, "c <image>", &[1, 2], 4).unwrap(), of_text);
    // .. and otherwise those of the model: letter by letter, which is not how the text is cut into tokens.
    let apart: Vec<u32> = "the box".chars().flat_map(|c| own(&c.to_string())).collect();
    assert_ne!(apart, own("the box"));
    conversation.turns[0].answer = Part::Ids(apart.clone());
    let prompt = Prompt::build(&tokenizer, &conversation, "c <image>", &[1, 2], 4).unwrap();
    assert!(prompt.ids.windows(apart.len()).any(|ids| ids == apart));
    assert_eq!(prompt.images.len(), 2);
}
