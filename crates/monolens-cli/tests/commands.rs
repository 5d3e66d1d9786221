//! The commands as a user calls them, on the CPU.

use assert_cmd::Command;
use predicates::prelude::*;
use serde_json::Value;
use std::path::{Path, PathBuf};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden")
}

fn monolens(args: &[&str]) -> Command {
    let mut command = Command::cargo_bin("monolens").unwrap();
    command.env_remove("RUST_LOG").args(args);
    command
}

fn json(command: &mut Command) -> Value {
    let output = command.assert().success().get_output().stdout.clone();
    serde_json::from_slice(&output).unwrap()
}

#[test]
fn without_arguments_the_bundled_question_is_answered() {
    let started = predicate::str::is_match(r"^\[.+\] .+\n").unwrap();
    let figures = predicate::str::contains("first token after").and(predicate::str::contains("visual of"));
    monolens(&["--backend", "cpu", "--max-new-tokens", "4"])
        .assert()
        .success()
        .stdout(started)
        .stderr(figures);
}

#[test]
fn an_answer_as_json() {
    let model = golden().join("mono-v1");
    let image = golden().join("images/rgb_333x500.png");
    let mut run = monolens(&["run", "--json", "-p", "What?", "--max-new-tokens", "5", "--max-tiles", "6"]);
    let answer = json(run.args(["--backend", "cpu"]).arg(&model).arg(&image));
    assert_eq!(answer["tiles"], 7);
    assert_eq!(answer["stats"]["visual_tokens"], 7 * 16);
    assert_eq!(answer["stats"]["tiles_encoded"], 7);
    assert_eq!(answer["device"]["backend"], "cpu");
}

#[test]
fn the_same_seed_gives_the_same_answer() {
    let model = golden().join("mono-v1");
    let ask = |seed: &str| {
        let args =
            ["run", "--json", "-p", "Hi", "--max-new-tokens", "12", "--temperature", "1.5", "--seed", seed];
        json(monolens(&args).args(["--backend", "cpu"]).arg(&model))["answer"].clone()
    };
    assert_eq!(ask("1"), ask("1"));
    assert_ne!(ask("1"), ask("2"));
}

#[test]
fn pictures_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let images = golden().join("images");
    let mut run =
        monolens(&["run", "-p", "What?", "--max-new-tokens", "3", "--max-tiles", "2", "--backend", "cpu"]);
    run.arg(golden().join("mono-v15"))
        .arg(images.join("tiny_64x64.png"))
        .arg(images.join("wide_1024x300.jpg"));
    run.args(["--layers", "1,3", "--boxes"]).arg(file("boxes.png")).arg("--attention").arg(file("heat.png"));
    run.assert().success();
    for name in ["boxes.png", "boxes.2.png", "heat.png", "heat.map.png"] {
        let picture = image::open(file(name)).unwrap();
        assert!(picture.width() >= 180 && picture.height() >= 180, "{name}");
    }
}

#[test]
fn frames_of_a_video_are_one_tile_each() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..12 {
        std::fs::copy(golden().join("images/tiny_64x64.png"), folder.path().join(format!("{i}.png")))
            .unwrap();
    }
    let mut run =
        monolens(&["run", "--json", "-p", "What happens?", "--max-new-tokens", "1", "--backend", "cpu"]);
    let answer = json(run.arg(golden().join("mono-v1")).arg("--video").arg(folder.path()));
    assert_eq!(answer["tiles"], 8);
    let question = answer["question"].as_str().unwrap();
    assert!(question.starts_with("Frame1: <image>\nFrame2: <image>\n"), "{question}");
}

#[test]
fn a_second_question_does_no_image_work() {
    let image = golden().join("images/exact_448x448.png");
    let talk = format!(
        "/image {}\nWhat is this?\nAnd what colour is it?\n/image nowhere.png\n/reset\n/what\nHello\n/quit\nnever read\n",
        image.display()
    );
    let again = predicate::str::contains("reused, 0 tiles encoded");
    let told = predicate::str::contains("nowhere.png").and(predicate::str::contains("/what is no command"));
    let model = golden().join("mono-v1");
    monolens(&["chat", "--backend", "cpu", "--max-new-tokens", "4"])
        .arg(model)
        .write_stdin(talk)
        .assert()
        .success()
        .stderr(again.and(told));
}

#[test]
fn a_model_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let dot = folder.path().join("plan.dot");
    let mut inspect = monolens(&["inspect", "--json", "--dispatches", "--backend", "cpu"]);
    let model = json(inspect.arg(golden().join("mono-v15")).arg("--dot").arg(&dot));
    assert_eq!(model["model"], "Mono-InternVL-1.5 (qkvo)");
    let parts = model["parts"].as_array().unwrap();
    let sum: u64 = parts.iter().map(|p| p["parameters"].as_u64().unwrap()).sum();
    assert_eq!(model["parameters"].as_u64().unwrap(), sum);
    assert!(!model["dispatches"]["decode"].as_array().unwrap().is_empty());
    assert!(std::fs::read_to_string(dot).unwrap().starts_with("digraph"));
    let shown =
        predicate::str::contains("feed-forward, visual experts").and(predicate::str::contains("slot 0"));
    monolens(&["inspect", "--random", "mono-2b", "--plan", "--backend", "cpu"])
        .assert()
        .success()
        .stdout(shown.and(predicate::str::contains("3,111,35")));
    monolens(&["inspect", "--backend", "cpu", "--dot", "-"])
        .assert()
        .success()
        .stdout(predicate::str::starts_with("digraph").and(predicate::str::contains("planned for").not()));
}

#[test]
fn the_machine_is_shown() {
    let found = json(&mut monolens(&["doctor", "--json", "--backend", "cpu"]));
    assert_eq!(found["choice"]["backend"], "cpu");
    assert!(found["cpu"]["threads"].as_u64().unwrap() > 0);
    monolens(&["doctor", "--backend", "cpu"])
        .assert()
        .success()
        .stdout(predicate::str::contains("will use  cpu"));
}

#[test]
fn the_doctor_holds_a_device_to_the_reference() {
    let found = json(&mut monolens(&["doctor", "--self-test", "--json", "--backend", "cpu"]));
    let told = &found["self_test"];
    assert_eq!(told["fault"], serde_json::Value::Null);
    assert_eq!(told["checks"].as_array().unwrap().len(), 5, "{told}");
    // What another process asks for: where there is no such device it says what is missing, in the same form.
    let none = json(&mut monolens(&["doctor", "--prove", "--device", "no such device"]));
    let fault = none["checks"][0]["fault"].as_str().unwrap();
    assert!(fault.contains("is not available"), "{fault}");
}

#[cfg(unix)]
#[test]
fn the_server_answers_until_it_is_told_to_end() {
    use std::io::{BufRead, BufReader, Read, Write};
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("monolens"));
    command.args(["serve", "--port", "0", "--backend", "cpu", "--model-name", "tiny"]);
    command.arg(golden().join("mono-v1")).env_remove("MONOLENS_API_KEY").env_remove("RUST_LOG");
    let mut server = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines().map(Result::unwrap);
    let said = lines.find_map(|line| line.split_once("http://").map(|(_, rest)| rest.to_owned())).unwrap();
    let address = said.split(' ').next().unwrap();
    let body = r#"{"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3}"#;
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: application/json";
    let ask = || {
        let mut client = std::net::TcpStream::connect(address).unwrap();
        write!(client, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        answer
    };
    // The address is told before the model is loaded; until then a client is asked to come again.
    let answer = std::iter::repeat_with(ask)
        .inspect(|answer| {
            assert!(!answer.starts_with("HTTP/1.1 503") || answer.contains("\r\nretry-after: "))
        })
        .inspect(|_| std::thread::sleep(std::time::Duration::from_millis(20)))
        .find(|answer| !answer.starts_with("HTTP/1.1 503"))
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"model\":\"tiny\""), "{answer}");
    let line = lines.find(|line| line.contains("prompt tokens")).unwrap();
    assert!(line.contains("chatcmpl-") && line.contains("3 generated"), "{line}");
    let kill = std::process::Command::new("kill").arg("-TERM").arg(server.id().to_string()).status();
    assert!(kill.unwrap().success());
    assert!(server.wait().unwrap().success());
}

#[test]
fn verification_exits_with_1_when_something_is_over() {
    let brief = ["verify", "--brief", "--backend", "cpu"];
    monolens(&brief).arg(golden().join("tiny-tokenizer")).assert().code(0);
    let folder = tempfile::tempdir().unwrap();
    for name in ["tokenizer.model", "added_tokens.json", "tokenizer_config.json", "special_tokens_map.json"] {
        std::fs::copy(golden().join("tiny-tokenizer").join(name), folder.path().join(name)).unwrap();
    }
    let text = std::fs::read_to_string(golden().join("tiny-tokenizer/golden.json")).unwrap();
    std::fs::write(folder.path().join("golden.json"), text.replace("328", "329")).unwrap();
    monolens(&brief).arg(folder.path()).assert().code(1).stdout(predicate::str::contains("NOT verified"));
    let report =
        monolens(&["verify", "--json"]).arg(folder.path()).assert().code(1).get_output().stdout.clone();
    let report: Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["passed"], false);
}

#[test]
fn a_converted_checkpoint_answers_and_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("eight");
    let convert = |extra: &[&str]| {
        let mut command = monolens(&["convert", "--weights", "8bit", "--json"]);
        command.args(extra).arg(&out);
        command
    };
    let made = json(&mut convert(&[]));
    assert!(made["bytes"].as_u64().unwrap() * 10 < made["bytes_before"].as_u64().unwrap() * 6, "{made}");
    let tensors = made["tensors"].as_array().unwrap();
    // Uniform rows give 4e-5; the output projection has outliers and gives 1.4e-4.
    assert!(tensors.len() > 40 && tensors.iter().all(|t| t["nmse"].as_f64().unwrap() < 3e-4), "{made}");
    convert(&[]).assert().code(2).stderr(predicate::str::contains("--force"));
    json(&mut convert(&["--force"]));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");

    // The same weights, rounded before or while they are loaded, give the same answer.
    let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/rocket.png");
    let ask = |model: Option<&Path>, extra: &[&str]| {
        let mut command = monolens(&["run", "--json", "-p", "What is this?", "--backend", "cpu"]);
        json(command.args(extra).args(model).arg(&image))["answer"].clone()
    };
    assert_eq!(ask(Some(&out), &[]), ask(None, &["--weights", "8bit"]));
}

#[test]
fn a_converted_checkpoint_that_was_tampered_with_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("four");
    json(monolens(&["convert", "--weights", "4bit", "--json"]).arg(&out));
    let path = out.join("config.json");
    let config = std::fs::read_to_string(&path).unwrap();
    let refused = |from: &str, to: &str, said: &str| {
        assert!(config.contains(from), "{config}");
        std::fs::write(&path, config.replace(from, to)).unwrap();
        let mut command = monolens(&["run", "-p", "Hi", "--backend", "cpu"]);
        command.arg(&out).assert().code(2).stderr(predicate::str::contains(said));
    };
    refused("\"group_size\": 128", "\"group_size\": 64", "by quantization_config");
    refused("\"num_bits\": 4", "\"num_bits\": 3", "4 or 8");
    refused("pack-quantized", "float-quantized", "pack-quantized");
    refused("compressed-tensors", "gptq", "compressed-tensors");
}

#[test]
fn weights_that_are_rounded_already_are_not_rounded_again() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("eight");
    json(monolens(&["convert", "--weights", "8bit", "--json"]).arg(&out));
    let commands: [&[&str]; 4] = [
        &["run", "-p", "Hi", "--backend", "cpu"],
        &["inspect", "--backend", "cpu"],
        &["bench", "--pp", "8", "--tg", "0", "--repeat", "1", "--backend", "cpu"],
        &["bench", "quality", "--tokens", "4", "--backend", "cpu"],
    ];
    for command in commands {
        let refused = monolens(command).args(["--weights", "4bit"]).arg(&out).assert().code(2);
        refused.stderr(predicate::str::contains("in integers already (8 bit in groups of 128"));
    }
    let args = ["bench", "--pp", "8", "--tg", "0", "--repeat", "1", "--format", "csv", "--backend", "cpu"];
    let shown = monolens(&args).arg(&out).assert().success();
    shown.stdout(predicate::str::contains("as stored: 8 bit in groups of 128"));
}

#[test]
fn what_would_measure_nothing_is_refused() {
    let refused = |args: &[&str], said: &str| {
        monolens(args).assert().code(2).stderr(predicate::str::contains(said));
    };
    refused(&["bench", "--pp", "0", "--tg", "0"], "nothing to measure");
    refused(&["bench", "--batch", "0"], "from 1 on");
    refused(&["bench", "--ttft", "20000:16"], "at most 257 tiles");
    refused(&["bench", "mmoe", "--tokens", "0"], "1..=1000000");
    refused(&["bench", "mmoe", "--seconds", "nan"], "expected 0 or more");
    refused(&["bench", "mmoe", "--plot", "ratios.png"], "ends in .svg");
    refused(&["bench", "mmoe", "--plot", "no/such/folder/ratios.svg"], "cannot write");
}

#[test]
fn speed_and_quality_are_measured() {
    let args = ["bench", "--pp", "8", "--tg", "4", "--repeat", "1", "--ttft", "1:4", "--format", "json"];
    let rows = json(monolens(&args).args(["--weights", "4bit", "--backend", "cpu", "--batch", "1,2"]));
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 5);
    assert!(rows.iter().all(|r| r["s"].as_f64().unwrap() > 0.0 && r["weights"] == "4bit"), "{rows:?}");
    // Programs find what the shares are of.
    assert!(
        rows.iter().all(|r| r["product, GFLOP/s"].as_f64().unwrap() > 0.0 && r["repeat"] == 1),
        "{rows:?}"
    );
    // Two at once: the mean of their times, no rate.
    let [alone, together] = [3, 4].map(|i| &rows[i]);
    assert!(alone["t/s"].as_f64().unwrap() > 0.0 && together["t/s"].is_null(), "{rows:?}");
    assert!(together["test"].as_str().unwrap().starts_with("ttft x 2, 1 tiles ("), "{rows:?}");
    let args =
        ["bench", "quality", "--weights", "8bit", "--tokens", "12", "--format", "json", "--backend", "cpu"];
    let rows = json(&mut monolens(&args));
    assert_eq!(rows[0]["tokens"], 12);
    assert!(rows[0]["divergence, nats a token"].as_f64().unwrap() < 0.1, "{rows}");
    let args = ["bench", "quality", "--kv", "8bit", "--tokens", "12", "--format", "json", "--backend", "cpu"];
    let rows = json(&mut monolens(&args));
    assert_eq!((&rows[0]["weights"], &rows[0]["kv"]), (&"as stored: bf16".into(), &"8bit".into()));
    assert!(rows[0]["divergence, nats a token"].as_f64().unwrap() < 0.1, "{rows}");
}

#[test]
fn keys_and_values_in_8_bits_take_less_and_answer() {
    let total = |args: &[&str]| {
        let shown =
            json(monolens(&["inspect", "--random", "mono-2b", "--json", "--backend", "cpu"]).args(args));
        (shown["kv_bytes_per_token"].as_u64().unwrap(), shown["total_bytes"].as_u64().unwrap())
    };
    let (wide, narrow) = (total(&[]), total(&["--kv", "8bit"]));
    // 24 layers, keys and values, 8 heads of 128: an integer an element and a factor a head.
    assert_eq!((wide.0, narrow.0), (2 * 24 * 8 * 256, 2 * 24 * 8 * 132));
    assert!(wide.1 > narrow.1 + 100_000_000, "{wide:?} {narrow:?}");
    let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/rocket.png");
    let answer = |args: &[&str]| {
        let mut command = monolens(&["run", "--json", "-p", "What is this?", "--backend", "cpu"]);
        json(command.args(args).arg(&image))["answer"].clone()
    };
    assert_eq!(answer(&["--kv", "8bit"]), answer(&[]));
}

#[test]
fn the_routed_network_is_held_against_both_experts() {
    let args = ["bench", "mmoe", "--tokens", "64", "--visual", "0,50", "--repeat", "1", "--format", "csv"];
    let rows = predicate::str::contains("64,50 %,interleaved,").and(predicate::str::contains("64,0 %,runs,"));
    let folder = tempfile::tempdir().unwrap();
    let plot = folder.path().join("ratios.svg");
    let args = monolens(&args).args(["--backend", "cpu", "--plot"]).arg(&plot).assert().success();
    args.stdout(rows).stderr(predicate::str::contains("than computing both"));
    assert!(std::fs::read_to_string(plot).unwrap().contains("64 tokens, interleaved"));
}

#[test]
fn operators_are_measured_at_the_models_sizes() {
    let args = ["bench", "ops", "--pp", "40", "--repeat", "1", "--format", "json", "--backend", "cpu"];
    let rows = json(&mut monolens(&args));
    let find = |phase: &str, op: &str| {
        let mut rows = rows.as_array().unwrap().iter();
        let found = rows.find(|r| r["phase"].as_str().unwrap().starts_with(phase) && r["operator"] == op);
        found.unwrap_or_else(|| panic!("no {op} in {phase}: {rows:?}")).clone()
    };
    assert_eq!(find("a token after 40", "gate_up")["calls"], 6);
    assert_eq!(find("reading 40", "gate_up")["widths"], "256 to 512");
    assert!(find("reading 40", "attention")["GFLOP/s"].as_f64().unwrap() > 0.0);
    assert_eq!(find("image of 1 tiles", "patch_embed")["calls"], 1);
}
