//! Conversations on the CPU backend: streams, stops, follow-up questions, limits.

mod common;

use common::*;
use monolens_engine::{
    Chat, Engine, EngineError, EngineOptions, Event, FinishReason, Prompt, Role, Settings, TileOptions,
};
use pollster::block_on;

fn engine() -> Engine {
    engine_on(cpu(), model("mono-v1"), small())
}

fn chair(engine: &Engine) -> Vec<monolens_engine::Image> {
    let bytes = std::fs::read(golden_path("images/exact_448x448.png")).unwrap();
    engine.images(&[&bytes], &TileOptions { max_tiles: Some(1), budget: None }).unwrap().images
}

#[test]
fn an_answer_writes_itself_into_the_chat() {
    let mut engine = engine();
    let mut chat = Chat::new();
    chat.ask("What is it?", chair(&engine));
    let mut answer = engine.answer(&mut chat, golden_settings()).unwrap();
    let mut told = Told::default();
    while let Some(event) = block_on(answer.next()).unwrap() {
        told.add(event);
    }
    assert_eq!(answer.text(), told.text);
    drop(answer);
    assert_eq!(told.ids.len(), 16);
    let decoded = engine.model().tokenizer().decode_raw(&told.ids, true);
    assert_eq!(told.text, decoded);
    assert_eq!(chat.messages.len(), 2);
    assert_eq!((chat.messages[1].role, &chat.messages[1].text), (Role::Assistant, &decoded));
    assert!(matches!(
        told.events[0],
        Event::Started { visual_tokens: 16, reused_tokens: 0, tiles_to_encode: 1, .. }
    ));
    let stats = told.stats();
    assert_eq!((stats.generated_tokens, stats.tiles_encoded), (16, 1));
    assert!(stats.time_to_first_token > 0.0 && stats.decode_rate() > 0.0 && stats.prefill_rate() > 0.0);
}

#[test]
fn a_follow_up_question_does_no_image_work() {
    let mut engine = engine();
    let mut chat = Chat::new();
    chat.ask("What is it?", chair(&engine));
    block_on(engine.answer(&mut chat, golden_settings()).unwrap().finish()).unwrap();
    assert_eq!(engine.stats().tiles_encoded, 1);
    let first = engine.prompt(&chat).map(|p| p.ids.len()).unwrap();

    chat.ask("And what colour?", vec![]);
    let mut answer = engine.answer(&mut chat, golden_settings()).unwrap();
    let started = block_on(answer.next()).unwrap().unwrap();
    let Event::Started { reused_tokens, tiles_to_encode, .. } = started else { panic!("{started:?}") };
    assert!(reused_tokens > 64 && reused_tokens < first, "{reused_tokens} of {first}");
    assert_eq!(tiles_to_encode, 0);
    let text = block_on(answer.finish()).unwrap();
    assert_eq!(engine.stats().tiles_encoded, 1, "no tile more");

    // Without a cache the answer is the same.
    let mut fresh = engine_on(cpu(), model("mono-v1"), EngineOptions { prefix_cache: false, ..small() });
    chat.messages.pop();
    let again = block_on(fresh.answer(&mut chat, golden_settings()).unwrap().finish()).unwrap();
    assert_eq!(again, text);
}

#[test]
fn a_follow_up_question_does_no_work_for_a_sampled_answer_either() {
    let mut engine = engine();
    let mut chat = Chat::new();
    chat.ask("What is it?", chair(&engine));
    let sampled = Settings { temperature: 1.0, top_k: 0, top_p: 1.0, seed: Some(7), ..Settings::greedy(100) };
    let mut answer = engine.answer(&mut chat, Settings { use_model_stop_ids: false, ..sampled }).unwrap();
    let mut told = Told::default();
    while let Some(event) = block_on(answer.next()).unwrap() {
        told.add(event);
    }
    drop(answer);
    let first = told.stats();
    let anew = engine.model().tokenizer().encode(&told.text).unwrap();
    assert_ne!(anew[1..], told.ids, "a random model's text is cut into other tokens");

    chat.ask("And what colour?", vec![]);
    let mut answer = engine.answer(&mut chat, golden_settings()).unwrap();
    let started = block_on(answer.next()).unwrap().unwrap();
    let Event::Started { reused_tokens, .. } = started else { panic!("{started:?}") };
    let known = first.prompt_tokens + first.generated_tokens;
    // The last token was never read by the model.
    assert_eq!(reused_tokens, known - 1);
}

#[test]
fn a_stopped_answer_is_kept_and_gone_on_with() {
    let mut engine = engine();
    let mut chat = Chat::new();
    chat.ask("What is it?", chair(&engine));
    let mut answer = engine.answer(&mut chat, golden_settings()).unwrap();
    let mut said = String::new();
    for _ in 0..8 {
        match block_on(answer.next()).unwrap().unwrap() {
            Event::Token { text, .. } => said.push_str(&text),
            Event::Finished { .. } => panic!("too early"),
            _ => {}
        }
    }
    answer.stop();
    let last = block_on(answer.next()).unwrap().unwrap();
    let Event::Finished { reason, text, .. } = last else { panic!("{last:?}") };
    assert_eq!(reason, FinishReason::Stopped);
    said.push_str(&text);
    assert!(block_on(answer.next()).unwrap().is_none());
    drop(answer);
    assert_eq!(chat.messages[1].text, said);
    assert!(!engine.is_busy());

    let prompt = engine.prompt(&chat).unwrap();
    let end = engine.model().tokenizer().decode_raw(&prompt.ids, false);
    assert!(end.ends_with(&format!("<|im_start|>assistant\n{said}")), "{end}");
    let rest = block_on(engine.answer(&mut chat, Settings::greedy(4)).unwrap().finish()).unwrap();
    assert_eq!(chat.messages.len(), 2, "one answer, longer now");
    assert!(
        chat.messages[1].text.starts_with(said.trim_end()) && chat.messages[1].text.contains(rest.trim())
    );
}

#[test]
fn a_dropped_answer_is_gone_and_the_question_stays() {
    let mut engine = engine();
    let mut chat = Chat::new();
    chat.ask("What is it?", vec![]);
    let mut answer = engine.answer(&mut chat, golden_settings()).unwrap();
    block_on(answer.next()).unwrap();
    drop(answer);
    assert!(!engine.is_busy());
    assert_eq!((chat.messages.len(), engine.memory().kv_tokens_used), (1, 0));
}

#[test]
fn stop_ids_and_stop_strings_end_an_answer_and_are_not_part_of_it() {
    let mut engine = engine();
    let mut chat = Chat::new();
    chat.ask("What is it?", chair(&engine));
    let prompt = engine.prompt(&chat).unwrap();
    let all = run(&mut engine, prompt.clone(), golden_settings()).unwrap();

    let last = (1..16).rev().find(|&i| !all.ids[..i].contains(&all.ids[i])).unwrap();
    assert!(last > 2);
    let stopped = Settings { stop_ids: vec![all.ids[last]], ..golden_settings() };
    let told = run(&mut engine, prompt.clone(), stopped).unwrap();
    assert_eq!(told.ids, all.ids[..last]);
    assert!(matches!(told.events.last(), Some(Event::Finished { reason: FinishReason::EndOfAnswer, .. })));

    let word: String = all.text.chars().skip(3).take(2).collect();
    let stopped = Settings { stop_strings: vec![word.clone()], ..golden_settings() };
    let told = run(&mut engine, prompt, stopped).unwrap();
    assert_eq!(told.text, all.text[..all.text.find(&word).unwrap()]);
    assert!(matches!(told.events.last(), Some(Event::Finished { reason: FinishReason::StopString, .. })));
}

#[test]
fn an_answer_ends_where_the_context_does() {
    let mut engine = engine_on(cpu(), model("mono-v1"), EngineOptions { context: Some(96), ..small() });
    let mut chat = Chat::new();
    chat.ask("Hello", vec![]);
    let prompt = engine.prompt(&chat).unwrap();
    let length = prompt.ids.len();
    let settings = Settings { use_model_stop_ids: false, ..Settings::greedy(1000) };
    let told = run(&mut engine, prompt, settings).unwrap();
    assert_eq!(length + told.ids.len(), 96);
    assert!(matches!(told.events.last(), Some(Event::Finished { reason: FinishReason::ContextFull, .. })));
}

#[test]
fn prompts_that_cannot_be_run_are_refused_with_numbers() {
    let mut engine = engine();
    let mut refuse = |prompt: Prompt| engine.submit(prompt, Settings::default()).unwrap_err();
    assert!(matches!(refuse(Prompt::default()), EngineError::EmptyPrompt));
    let long = refuse(Prompt { ids: vec![5; 600], images: vec![] });
    let expected = "the prompt has 600 tokens (0 visual), the context holds 512, the answer included";
    assert_eq!(long.to_string(), expected);
    let bad = refuse(Prompt { ids: vec![1, 512], images: vec![] });
    assert!(matches!(bad, EngineError::BadToken { id: 512, position: 1, vocab: 512 }));
    let lonely = refuse(Prompt { ids: vec![1, 505], images: vec![] });
    assert!(matches!(lonely, EngineError::VisualMismatch { placeholders: 1, visual: 0 }));
    assert!(!engine.is_busy());
}

#[test]
fn broken_images_are_refused() {
    let engine = engine();
    for bytes in [&b""[..], b"no image", b"\x89PNG\r\n\x1a\n"] {
        assert!(matches!(engine.images(&[bytes], &TileOptions::default()), Err(EngineError::Image(_))));
    }
}

#[test]
fn sampling_is_reproducible_and_the_penalty_works() {
    let mut engine = engine();
    let mut chat = Chat::new();
    chat.ask("Hello", vec![]);
    let prompt = engine.prompt(&chat).unwrap();
    let mut with = |settings: Settings| run(&mut engine, prompt.clone(), settings).unwrap().ids;
    let drawn = Settings { temperature: 1.2, top_k: 50, top_p: 0.95, seed: Some(7), ..golden_settings() };
    assert_eq!(with(drawn.clone()), with(drawn.clone()));
    assert_ne!(with(drawn.clone()), with(Settings { seed: Some(8), ..drawn.clone() }));
    let one = Settings { top_k: 1, ..drawn };
    assert_eq!(with(one), with(golden_settings()), "one candidate is greedy");
    let unlike = with(Settings { repetition_penalty: 1e3, ..golden_settings() });
    let mut distinct = unlike.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), unlike.len(), "a huge penalty forbids repeating: {unlike:?}");
}

#[test]
fn not_finite_weights_are_refused_by_name_and_loading_can_be_cancelled() {
    use monolens_models::checkpoint::{CheckpointError, DType, TensorInfo, TensorSource};
    use monolens_models::config::{GenerationConfig, ModelConfig};
    use monolens_models::tokenizer::Tokenizer;
    use monolens_models::{Model, ModelParts};
    use std::borrow::Cow;
    use std::ops::ControlFlow;
    use std::sync::Arc;

    /// The golden weights with one NaN.
    struct Broken(Arc<Model>);
    impl TensorSource for Broken {
        fn names(&self) -> Vec<&str> {
            self.0.tensors().names()
        }
        fn info(&self, tensor: &str) -> Option<&TensorInfo> {
            self.0.tensors().info(tensor)
        }
        fn bytes(&self, tensor: &str) -> Result<Cow<'_, [u8]>, CheckpointError> {
            let mut bytes = self.0.tensors().bytes(tensor)?.into_owned();
            if tensor.ends_with("layers.1.attention.wo.weight") {
                assert_eq!(self.info(tensor).unwrap().dtype, DType::F32);
                bytes[400..404].copy_from_slice(&f32::NAN.to_le_bytes());
            }
            Ok(bytes.into())
        }
    }
    let parts = ModelParts {
        config: ModelConfig::from_json(&std::fs::read(golden_path("mono-v1/config.json")).unwrap()).unwrap(),
        generation: GenerationConfig::default(),
        tokenizer: Tokenizer::open(&golden_path("mono-v1")).unwrap(),
        tensors: Arc::new(Broken(model("mono-v1"))),
    };
    let broken = Arc::new(Model::from_parts(parts).unwrap());
    let mut seen = Vec::new();
    let mut watch = |p: monolens_engine::Progress<'_>| {
        assert!(p.done <= p.total);
        seen.push(p.done);
        ControlFlow::Continue(())
    };
    let error = block_on(Engine::load(broken.clone(), cpu(), small(), &mut watch)).err().unwrap().to_string();
    assert!(error.contains("layers.1.attention.wo.weight") && error.contains("element 100"), "{error}");
    assert!(seen.len() > 10 && seen.is_sorted());

    // Whoever does not look gets no token instead of a wrong one.
    let options = EngineOptions { check_finite: false, ..small() };
    let mut engine = engine_on(cpu(), broken, options);
    let error = run(&mut engine, Prompt { ids: vec![1, 5, 6], images: vec![] }, golden_settings());
    assert!(matches!(error, Err(EngineError::NoFiniteLogits)), "{error:?}");

    let mut stop = |p: monolens_engine::Progress<'_>| {
        if p.done > 100_000 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let cancelled = block_on(Engine::load(model("mono-v1"), cpu(), small(), &mut stop));
    assert!(matches!(cancelled, Err(EngineError::Cancelled)));
}

#[test]
fn every_stage_of_loading_is_told_from_none_to_all() {
    use monolens_engine::Stage;
    use std::ops::ControlFlow;

    let mut seen = Vec::new();
    let mut watch = |p: monolens_engine::Progress<'_>| {
        seen.push((p.stage, p.done, p.total));
        ControlFlow::Continue(())
    };
    block_on(Engine::load(model("mono-v1"), cpu(), small(), &mut watch)).unwrap();
    for stage in [Stage::Weights, Stage::Programs] {
        let of_stage: Vec<_> = seen.iter().filter(|at| at.0 == stage).collect();
        let (first, last) = (of_stage[0], of_stage[of_stage.len() - 1]);
        assert_eq!(first.1, 0, "{stage:?}");
        assert!(last.1 == last.2 && last.2 > 0, "{stage:?}: {last:?}");
        assert!(of_stage.is_sorted_by_key(|at| at.1), "{stage:?}");
    }
}
