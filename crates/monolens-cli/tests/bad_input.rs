//! Bad input: exit status 2, one clear message that names what was expected and what came, never a panic.

use assert_cmd::Command;
use predicates::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden")
}

fn photo() -> PathBuf {
    golden().join("images/tiny_64x64.png")
}

/// A copy of a small random model that a test may break.
fn model() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(golden().join("mono-v1")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_file() && !name.starts_with("golden") {
            fs::copy(&path, folder.path().join(name)).unwrap();
        }
    }
    folder
}

fn monolens() -> Command {
    let mut command = Command::cargo_bin("monolens").unwrap();
    command.env_remove("RUST_LOG");
    command
}

fn ask(model: &Path, image: &Path) -> Command {
    let mut command = monolens();
    command.arg("run").arg(model).arg(image);
    command.args(["-p", "What is this?", "--backend", "cpu", "--max-new-tokens", "2", "--max-tiles", "1"]);
    command
}

/// Exit status 2, nothing on stdout, no panic, and all of these words.
fn refused(command: &mut Command, words: &[&str]) {
    let mut assert = command.assert().code(2).stdout("");
    assert = assert.stderr(predicate::str::contains("panicked").not());
    for word in words {
        assert = assert.stderr(predicate::str::contains(*word));
    }
}

/// An answer, or a refusal as above: never a panic.
fn answered(command: &mut Command) {
    command.assert().success().stderr(predicate::str::contains("panicked").not());
}

#[test]
fn a_model_that_is_not_there() {
    refused(&mut ask(Path::new("/no/such/model"), &photo()), &["/no/such/model", "expected a model folder"]);
    refused(&mut ask(Path::new("no.safetensors"), &photo()), &["no.safetensors", "config.json"]);
    let empty = tempfile::tempdir().unwrap();
    refused(&mut ask(empty.path(), &photo()), &["config.json"]);
}

#[test]
fn a_truncated_checkpoint() {
    let model = model();
    let weights = model.path().join("model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    for length in [0, 7, 100, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&weights, &bytes[..length]).unwrap();
        refused(&mut ask(model.path(), &photo()), &["model.safetensors", "expected"]);
    }
    fs::remove_file(&weights).unwrap();
    refused(&mut ask(model.path(), &photo()), &["expected model.safetensors"]);
}

#[test]
fn weights_that_are_not_finite() {
    let model = model();
    let weights = model.path().join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&weights, bytes).unwrap();
    refused(&mut ask(model.path(), &photo()), &["expected finite weights", "NaN"]);
}

#[test]
fn a_configuration_that_does_not_fit() {
    let model = model();
    let path = model.path().join("config.json");
    let text = fs::read_to_string(&path).unwrap();
    let change = |from: &str, to: &str| {
        assert!(text.contains(from));
        fs::write(&path, text.replace(from, to)).unwrap();
    };
    change("\"intermediate_size\": 160", "\"intermediate_size\": 161");
    refused(&mut ask(model.path(), &photo()), &["feed_forward", "161", "160"]);
    change("\"hidden_act\": \"silu\"", "\"hidden_act\": \"relu\"");
    refused(&mut ask(model.path(), &photo()), &["hidden_act", "silu", "relu"]);
    fs::write(&path, "{ not json").unwrap();
    refused(&mut ask(model.path(), &photo()), &["config.json"]);
}

#[test]
fn a_missing_tokenizer() {
    let model = model();
    fs::remove_file(model.path().join("tokenizer.model")).unwrap();
    refused(&mut ask(model.path(), &photo()), &["expected tokenizer.model"]);
}

#[test]
fn an_empty_question() {
    refused(monolens().args(["run", "-p", ""]), &["question", "empty"]);
    refused(monolens().args(["run", "-p", " \n"]), &["question", "empty"]);
    refused(monolens().args(["run", "-p", "-"]).write_stdin(""), &["question", "empty"]);
    let model = model();
    refused(monolens().arg("run").arg(model.path()), &["expected an image or a question"]);
}

#[test]
fn images_that_are_broken() {
    let folder = tempfile::tempdir().unwrap();
    let model = model();
    let png = fs::read(photo()).unwrap();
    let file = folder.path().join("broken.png");
    for (bytes, words) in [
        (Vec::new(), &["0 bytes"][..]),
        (b"this is a text file, whatever its name says".to_vec(), &["expected PNG, JPEG"][..]),
        (png[..png.len() / 2].to_vec(), &["Png"][..]),
        (png[..20].to_vec(), &["Png"][..]),
    ] {
        fs::write(&file, bytes).unwrap();
        let mut all = vec!["broken.png"];
        all.extend(words);
        refused(&mut ask(model.path(), &file), &all);
    }
    refused(&mut ask(model.path(), &folder.path().join("none.png")), &["cannot read the image", "none.png"]);
    refused(&mut ask(model.path(), folder.path()), &["--video"]);
}

/// Odd images that are images: they are answered.
#[test]
fn images_that_are_odd() {
    let folder = tempfile::tempdir().unwrap();
    let model = model();
    let save = |name: &str, image: image::DynamicImage| {
        let path = folder.path().join(name);
        image.save(&path).unwrap();
        path
    };
    let one = save("one.png", image::DynamicImage::new_rgb8(1, 1));
    let long = save("long.png", image::DynamicImage::new_rgb8(30_000, 1));
    let deep = save("deep.png", image::DynamicImage::new_rgb16(40, 30));
    let grey = save("grey.png", image::DynamicImage::new_luma16(40, 30));
    for path in [one, long, deep, grey] {
        answered(&mut ask(model.path(), &path));
    }
    let cmyk = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/cmyk.jpg");
    answered(&mut ask(model.path(), &cmyk));
}

#[test]
fn an_image_that_claims_to_be_huge() {
    let folder = tempfile::tempdir().unwrap();
    let model = model();
    // A PNG header of 60,000 x 60,000 pixels without its data.
    let mut png = fs::read(photo()).unwrap();
    png[16..20].copy_from_slice(&60_000u32.to_be_bytes());
    png[20..24].copy_from_slice(&60_000u32.to_be_bytes());
    let sum = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&sum.to_be_bytes());
    let path = folder.path().join("huge.png");
    fs::write(&path, png).unwrap();
    refused(&mut ask(model.path(), &path), &["huge.png", "expected at most", "60000x60000"]);
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, bit: u32| if bit == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0u32, |crc, &b| (0..8).fold(crc ^ u32::from(b), |crc, _| step(crc, crc & 1)))
}

#[test]
fn a_question_beyond_the_context() {
    let model = model();
    let mut command = monolens();
    command.arg("run").arg(model.path()).args(["--backend", "cpu", "-p", "-"]);
    command.write_stdin("many words ".repeat(30_000));
    refused(&mut command, &["tokens", "context"]);
}

#[test]
fn too_many_images() {
    let model = model();
    let mut command = monolens();
    command.arg("run").arg(model.path()).args(std::iter::repeat_n(photo(), 41)).args(["-p", "x"]);
    refused(&mut command, &["expected at most 40"]);
}

#[test]
fn placeholders_that_do_not_fit_the_images() {
    let mut command = ask(model().path(), &photo());
    command.args(["--raw"]);
    let mut wrong = monolens();
    let model = model();
    wrong.arg("run").arg(model.path()).arg(photo()).args(["--backend", "cpu", "-p", "<image> and <image>"]);
    refused(&mut wrong, &["<image>", "1 images", "got 2"]);
}

#[test]
fn wrong_usage() {
    refused(monolens().args(["run", "--backend", "abacus"]), &["abacus", "possible values"]);
    refused(monolens().args(["run", "--temperature", "hot"]), &["temperature", "0 to 100"]);
    refused(monolens().args(["run", "--random", "huge"]), &["huge", "mono-2b"]);
    refused(monolens().args(["run", "--kv", "4bit"]), &["--kv", "expected 8bit, bf16 or f32, got `4bit`"]);
    refused(monolens().args(["bench", "quality", "--kv", "8bit,f16"]), &["8bit, bf16 or f32", "f16"]);
    refused(monolens().args(["run", "--random", "tiny", "--layers", "1"]), &["--attention"]);
    refused(monolens().args(["verify", "/no/such/set"]), &["/no/such/set"]);
    refused(monolens().args(["serve", "--port", "70000"]), &["70000", "65535"]);
    refused(
        monolens().args(["serve", "--port", "0", "--cors", "page"]),
        &["cors", "https://example.com", "page"],
    );
    refused(monolens().args(["serve", "--host", "192.0.2.1", "--port", "0"]), &["192.0.2.1"]);
    refused(monolens().args(["verify"]).arg(golden().join("images")), &["expected golden data"]);
    let model = model();
    let mut layers = ask(model.path(), &photo());
    layers.args(["--attention", "out.png", "--layers", "1,9"]);
    refused(&mut layers, &["--layers", "1 to 3", "9"]);
}

#[test]
fn a_device_that_is_not_there() {
    let model = model();
    let mut command = monolens();
    command.arg("run").arg(model.path()).args(["-p", "x", "--backend", "wgpu", "--device", "no such GPU"]);
    refused(&mut command, &["not available"]);
}

#[test]
fn a_picture_that_cannot_or_must_not_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("photo.png");
    fs::copy(photo(), &image).unwrap();
    let model = golden().join("mono-v1");
    refused(ask(&model, &image).arg("--boxes").arg(&image), &["--boxes", "overwritten"]);
    assert_eq!(fs::read(&image).unwrap(), fs::read(photo()).unwrap(), "the photo is as it was");
    refused(
        ask(&model, &image).args(["--attention", "/no/such/out.png"]),
        &["--attention", "existing folder"],
    );
    refused(ask(&model, &image).args(["--boxes", "out.jpg"]), &["--boxes", ".png"]);
}

#[test]
fn options_that_would_do_nothing() {
    let model = model();
    refused(ask(model.path(), &photo()).args(["--tier", "half"]), &["--tier is for wgpu"]);
    refused(ask(model.path(), &photo()).args(["--segments", "4"]), &["--video"]);
    let images = ["--backend", "cpu", "--images", "/no/such/folder"];
    refused(monolens().arg("verify").arg(golden().join("mono-v1")).args(images), &["/no/such/folder"]);
}

#[test]
fn a_command_behind_options_is_told_where_it_goes() {
    refused(monolens().args(["-q", "run", "-p", "Hello"]), &["`run` goes before all options"]);
    refused(monolens().args(["--backend", "cpu", "doctor"]), &["`doctor` goes before all options"]);
}

#[test]
fn a_device_that_is_asked_for_and_missing_fails_the_doctor() {
    let mut doctor = monolens();
    let doctor = doctor.args(["doctor", "--backend", "wgpu", "--device", "no such device"]);
    doctor.assert().code(1).stdout(predicate::str::contains("will use  nothing"));
}

#[test]
fn a_line_of_a_conversation_that_is_no_text_is_told_and_the_next_is_answered() {
    let bytes = [b"caf\xe9?\n".as_slice(), b"/help\n"].concat();
    let mut chat = monolens();
    let chat = chat.args(["chat", "--backend", "cpu"]).write_stdin(bytes);
    chat.assert()
        .success()
        .stderr(predicate::str::contains("expected UTF-8").and(predicate::str::contains("/reset")));
}

#[test]
fn a_conversation_that_is_too_long_says_how_to_go_on() {
    let lines = format!("hello\n{}\n", "word ".repeat(3000));
    let mut chat = monolens();
    let chat = chat.args(["chat", "--backend", "cpu", "--max-new-tokens", "1"]).write_stdin(lines);
    chat.assert().success().stderr(predicate::str::contains("/reset begins a new conversation"));
}
