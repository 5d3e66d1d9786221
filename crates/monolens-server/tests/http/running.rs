//! A server that runs, and a client.

use crate::faulty::{self, Faults};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use monolens_engine::{Engine, EngineOptions};
use monolens_models::Model;
use monolens_server::{Limits, Options, Server, Stopper};
use serde_json::{Value, json};
use std::io::{Cursor, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A file of the project.
fn project(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// A small random model: 16 tokens a tile, up to 12 tiles.
pub const RANDOM: &str = "tests/golden/mono-v1";

/// The shipped one.
pub const SHIPPED: &str = "models/mono-tiny";

/// A server; stopped when it is dropped.
pub struct Running {
    pub address: SocketAddr,
    pub stopper: Stopper,
    pub faults: Arc<Faults>,
    thread: Option<JoinHandle<()>>,
}

/// Options on a free port.
pub fn options() -> Options {
    Options { port: 0, ..Options::default() }
}

/// As [`options`], with these limits.
pub fn limited(limits: Limits) -> Options {
    Options { limits, ..options() }
}

/// A server of the small random model, `sequences` answers at once.
pub fn start(options: Options, sequences: usize) -> Running {
    start_with(RANDOM, options, sequences)
}

/// A server of this model.
pub fn start_with(folder: &str, options: Options, sequences: usize) -> Running {
    let server = Server::bind(options).unwrap();
    let (address, stopper) = (server.address(), server.stopper());
    let faults = Arc::new(Faults::default());
    let (folder, on_thread) = (project(folder), Arc::clone(&faults));
    let thread = std::thread::spawn(move || {
        let model = Arc::new(Model::open(&folder).unwrap());
        let options = EngineOptions {
            context: Some(512),
            kv_tokens: Some(2048),
            chunk: 64,
            sequences,
            ..EngineOptions::default()
        };
        let backend = faulty::open(&on_thread).unwrap();
        let mut progress = |_: monolens_engine::Progress<'_>| ControlFlow::Continue(());
        let loading = Engine::load(Arc::clone(&model), backend, options, &mut progress);
        let engine = pollster::block_on(loading).unwrap();
        server.run("tiny", model, engine, Box::new(move || faulty::open(&on_thread))).unwrap();
    });
    let running = Running { address, stopper, faults, thread: Some(thread) };
    wait_for("the model", || running.get("/health").0 == 200);
    running
}

impl Running {
    /// A client of a server that does not run.
    pub fn without_model(address: SocketAddr, stopper: Stopper) -> Self {
        Self { address, stopper, faults: Arc::default(), thread: None }
    }

    /// A request's status and JSON.
    pub fn get(&self, path: &str) -> (u16, Value) {
        let mut response = agent().get(format!("http://{}{path}", self.address)).call().unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// A chat completion's response.
    pub fn post(&self, body: impl AsRef<[u8]>) -> ureq::http::Response<ureq::Body> {
        let url = format!("http://{}/v1/chat/completions", self.address);
        agent().post(url).header("content-type", "application/json").send(body.as_ref()).unwrap()
    }

    /// A chat completion's status and JSON.
    pub fn chat(&self, body: &Value) -> (u16, Value) {
        let mut response = self.post(body.to_string());
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), serde_json::from_str(&text).expect(&text))
    }

    /// The whole answer to a request that can be answered.
    pub fn answer(&self, body: &Value) -> (String, Value) {
        let (status, answer) = self.chat(body);
        assert_eq!(status, 200, "{answer}");
        (answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned(), answer)
    }

    /// The events of a streamed answer, without `[DONE]`, which must be there.
    pub fn stream(&self, body: &Value) -> Vec<Value> {
        let mut response = self.post(body.to_string());
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let text = response.body_mut().read_to_string().unwrap();
        let mut events = events(&text);
        assert_eq!(events.pop().as_deref(), Some("[DONE]"), "{text}");
        events.iter().map(|event| serde_json::from_str(event).unwrap()).collect()
    }

    /// Waits until no request runs: a client has its last piece a moment before the server counts the request as ended.
    pub fn until_idle(&self) {
        wait_for("the end of all requests", || self.metric("requests_running") == 0.0);
    }

    /// The value of a metric.
    pub fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics");
        let text = text.as_str().unwrap().to_owned();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("monolens_{name} ")));
        line.unwrap_or_else(|| panic!("{name} in {text}")).parse().unwrap()
    }

    /// A connection on which a request was begun by hand.
    pub fn raw(&self, body: &str, length: usize) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n";
        write!(stream, "{head}content-length: {length}\r\n\r\n{body}").unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Waits for the server's end.
    pub fn join(&mut self) {
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopper.stop();
        self.faults.slow(0);
        if let Some(thread) = self.thread.take().filter(|_| !std::thread::panicking()) {
            thread.join().unwrap();
        }
    }
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    config.timeout_global(Some(Duration::from_secs(60))).build().into()
}

/// The data of server-sent events.
pub fn events(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect()
}

/// Reads from a connection until this text came.
pub fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let (mut all, mut piece) = (String::new(), [0; 1024]);
    while !all.contains(text) {
        let bytes = stream.read(&mut piece).unwrap();
        assert!(bytes > 0, "the connection ended after {all}");
        all.push_str(&String::from_utf8_lossy(&piece[..bytes]));
    }
    all
}

/// Waits until something is so.
pub fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(30), "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A text question.
pub fn ask(text: &str, max_tokens: usize) -> Value {
    json!({ "model": "tiny", "messages": [{ "role": "user", "content": text }], "max_tokens": max_tokens })
}

/// A picture of its own for each seed, as a `data:` URL.
pub fn picture(seed: u32, width: u32, height: u32) -> String {
    let pixel = |x: u32, y: u32| {
        let hash = (x / 8 + 31 * (y / 8) + 1009 * seed + 1).wrapping_mul(0x9e37_79b9);
        image::Rgb([(hash >> 8) as u8, (hash >> 16) as u8, (hash >> 24) as u8])
    };
    let image = image::RgbImage::from_fn(width, height, pixel);
    let mut png = Cursor::new(Vec::new());
    image.write_to(&mut png, image::ImageFormat::Png).unwrap();
    data_url(png.get_ref())
}

/// Bytes as a `data:` URL.
pub fn data_url(bytes: &[u8]) -> String {
    format!("data:image/png;base64,{}", BASE64_STANDARD.encode(bytes))
}

/// A message with a picture.
pub fn look(url: &str, text: &str) -> Value {
    json!({ "role": "user", "content": [
        { "type": "text", "text": text },
        { "type": "image_url", "image_url": { "url": url } },
    ] })
}
