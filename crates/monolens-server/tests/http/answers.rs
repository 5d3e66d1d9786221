//! Requests that are answered.

use crate::running::*;
use serde_json::{Value, json};

#[test]
fn an_answer_has_openais_form() {
    let server = start(options(), 2);
    let (text, answer) = server.answer(&ask("Hello", 5));
    assert!(!text.is_empty());
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["model"], "tiny");
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    assert_eq!(answer["choices"][0]["message"]["role"], "assistant");
    let usage = &answer["usage"];
    assert_eq!(usage["completion_tokens"], 5);
    let sum = usage["prompt_tokens"].as_u64().unwrap() + 5;
    assert_eq!(usage["total_tokens"], sum);
    assert_eq!(usage["prompt_tokens_details"]["image_tokens"], 0);
    let (status, models) = server.get("/v1/models");
    assert_eq!((status, &models["data"][0]["id"]), (200, &json!("tiny")));
    assert_eq!(models["data"][0]["max_model_len"], 512);
    assert_eq!(server.get("/v1/models/tiny").0, 200);
    assert_eq!(server.get("/v1/models/other").0, 404);
    assert_eq!(server.get("/health"), (200, json!({ "status": "ok", "model": "tiny" })));
    assert_eq!(server.metric("generated_tokens_total"), 5.0);
    assert_eq!(server.metric("requests_total{status=\"200\"}"), 1.0);
    assert_eq!(server.metric("time_to_first_token_seconds_count"), 1.0);
}

/// The text of a stream, and why it ended.
fn joined(events: &[Value]) -> (String, String) {
    let choices = || events.iter().filter_map(|event| event["choices"].get(0));
    let text = choices().filter_map(|choice| choice["delta"]["content"].as_str()).collect();
    let reasons: Vec<_> = choices().filter_map(|choice| choice["finish_reason"].as_str()).collect();
    assert_eq!(reasons.len(), 1, "{events:?}");
    (text, reasons[0].to_owned())
}

#[test]
fn a_stream_gives_the_same_text_in_pieces() {
    let server = start(options(), 2);
    let mut body = ask("Hello", 12);
    let (text, whole) = server.answer(&body);
    body["stream"] = json!(true);
    let events = server.stream(&body);
    assert!(events.len() > 4, "pieces, not all at once: {events:?}");
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    assert!(events.iter().all(|event| event["object"] == "chat.completion.chunk"));
    assert!(events.iter().all(|event| event["id"] == events[0]["id"] && event.get("usage").is_none()));
    assert_eq!(joined(&events), (text.clone(), "length".to_owned()));
    body["stream_options"] = json!({ "include_usage": true });
    let mut events = server.stream(&body);
    let last = events.pop().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["completion_tokens"], whole["usage"]["completion_tokens"]);
    assert!(events.iter().all(|event| event["usage"].is_null()));
    assert_eq!(joined(&events).0, text);
}

#[test]
fn settings_are_followed() {
    let server = start(options(), 2);
    let with = |changes: Value| {
        let mut body = ask("Hello", 12);
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        server.answer(&body)
    };
    let (greedy, _) = with(json!({}));
    assert_eq!(with(json!({ "temperature": 0 })).0, greedy);
    let seeded = |seed: i64| with(json!({ "temperature": 1.5, "top_k": 0, "seed": seed })).0;
    assert_eq!(seeded(1), seeded(1));
    assert_ne!(seeded(1), seeded(2));
    let middle: String = greedy.chars().skip(2).take(3).collect();
    let (cut, answer) = with(json!({ "stop": [middle] }));
    assert_eq!(cut, greedy[..greedy.find(&middle).unwrap()].trim_end());
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    let (_, short) = with(json!({ "max_tokens": 9, "max_completion_tokens": 3 }));
    assert_eq!(short["usage"]["completion_tokens"], 3);
}

#[test]
fn detail_decides_how_many_tiles_an_image_has() {
    let server = start(options(), 2);
    let url = picture(1, 400, 300);
    let tokens = |detail: &str| {
        let mut message = look(&url, "What is this?");
        message["content"][1]["image_url"]["detail"] = json!(detail);
        let (_, answer) = server.answer(&json!({ "messages": [message], "max_tokens": 1 }));
        answer["usage"]["prompt_tokens_details"]["image_tokens"].as_u64().unwrap()
    };
    assert_eq!(tokens("low"), 16, "one tile");
    assert!(tokens("high") > 16);
    assert_eq!(tokens("auto"), tokens("high"));
}

#[test]
fn a_follow_up_does_no_image_work() {
    let server = start(options(), 2);
    let first = look(&picture(1, 400, 300), "What is this?");
    let (text, answer) = server.answer(&json!({ "messages": [first], "max_tokens": 4 }));
    assert_eq!(answer["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
    server.until_idle();
    let tiles = server.metric("image_tiles_encoded_total");
    assert!(tiles > 1.0);
    let said = json!({ "role": "assistant", "content": text });
    let more = json!({ "role": "user", "content": "And what colour is it?" });
    let (_, answer) = server.answer(&json!({ "messages": [first, said, more], "max_tokens": 4 }));
    let details = &answer["usage"]["prompt_tokens_details"];
    assert!(details["cached_tokens"].as_u64() >= details["image_tokens"].as_u64(), "{details}");
    server.until_idle();
    assert_eq!(server.metric("image_tiles_encoded_total"), tiles);
    assert!(server.metric("prompt_tokens_reused_total") > 0.0);
}

/// Questions of clients that know nothing of each other, each with its own picture.
fn questions() -> Vec<Value> {
    let texts = ["What is this?", "What colour is the background?", "How many shapes are there?"];
    (0..16)
        .map(|n| {
            let message = look(&picture(n, 64, 64), texts[n as usize % texts.len()]);
            json!({ "messages": [message], "max_tokens": 8 + n % 5, "stream": n % 2 == 0 })
        })
        .collect()
}

fn text(server: &Running, body: &Value) -> String {
    match body["stream"] == json!(true) {
        true => joined(&server.stream(body)).0,
        false => server.answer(body).0,
    }
}

#[test]
fn clients_at_once_get_what_each_gets_alone() {
    for model in [RANDOM, SHIPPED] {
        let questions = questions();
        let alone = start_with(model, options(), 1);
        let expected: Vec<String> = questions.iter().map(|body| text(&alone, body)).collect();
        let server = start_with(model, options(), 8);
        server.faults.slow(2);
        let got: Vec<String> = std::thread::scope(|scope| {
            let asked = questions.iter().map(|body| scope.spawn(|| text(&server, body)));
            asked.collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(got, expected, "{model}");
        server.until_idle();
    }
}
