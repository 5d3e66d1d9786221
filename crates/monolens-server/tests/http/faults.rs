//! A device that fails: the server stays up.

use crate::running::*;
use serde_json::json;
use std::sync::atomic::Ordering;

#[test]
fn after_a_lost_device_answers_go_on_where_they_were() {
    let server = start(options(), 4);
    let questions: Vec<_> = (0..4)
        .map(|n| json!({ "messages": [look(&picture(n, 64, 64), "What is this?")], "max_tokens": 20 }))
        .collect();
    let expected: Vec<_> = questions.iter().map(|body| server.answer(body).0).collect();
    let before = server.metric("generated_tokens_total");
    server.faults.slow(10);
    let got: Vec<_> = std::thread::scope(|scope| {
        let asked: Vec<_> = questions.iter().map(|body| scope.spawn(|| server.answer(body).0)).collect();
        wait_for("tokens", || server.metric("generated_tokens_total") > before + 3.0);
        server.faults.lose.store(true, Ordering::SeqCst);
        asked.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(got, expected);
    assert_eq!(server.metric("device_recoveries_total"), 1.0);
    assert_eq!(server.get("/health").0, 200);
}

#[test]
fn without_a_device_requests_fail_until_there_is_one_again() {
    let server = start(options(), 1);
    let (expected, _) = server.answer(&ask("Hello", 4));
    server.faults.absent.store(true, Ordering::SeqCst);
    server.faults.lose.store(true, Ordering::SeqCst);
    let (status, answer) = server.chat(&ask("Hello", 4));
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("device_lost")), "{answer}");
    assert_eq!(server.get("/health").1["status"], "recovering");
    server.faults.absent.store(false, Ordering::SeqCst);
    assert_eq!(server.answer(&ask("Hello", 4)).0, expected);
    assert_eq!(server.get("/health").0, 200);
}

#[test]
fn a_full_device_is_told_and_survived() {
    let server = start(options(), 1);
    server.faults.fill.store(true, Ordering::SeqCst);
    let (status, answer) = server.chat(&ask("Hello", 4));
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("out_of_memory")), "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("123456 bytes"), "{answer}");
    server.answer(&ask("Hello", 4));
    let mut body = ask("Hello again", 30);
    body["stream"] = json!(true);
    server.faults.slow(10);
    let body = body.to_string();
    let mut connection = server.raw(&body, body.len());
    read_until(&mut connection, "delta");
    server.faults.fill.store(true, Ordering::SeqCst);
    read_until(&mut connection, "out_of_memory");
    server.answer(&ask("Hello", 4));
}
