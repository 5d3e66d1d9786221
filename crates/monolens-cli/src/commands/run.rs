//! `monolens run`: one question about images, and the answer as it comes.

use crate::answer::{self, Answered, StatsJson};
use crate::args::{DeviceArgs, SamplingArgs, StorageArgs};
use crate::draw::{self, boxes};
use crate::exit::Outcome;
use crate::look;
use crate::photos::{self, Photo};
use crate::session::{self, Session};
use crate::source::{self, ModelSource, RandomArgs};
use crate::{bundled, interrupt};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use monolens_engine::{Chat, Image, TileOptions};
use monolens_models::grounding::{Grounded, parse_grounding};
use monolens_models::prompt::place_frames;
use serde_json::{Value, json};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Options of `monolens run`.
#[derive(Args, Clone, Debug, Default)]
pub struct RunArgs {
    /// A model folder or .safetensors file (default: the bundled checkpoint), then images
    #[arg(value_name = "[MODEL] IMAGE")]
    pub paths: Vec<PathBuf>,
    /// The question; `-` reads it from stdin. `<image>` marks where an image goes
    #[arg(short = 'p', long = "prompt", value_name = "QUESTION", visible_alias = "question")]
    pub question: Option<String>,
    /// Random weights in place of a checkpoint.
    #[command(flatten)]
    pub random: RandomArgs,
    /// How weights, keys and values are stored.
    #[command(flatten)]
    pub storage: StorageArgs,
    /// A folder of images, taken as the frames of a video
    #[arg(long, value_name = "DIR", help_heading = "Images")]
    pub video: Option<PathBuf>,
    /// Frames to take from the video
    #[arg(long, value_name = "N", default_value_t = 8, help_heading = "Images", requires = "video",
        value_parser = clap::value_parser!(u16).range(1..=40))]
    pub segments: u16,
    /// Most tiles an image, its thumbnail not counted (default: the model's)
    #[arg(long, value_name = "N", help_heading = "Images", value_parser = clap::value_parser!(u16).range(1..=40))]
    pub max_tiles: Option<u16>,
    /// System message instead of the model's own
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// How tokens are chosen.
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Keep tags such as `<ref>` and `<box>` in the answer
    #[arg(long, help_heading = "Output")]
    pub raw: bool,
    /// One JSON object with answer, boxes and figures instead of a stream
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// Draw the boxes of the answer on the image (several images: OUT.2.png ..)
    #[arg(long, value_name = "OUT.png", help_heading = "Output")]
    pub boxes: Option<PathBuf>,
    /// Draw the attention of the answer over the image, and from token to token as OUT.map.png
    #[arg(long, value_name = "OUT.png", help_heading = "Output")]
    pub attention: Option<PathBuf>,
    /// Layers to draw, counted from 1 (default: four, from the first to the last)
    #[arg(long, value_name = "N,N", value_delimiter = ',', requires = "attention", help_heading = "Output")]
    pub layers: Vec<usize>,
}

/// What to ask.
struct Question {
    source: ModelSource,
    photos: Vec<Photo>,
    text: String,
    /// Whether the user has not seen the text yet.
    show: bool,
}

/// Reads images and question, before anything large is loaded.
fn question(args: &RunArgs) -> Result<Question> {
    let (source, files) = source::split(&args.random, &args.paths)?;
    let given = match args.question.as_deref() {
        Some("-") => {
            let mut text = String::new();
            io::stdin()
                .lock()
                .take(1 << 20)
                .read_to_string(&mut text)
                .context("cannot read the question from stdin")?;
            Some(text)
        }
        other => other.map(str::to_owned),
    };
    if let Some(text) = &given {
        ensure!(!text.trim().is_empty(), "the question (-p) is empty: expected some text, got none");
    }
    let asked_for_images = !files.is_empty() || args.video.is_some();
    if let (false, None) = (asked_for_images, &given) {
        let plain = matches!(source, ModelSource::Bundled | ModelSource::Random(_));
        ensure!(plain, "expected an image or a question (-p) for {}, got neither", source.name());
        let example = bundled::example()?;
        let photos = vec![Photo::decode(example.name, example.bytes)?];
        return Ok(Question { source, photos, text: example.question, show: true });
    }
    let mut photos = files.iter().map(|path| Photo::read(path)).collect::<Result<Vec<_>>>()?;
    if let Some(folder) = &args.video {
        ensure!(files.is_empty(), "expected either images or --video, got both");
        let frames = photos::frames(folder, usize::from(args.segments))?;
        photos = frames.iter().map(|path| Photo::read(path)).collect::<Result<Vec<_>>>()?;
    }
    let (text, show) = match given {
        Some(text) => (text, false),
        None => (bundled::GENERAL_QUESTION.to_owned(), true),
    };
    let text = if args.video.is_some() { place_frames(&text, photos.len()) } else { text };
    Ok(Question { source, photos, text, show })
}

/// Runs the command.
///
/// # Errors
/// For bad input, a device that is not there, a model that cannot run.
pub fn run(args: &RunArgs, quiet: bool) -> Result<Outcome> {
    interrupt::listen()?;
    let Question { source, photos, text, show } = question(args)?;
    if args.boxes.is_some() || args.attention.is_some() {
        ensure!(!photos.is_empty(), "--boxes and --attention draw on an image: expected an image, got none");
    }
    check_outputs(args)?;
    let model = source.open()?;
    let tiles = match args.video {
        Some(_) => TileOptions::FRAME,
        None => TileOptions { max_tiles: args.max_tiles.map(usize::from), budget: None },
    };
    let (images, warning) = photos::tile(&model, &photos, &tiles)?;
    let layers = layers(args, model.config().decoder.num_layers)?;
    let mut session = session::load(model, &args.device, args.storage.options(), quiet)?;
    let engine = &mut session.engine;
    for note in [source.warning(), warning].into_iter().flatten().filter(|_| !quiet) {
        eprintln!("monolens: {note}");
    }
    let mut out = io::stdout().lock();
    if show && !args.json {
        let names = photos.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", ");
        writeln!(out, "[{names}] {text}")?;
    }
    let mut chat = args.system.as_deref().map_or_else(Chat::new, Chat::with_system);
    chat.ask(&text, images.clone());
    let mut settings = args.sampling.settings(engine.model().generation());
    settings.keep_tags = args.raw || args.boxes.is_some();
    let mut nothing = io::sink();
    let shown: &mut dyn Write = if args.json { &mut nothing } else { &mut out };
    // The attention pictures need the prompt as it was asked.
    let prompt = engine.prompt(&chat)?;
    let answered = answer::stream(engine, &mut chat, settings, shown)?;
    let grounded = parse_grounding(&answered.text);
    let tile_count = images.iter().map(|i| i.tiles().count()).sum();
    if args.json {
        writeln!(out, "{}", to_json(&session, &answered, &text, tile_count, &grounded))?;
    } else {
        writeln!(out)?;
        if !quiet {
            let device = session::device_line(session.engine.device());
            eprintln!("{}; {device}; {}", answer::stats_line(&answered.stats, tile_count), session.reason);
        }
    }
    if let Some(path) = &args.boxes {
        draw_boxes(path, &photos, &images, &grounded, quiet)?;
    }
    if let Some(path) = &args.attention {
        let asked = look::Asked { prompt, question: &text, photos: &photos, answered: &answered };
        for file in look::draw(&mut session.engine, &asked, &layers, path)?.iter().filter(|_| !quiet) {
            eprintln!("attention drawn: {}", file.display());
        }
    }
    Ok(Outcome::Fine)
}

/// Pictures can only be written as PNG, into a folder that is there, and never over an image that was asked about:
/// better said before the model is loaded than after the answer.
fn check_outputs(args: &RunArgs) -> Result<()> {
    for (flag, path) in [("--boxes", &args.boxes), ("--attention", &args.attention)] {
        let Some(path) = path else { continue };
        let is_png = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("png"));
        ensure!(is_png, "{flag}: expected a file name that ends in .png, got {}", path.display());
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        ensure!(folder.is_dir(), "{flag}: expected an existing folder, got {}", folder.display());
        let same = |input: &PathBuf| {
            path.canonicalize().is_ok_and(|out| input.canonicalize().is_ok_and(|i| i == out))
        };
        ensure!(
            !args.paths.iter().any(same),
            "{flag}: {} is one of the inputs and would be overwritten",
            path.display()
        );
    }
    Ok(())
}

/// The layers to draw, checked against the model.
fn layers(args: &RunArgs, all: usize) -> Result<Vec<usize>> {
    if args.layers.is_empty() {
        return Ok(look::default_layers(all));
    }
    if let Some(wrong) = args.layers.iter().find(|l| !(1..=all).contains(*l)) {
        bail!("--layers: expected numbers from 1 to {all}, got {wrong}");
    }
    Ok(args.layers.clone())
}

fn to_json(session: &Session, a: &Answered, question: &str, tiles: usize, grounded: &[Grounded]) -> Value {
    let device = session.engine.device();
    let boxes: Vec<Value> = grounded
        .iter()
        .map(|g| {
            let boxes: Vec<_> = g.boxes.iter().map(|b| [b.x1, b.y1, b.x2, b.y2]).collect();
            json!({ "phrase": g.phrase, "boxes_per_mille": boxes })
        })
        .collect();
    json!({
        "question": question,
        "answer": a.text,
        "ids": a.ids,
        "finish_reason": answer::reason_name(a.reason),
        "grounding": boxes,
        "tiles": tiles,
        "stats": StatsJson::from(&a.stats),
        "load_seconds": session.load_seconds,
        "device": {
            "backend": device.kind.to_string(),
            "name": device.name,
            "tier": device.tier,
            "reason": session.reason,
        },
    })
}

/// Draws the boxes; each image gets a file of its own.
fn draw_boxes(
    path: &Path,
    photos: &[Photo],
    images: &[Image],
    grounded: &[Grounded],
    quiet: bool,
) -> Result<()> {
    let count: usize = grounded.iter().map(|g| g.boxes.len()).sum();
    for (i, (photo, image)) in photos.iter().zip(images).enumerate() {
        let (width, height) = image.tiles().original_size();
        let labels: Vec<boxes::Label> = grounded
            .iter()
            .map(|g| boxes::Label {
                phrase: g.phrase.clone(),
                boxes: g.boxes.iter().map(|b| b.to_pixels(width, height)).collect(),
            })
            .collect();
        let file = if i == 0 { path.to_path_buf() } else { numbered(path, i + 1) };
        draw::save(&boxes::draw(&photo.picture(), &labels)?, &file)?;
        if !quiet {
            eprintln!("{count} boxes drawn: {}", file.display());
        }
    }
    Ok(())
}

/// `out.png` → `out.2.png`.
fn numbered(path: &std::path::Path, number: usize) -> PathBuf {
    let ending = path.extension().map_or_else(|| "png".into(), |e| e.to_string_lossy().into_owned());
    path.with_extension(format!("{number}.{ending}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_given_is_the_bundled_example() {
        let q = question(&RunArgs::default()).unwrap();
        assert_eq!((q.source, q.photos.len(), q.show), (ModelSource::Bundled, 1, true));
    }

    #[test]
    fn an_empty_question_is_refused() {
        let args = RunArgs { question: Some("  ".into()), ..RunArgs::default() };
        assert!(question(&args).err().unwrap().to_string().contains("is empty"));
    }

    #[test]
    fn layers_are_checked_against_the_model() {
        let args = RunArgs { layers: vec![1, 4], ..RunArgs::default() };
        assert_eq!(layers(&args, 4).unwrap(), [1, 4]);
        assert!(layers(&args, 3).unwrap_err().to_string().contains("expected numbers from 1 to 3, got 4"));
        assert_eq!(layers(&RunArgs::default(), 24).unwrap(), [1, 8, 16, 24]);
    }

    #[test]
    fn further_files_are_numbered() {
        assert_eq!(numbered(&PathBuf::from("a/out.png"), 2), PathBuf::from("a/out.2.png"));
    }
}
