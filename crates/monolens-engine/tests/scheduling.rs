//! Many sequences at once: whatever the engine does with chunks, pages and places, every answer is what it is alone.

mod common;

use common::scripted::{Script, Scripted};
use common::*;
use monolens_engine::{Engine, EngineError, EngineOptions, Event, Image, Prompt, Settings};
use monolens_models::image::{Grid, ImageTiles, RgbImage};
use monolens_models::random::SplitMix;

const PLACEHOLDER: u32 = 505;

/// An image of `tiles` tiles of its own.
fn image(seed: u64, tiles: usize) -> Image {
    let mut random = SplitMix::new(seed);
    let pixels: Vec<u8> = (0..32 * 32 * 3).map(|_| random.below(256) as u8).collect();
    let rgb = RgbImage::new(32, 32, pixels).unwrap();
    Image::new(ImageTiles::new(&rgb, Grid { columns: tiles, rows: 1 }, 112, false))
}

/// A prompt of random text around images.
fn prompt(random: &mut SplitMix, images: Vec<Image>, text: usize) -> Prompt {
    let mut ids = vec![1];
    let mut words = |ids: &mut Vec<u32>, n: usize| ids.extend((0..n).map(|_| 3 + random.below(400) as u32));
    words(&mut ids, text / 2);
    for image in &images {
        ids.extend(std::iter::repeat_n(PLACEHOLDER, image.tiles().count() * 16));
        words(&mut ids, 2);
    }
    words(&mut ids, text - text / 2);
    Prompt { ids, images }
}

fn settings(n: usize) -> Settings {
    Settings { use_model_stop_ids: false, ..Settings::greedy(n) }
}

fn engine(options: EngineOptions) -> (Engine, common::scripted::SharedScript) {
    let (backend, script) = Scripted::open();
    (engine_on(backend, model("mono-v1"), options), script)
}

/// What the prompt gives in an engine of its own, in one piece.
fn alone(prompt: &Prompt, settings: &Settings) -> Vec<u32> {
    let options = EngineOptions { chunk: 512, ..small() };
    run(&mut engine(options).0, prompt.clone(), settings.clone()).unwrap().ids
}

#[test]
fn random_loads_give_what_each_request_gives_alone() {
    let mut random = SplitMix::new(3);
    for round in 0..40 {
        let options = EngineOptions {
            context: Some(256),
            kv_tokens: Some(256 + 64 * random.below(6)),
            chunk: [1, 5, 16, 33, 64][random.below(5)],
            sequences: 1 + random.below(5),
            tiles_per_run: 1 + random.below(3),
            waiting_tiles: 1 + random.below(3),
            prefix_cache: random.below(4) > 0,
            ..EngineOptions::default()
        };
        let (mut engine, script) = engine(options.clone());
        let requests: Vec<(Prompt, Settings)> = (0..2 + random.below(8))
            .map(|_| {
                let images = (0..random.below(3)).map(|_| image(random.below(4) as u64, 1 + random.below(3)));
                let images = images.collect();
                let text = 3 + random.below(60);
                let text_seed = random.below(5) as u64;
                let prompt = prompt(&mut SplitMix::new(text_seed), images, text);
                let temperature = if random.below(2) == 0 { 0.0 } else { 0.7 };
                let settings = Settings { temperature, seed: Some(5), ..settings(1 + random.below(40)) };
                (prompt, settings)
            })
            .collect();
        let expected: Vec<_> = requests.iter().map(|(p, s)| alone(p, s)).collect();
        let told = run_together(&mut engine, requests);
        let got: Vec<_> = told.iter().map(|t| t.ids.clone()).collect();
        assert_eq!(got, expected, "round {round}: {options:?}");
        let memory = engine.memory();
        assert_eq!(memory.kv_tokens_used, 0, "all pages came back");
        let script = script.borrow();
        let most = options.chunk + options.sequences;
        assert!(script.runs.iter().all(|&(rows, ..)| rows <= most), "a step is bounded");
        assert!(script.tiles.iter().all(|&tiles| tiles <= options.tiles_per_run));
    }
}

#[test]
fn requests_beyond_the_pool_give_pages_back_and_still_end_right() {
    let mut random = SplitMix::new(8);
    let options = EngineOptions { context: Some(128), kv_tokens: Some(128), chunk: 32, ..small() };
    let (mut engine, _) = engine(options);
    let requests: Vec<_> = (0..6).map(|_| (prompt(&mut random, vec![], 20), settings(90))).collect();
    let expected: Vec<_> = requests.iter().map(|(p, s)| alone(p, s)).collect();
    let told = run_together(&mut engine, requests);
    assert_eq!(told.iter().map(|t| t.ids.clone()).collect::<Vec<_>>(), expected);
    assert!(engine.stats().preemptions > 0, "{:?}", engine.stats());
}

#[test]
fn a_long_prompt_does_not_hold_up_a_running_answer() {
    let mut random = SplitMix::new(1);
    let (mut engine, _) = engine(EngineOptions { chunk: 16, ..small() });
    let short = engine.submit(prompt(&mut random, vec![], 4), settings(30)).unwrap();
    pollster::block_on(engine.step()).unwrap();
    let long = engine.submit(prompt(&mut random, vec![], 300), settings(4)).unwrap();
    let mut tokens = 0;
    for _ in 0..15 {
        for (id, event) in pollster::block_on(engine.step()).unwrap() {
            match event.unwrap() {
                Event::Token { .. } if id == short => tokens += 1,
                Event::Token { .. } => panic!("{long:?} cannot be through yet"),
                _ => {}
            }
        }
    }
    assert_eq!(tokens, 15, "a token a step");
}

#[test]
fn answers_are_begun_in_order_of_arrival() {
    let mut random = SplitMix::new(2);
    let (mut engine, _) = engine(EngineOptions { sequences: 2, chunk: 8, ..small() });
    let ids: Vec<_> =
        (0..6).map(|_| engine.submit(prompt(&mut random, vec![], 30), settings(3)).unwrap()).collect();
    let mut started = Vec::new();
    while engine.is_busy() {
        for (id, event) in pollster::block_on(engine.step()).unwrap() {
            if matches!(event.unwrap(), Event::Started { .. }) {
                started.push(id);
            }
        }
    }
    assert_eq!(started, ids);
}

#[test]
fn decode_and_text_prompts_take_the_text_program() {
    let mut random = SplitMix::new(4);
    let (mut engine, script) = engine(small());
    run(&mut engine, prompt(&mut random, vec![], 40), settings(5)).unwrap();
    assert!(script.borrow().runs.iter().all(|&(.., text_only)| text_only));
    run(&mut engine, prompt(&mut random, vec![image(1, 2)], 10), settings(5)).unwrap();
    let script = script.borrow();
    let last: Vec<_> = script.runs.iter().rev().take(4).collect();
    assert!(last.iter().all(|run| **run == (1, 1, true)), "{last:?}");
    assert_eq!(script.tiles, [2]);
}

#[test]
fn a_second_question_about_an_image_encodes_no_tile() {
    let mut random = SplitMix::new(5);
    let (mut engine, script) = engine(small());
    let image = image(9, 3);
    let head: Vec<u32> = (0..20).map(|_| 3 + random.below(400) as u32).collect();
    let ask = |words: &[u32]| {
        let mut ids = vec![1];
        ids.extend(&head);
        ids.extend(std::iter::repeat_n(PLACEHOLDER, 48));
        ids.extend(words);
        Prompt { ids, images: vec![image.clone()] }
    };
    let first = ask(&(10..40).collect::<Vec<u32>>());
    let second = ask(&(50..70).collect::<Vec<u32>>());
    run(&mut engine, first, settings(4)).unwrap();
    assert_eq!(script.borrow().tiles.iter().sum::<usize>(), 3);
    let told = run(&mut engine, second.clone(), settings(4)).unwrap();
    assert_eq!(told.ids, alone(&second, &settings(4)));
    assert_eq!(script.borrow().tiles.iter().sum::<usize>(), 3, "no more tiles");
    let stats = told.stats();
    // 21 + 48 = 69 tokens are the same: four full pages of 16.
    assert_eq!((stats.reused_tokens, stats.tiles_encoded), (64, 0));
    assert!(matches!(told.events[0], Event::Started { reused_tokens: 64, tiles_to_encode: 0, .. }));
}

#[test]
fn another_image_of_the_same_size_is_not_taken_for_the_first() {
    let mut random = SplitMix::new(6);
    let (mut engine, script) = engine(small());
    let a = prompt(&mut random, vec![image(1, 2)], 8);
    let b = Prompt { images: vec![image(2, 2)], ..a.clone() };
    run(&mut engine, a.clone(), settings(4)).unwrap();
    let told = run(&mut engine, b.clone(), settings(4)).unwrap();
    assert_eq!(told.ids, alone(&b, &settings(4)));
    assert_ne!(told.ids, alone(&a, &settings(4)));
    assert_eq!(script.borrow().tiles.iter().sum::<usize>(), 4);
}

#[test]
fn requests_with_the_same_beginning_at_the_same_time_share_its_work() {
    let mut random = SplitMix::new(7);
    let (mut engine, script) = engine(EngineOptions { chunk: 64, ..small() });
    let prompt = prompt(&mut random, vec![image(1, 3)], 30);
    let requests: Vec<_> = (0..4).map(|_| (prompt.clone(), settings(3))).collect();
    let told = run_together(&mut engine, requests);
    assert!(told.iter().all(|t| t.ids == told[0].ids));
    assert_eq!(script.borrow().tiles.iter().sum::<usize>(), 3, "encoded once");
    let computed: usize = told.iter().map(|t| t.stats().prefilled_tokens).sum();
    assert!(computed < 2 * prompt.ids.len(), "{computed}");
    for t in &told {
        let stats = t.stats();
        assert_eq!(stats.reused_tokens + stats.prefilled_tokens, stats.prompt_tokens);
    }
}

#[test]
fn the_same_seed_gives_the_same_answer_and_another_seed_another() {
    let mut random = SplitMix::new(9);
    let (mut engine, _) = engine(small());
    let prompt = prompt(&mut random, vec![], 20);
    let mut with = |seed| {
        let settings = Settings { temperature: 1.0, seed, ..settings(12) };
        run(&mut engine, prompt.clone(), settings).unwrap().ids
    };
    let first = with(Some(1));
    assert_eq!(first, with(Some(1)));
    assert_ne!(first, with(Some(2)));
    assert_ne!(with(None), with(None), "a drawn seed differs");
}

#[test]
fn one_broken_answer_leaves_the_others_alone() {
    let mut random = SplitMix::new(10);
    let (mut engine, script) = engine(small());
    let bad = Prompt { ids: vec![1, 7, 499], images: vec![] };
    script.borrow_mut().broken_token = Some(499);
    let good = prompt(&mut random, vec![], 20);
    let expected = alone(&good, &settings(6));
    let bad = engine.submit(bad, settings(6)).unwrap();
    let good = engine.submit(good, settings(6)).unwrap();
    let error = pollster::block_on(engine.next_event(bad)).and_then(|_| {
        pollster::block_on(engine.next_event(bad))?;
        pollster::block_on(engine.next_event(bad))
    });
    assert!(matches!(error, Err(EngineError::NoFiniteLogits)), "{error:?}");
    assert!(pollster::block_on(engine.next_event(bad)).unwrap().is_none());
    let mut told = Told::default();
    while let Some(event) = pollster::block_on(engine.next_event(good)).unwrap() {
        told.add(event);
    }
    assert_eq!(told.ids, expected);
}

#[test]
fn a_lost_device_is_replaced_and_every_answer_goes_on() {
    let mut random = SplitMix::new(11);
    for lose_at in [0, 1, 4, 9] {
        let (mut engine, script) = engine(EngineOptions { chunk: 32, ..small() });
        let requests: Vec<_> = (0..3)
            .map(|n| (prompt(&mut random, vec![image(n, 2)], 20), Settings { seed: Some(n), ..settings(9) }))
            .collect();
        let expected: Vec<_> = requests.iter().map(|(p, s)| alone(p, s)).collect();
        let ids: Vec<_> = requests.into_iter().map(|(p, s)| engine.submit(p, s).unwrap()).collect();
        script.borrow_mut().lose_at = Some(lose_at);
        let mut told = vec![Told::default(); ids.len()];
        let mut losses = 0;
        while engine.is_busy() {
            match pollster::block_on(engine.step()) {
                Ok(events) => {
                    for (id, event) in events {
                        told[ids.iter().position(|&i| i == id).unwrap()].add(event.unwrap());
                    }
                }
                Err(error) => {
                    assert!(error.is_device_lost());
                    losses += 1;
                    if lose_at > 0 {
                        let again = pollster::block_on(engine.step()).unwrap_err();
                        assert!(matches!(again, EngineError::NeedsRecovery));
                    }
                    let backend = Scripted::with(script.clone());
                    let go_on = &mut |_: monolens_engine::Progress<'_>| std::ops::ControlFlow::Continue(());
                    pollster::block_on(engine.recover(backend, go_on)).unwrap();
                }
            }
        }
        assert_eq!(losses, 1);
        assert_eq!(told.iter().map(|t| t.ids.clone()).collect::<Vec<_>>(), expected);
        for t in &told {
            let starts = t.events.iter().filter(|e| matches!(e, Event::Started { .. })).count();
            assert_eq!(starts, 1, "an answer starts once");
        }
    }
}

#[test]
fn weights_are_loaded_once_and_only_those_in_use() {
    let (_, script) = engine(small());
    let script: std::cell::Ref<'_, Script> = script.borrow();
    let mut names = script.weights.clone();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), script.weights.len());
    assert!(names.iter().all(|name| !name.contains("class_embedding")));
}

#[test]
fn the_default_context_shrinks_until_it_fits_the_device() {
    let (backend, script) = Scripted::open();
    script.borrow_mut().most_kv_slots = Some(5000);
    let mut engine = engine_on(backend, model("mono-v1"), EngineOptions::default());
    assert_eq!(engine.context(), 4096);
    let told = run(&mut engine, prompt(&mut SplitMix::new(1), vec![], 20), settings(3)).unwrap();
    assert_eq!(told.ids.len(), 3);
}

#[test]
fn a_context_that_was_asked_for_and_does_not_fit_is_an_error() {
    let (backend, script) = Scripted::open();
    script.borrow_mut().most_kv_slots = Some(5000);
    let options = EngineOptions { context: Some(8192), ..EngineOptions::default() };
    let mut go_on = |_: monolens_engine::Progress<'_>| std::ops::ControlFlow::Continue(());
    let load = Engine::load(model("mono-v1"), backend, options, &mut go_on);
    let error = pollster::block_on(load).err().unwrap().to_string();
    assert!(error.contains("out of memory"), "{error}");
}
