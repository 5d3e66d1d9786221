//! More requests than there is room for, clients that leave or are silent, and the server's end.

use crate::running::*;
use monolens_server::Limits;
use serde_json::json;
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A question whose answer takes thousands of steps if nothing ends it.
fn long() -> serde_json::Value {
    let mut body = ask("Tell me a long story", 400);
    body["temperature"] = json!(3);
    body["top_k"] = json!(0);
    body["seed"] = json!(7);
    body
}

#[test]
fn a_client_that_goes_away_frees_its_place_at_once() {
    let server = start(options(), 1);
    server.faults.slow(20);
    for (n, stream) in [true, false].into_iter().enumerate() {
        let mut body = long();
        body["stream"] = json!(stream);
        let body = body.to_string();
        let mut connection = server.raw(&body, body.len());
        if stream {
            read_until(&mut connection, "delta");
        }
        wait_for("the answer's begin", || server.metric("requests_running") == 1.0);
        let gone = Instant::now();
        drop(connection);
        wait_for("the place", || server.metric("requests_running") == 0.0);
        assert!(gone.elapsed() < Duration::from_secs(2), "{:?}", gone.elapsed());
        assert_eq!(server.metric("disconnects_total"), n as f64 + 1.0);
        assert!(server.metric("generated_tokens_total") < 300.0, "the rest was not made");
    }
    server.faults.slow(0);
    assert_eq!(server.metric("kv_tokens_used"), 0.0);
    server.answer(&ask("Still there?", 3));
}

#[test]
fn a_full_queue_refuses_at_once() {
    let server = start(limited(Limits { queue: 1, ..Limits::default() }), 1);
    server.faults.slow(20);
    std::thread::scope(|scope| {
        let patient: Vec<_> = (0..2).map(|_| scope.spawn(|| server.chat(&ask("Hello", 60)).0)).collect();
        wait_for("a full queue", || {
            server.metric("requests_running") + server.metric("requests_waiting") == 2.0
        });
        let asked = Instant::now();
        let mut refused = server.post(ask("Me too", 3).to_string());
        assert!(asked.elapsed() < Duration::from_secs(1));
        assert_eq!(refused.status(), 429);
        let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait));
        let text = refused.body_mut().read_to_string().unwrap();
        assert!(text.contains("rate_limit_error") && text.contains("2 requests"), "{text}");
        server.faults.slow(0);
        assert!(
            patient.into_iter().all(|thread| thread.join().unwrap() == 200),
            "those in the queue are answered"
        );
    });
    server.answer(&ask("Me too", 3));
}

#[test]
fn an_answer_that_takes_too_long_is_ended() {
    let limits = Limits { request_time: Duration::from_millis(400), ..Limits::default() };
    let server = start(limited(limits), 1);
    server.faults.slow(20);
    let mut response = server.post(long().to_string());
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-should-retry"]),
        (504, &"false".parse().unwrap())
    );
    let text = response.body_mut().read_to_string().unwrap();
    assert!(text.contains("request_timeout"), "{text}");
    let mut body = long();
    body["stream"] = json!(true);
    let mut response = server.post(body.to_string());
    let text = response.body_mut().read_to_string().unwrap();
    let last = events(&text).pop().unwrap();
    assert!(last.contains("\"error\"") && last.contains("request_timeout"), "{text}");
    server.faults.slow(0);
    server.answer(&ask("Still there?", 3));
}

#[test]
fn a_client_that_sends_half_a_request_holds_nobody_up() {
    let server = start(limited(Limits { queue: 1, ..Limits::default() }), 1);
    let silent = server.raw("{\"messages\"", 1000);
    let nothing = TcpStream::connect(server.address).unwrap();
    server.answer(&ask("Hello", 3));
    drop((silent, nothing));
    // Both slots are free again.
    wait_for("the slot", || {
        std::thread::scope(|scope| {
            let both: Vec<_> = (0..2).map(|_| scope.spawn(|| server.chat(&ask("Hi", 2)).0 == 200)).collect();
            both.into_iter().all(|thread| thread.join().unwrap())
        })
    });
}

#[test]
fn at_the_end_running_answers_are_finished_and_new_ones_refused() {
    let mut server = start(options(), 2);
    server.faults.slow(10);
    let mut body = ask("Hello", 40);
    body["stream"] = json!(true);
    let body = body.to_string();
    let mut connection = server.raw(&body, body.len());
    let mut idle = TcpStream::connect(server.address).unwrap();
    idle.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    read_until(&mut connection, "delta");
    server.stopper.stop();
    wait_for("a closed door", || TcpStream::connect(server.address).is_err());
    assert_eq!(std::io::Read::read(&mut idle, &mut [0; 8]).unwrap_or(0), 0, "idle connections are closed");
    let rest = read_until(&mut connection, "[DONE]");
    assert!(rest.contains("\"finish_reason\":\"length\""), "{rest}");
    server.join();
    assert_eq!(server.faults.delay.load(Ordering::SeqCst), 10);
}
