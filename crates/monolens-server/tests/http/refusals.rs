//! Requests that cannot be answered: each gets a status, OpenAI's error JSON and a message that says what was expected.

use crate::running::*;
use monolens_server::{Limits, Options, Server, ServerError};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;

/// The error of a request: status, `error` object.
fn refused(server: &Running, body: impl AsRef<[u8]>) -> (u16, Value) {
    let mut response = server.post(body);
    let text = response.body_mut().read_to_string().unwrap();
    let error: Value = serde_json::from_str(&text).expect(&text);
    assert!(error["error"]["message"].is_string() && error["error"]["type"].is_string(), "{error}");
    assert!(response.headers().contains_key("x-request-id"));
    (response.status().as_u16(), error["error"].clone())
}

#[test]
fn bad_input_is_refused_with_what_was_expected() {
    let limits = Limits { images: 3, pixels: 1_000_000, body_bytes: 200_000, ..Limits::default() };
    let server = start(limited(limits), 1);
    let url = |url: &str| json!({ "messages": [look(url, "what?")] }).to_string();
    let picture = picture(1, 64, 64);
    let many = vec![look(&picture, "what?"); 4];
    let half = data_url(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR");
    let table: Vec<(String, u16, &[&str])> = vec![
        ("{\"messages\": [".into(), 400, &["no JSON"]),
        ("[1, 2]".into(), 400, &["no JSON object"]),
        ("\u{feff}{}".into(), 400, &["no JSON"]),
        (
            json!({ "messages": [{ "role": "robot", "content": "x" }] }).to_string(),
            400,
            &["messages[0].role", "robot"],
        ),
        (json!({ "messages": "hi" }).to_string(), 400, &["messages", "string"]),
        (json!({ "messages": [], "model": "tiny" }).to_string(), 400, &["messages", "at least one"]),
        (json!({ "model": "gpt-4o", "messages": [] }).to_string(), 404, &["gpt-4o", "tiny"]),
        (ask(&"many words ".repeat(3000), 1).to_string(), 400, &["tokens", "512"]),
        (ask("<|im_end|><IMG_CONTEXT>", 1).to_string(), 400, &["<IMG_CONTEXT>"]),
        (
            url("https://example.com/cat.png"),
            400,
            &["messages[0].content[1].image_url.url", "fetches no images"],
        ),
        (url("file:///etc/passwd"), 400, &["fetches no images"]),
        (url("data:image/png;base64,@@@@"), 400, &["base64"]),
        (url(&data_url(b"I am a text")), 400, &["messages[0].content[1].image_url", "PNG, JPEG"]),
        (url(&half), 400, &["image", "Png"]),
        (url(&self::picture(2, 1200, 1000)), 400, &["1000000 pixels", "1200x1000"]),
        (json!({ "messages": many }).to_string(), 400, &["at most 3 images", "4"]),
        (
            json!({ "messages": [look(&picture, "<image> and <image>")] }).to_string(),
            400,
            &["1 images", "got 2"],
        ),
        (ask(&"x".repeat(300_000), 1).to_string(), 413, &["200000 bytes"]),
        (ask("n", 0).to_string(), 400, &["max_tokens"]),
    ];
    for (body, status, words) in table {
        let shown: String = body.chars().take(120).collect();
        let (got, error) = refused(&server, &body);
        assert_eq!(got, status, "{shown}: {error}");
        for word in words {
            assert!(error["message"].as_str().unwrap().contains(word), "{word} in {error} of {shown}");
        }
    }
    let (_, error) = refused(&server, ask(&"many words ".repeat(3000), 1).to_string());
    assert_eq!(error["code"], "context_length_exceeded");
    server.until_idle();
    server.answer(&ask("Still there?", 3));
}

#[test]
fn images_share_a_requests_pixels() {
    let server = start(limited(Limits { pixels: 10_000, ..Limits::default() }), 1);
    let small = picture(1, 80, 80);
    let ask = |n: usize| json!({ "messages": vec![look(&small, "what?"); n], "max_tokens": 1 });
    server.answer(&ask(1));
    let (status, error) = refused(&server, ask(2).to_string());
    let message = error["message"].as_str().unwrap();
    assert!(
        status == 400 && message.contains("messages[1]") && message.contains("earlier images"),
        "{message}"
    );
}

/// A request by hand: method and path, headers, body. Gives status, head and body.
fn by_hand(server: &Running, request: &str) -> (u16, String, String) {
    let (first, rest) = request.split_once('\n').unwrap();
    let (headers, body) = rest.split_once("\n\n").unwrap_or((rest.trim_end(), ""));
    let mut stream = TcpStream::connect(server.address).unwrap();
    write!(stream, "{first} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n").unwrap();
    headers.lines().filter(|line| !line.is_empty()).for_each(|line| write!(stream, "{line}\r\n").unwrap());
    write!(stream, "content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
}

#[test]
fn paths_methods_and_media_types_are_checked() {
    let server = start(options(), 1);
    for (request, status, word) in [
        ("GET /nowhere\n", 404, "POST /v1/chat/completions"),
        ("POST /v1/models\n", 405, "GET /v1/models"),
        ("GET /v1/chat/completions\n", 405, "POST"),
        ("POST /v1/completions\naccept: */*\n\n{}", 404, "unknown_url"),
        ("POST /v1/chat/completions\ncontent-type: text/plain\n\n{}", 415, "application/json"),
        ("POST /v1/chat/completions\ncontent-type: application/json; charset=utf-8\n\n{}", 400, "messages"),
    ] {
        let (got, _, text) = by_hand(&server, request);
        assert_eq!(got, status, "{request}: {text}");
        assert!(text.contains(word) && text.contains("\"error\""), "{request}: {text}");
    }
}

#[test]
fn without_the_key_nobody_is_answered() {
    let server = start(Options { api_key: Some("secret".into()), ..options() }, 1);
    let with = |path: &str, header: &str| by_hand(&server, &format!("{path}\n{header}\n\n")).0;
    for path in ["GET /v1/models", "GET /metrics", "POST /v1/chat/completions"] {
        assert_eq!(with(path, ""), 401, "{path}");
        assert_eq!(with(path, "authorization: Bearer wrong"), 401, "{path}");
    }
    assert_eq!(with("GET /v1/models", "authorization: Bearer secret"), 200);
    assert_eq!(with("GET /metrics", "authorization: Bearer secret"), 200);
    assert_eq!(with("GET /health", ""), 200, "probes have no key");
    let (status, _, text) =
        by_hand(&server, "POST /v1/chat/completions\ncontent-type: application/json\n\n{}");
    assert!(status == 401 && text.contains("authentication_error"), "{text}");
}

#[test]
fn web_pages_of_allowed_origins_may_ask() {
    let server = start(Options { cors: vec!["https://page.example".into()], ..options() }, 1);
    let preflight = |origin: &str| {
        by_hand(
            &server,
            &format!(
                "OPTIONS /v1/chat/completions\norigin: {origin}\naccess-control-request-method: POST\n\
            access-control-request-headers: authorization,content-type,x-stainless-os\n\n"
            ),
        )
    };
    let (status, head, _) = preflight("https://page.example");
    let allowed = "access-control-allow-origin: https://page.example\r\n";
    assert!(status == 200 && format!("{head}\r\n").contains(allowed), "{head}");
    assert!(head.contains("x-stainless-os"), "{head}");
    assert!(!preflight("https://other.example").1.contains("allow-origin"));
    let get = "GET /v1/models\norigin: https://page.example\n\n";
    assert!(format!("{}\r\n", by_hand(&server, get).1).contains(allowed));
    let closed = start(options(), 1);
    assert!(!by_hand(&closed, get).1.contains("allow-origin"));
}

#[test]
fn until_the_model_is_there_everyone_is_told() {
    let server = Server::bind(options()).unwrap();
    let address = server.address();
    let client = Running::without_model(address, server.stopper());
    assert_eq!(client.get("/health"), (503, json!({ "status": "loading", "model": null })));
    let (status, answer) = client.chat(&ask("Hello", 1));
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("loading")));
    assert_eq!(client.get("/v1/models").0, 503);
    let taken = Server::bind(Options { port: address.port(), ..options() });
    assert!(matches!(taken, Err(ServerError::Listen { .. })));
    let odd = Server::bind(Options { cors: vec!["page".into()], ..options() });
    assert!(odd.unwrap_err().to_string().contains("cors: expected"));
    assert!(Server::bind(Options { api_key: Some(String::new()), ..options() }).is_err());
}
