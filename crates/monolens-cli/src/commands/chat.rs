//! `monolens chat`: a conversation.

use crate::answer;
use crate::args::{DeviceArgs, SamplingArgs, StorageArgs};
use crate::exit::Outcome;
use crate::interrupt;
use crate::photos::{self, Photo};
use crate::session::{self, Session};
use crate::source::{ModelSource, RandomArgs};
use anyhow::{Context, Result};
use clap::Args;
use monolens_engine::{Chat, EngineError, Image, Role, TileOptions};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Options of `monolens chat`.
#[derive(Args, Clone, Debug, Default)]
pub struct ChatArgs {
    /// A model folder or .safetensors file (default: the bundled checkpoint)
    pub model: Option<PathBuf>,
    /// Random weights in place of a checkpoint.
    #[command(flatten)]
    pub random: RandomArgs,
    /// How weights, keys and values are stored.
    #[command(flatten)]
    pub storage: StorageArgs,
    /// An image to begin with; more join with /image
    #[arg(short, long, value_name = "PATH")]
    pub image: Vec<PathBuf>,
    /// Most tiles an image, its thumbnail not counted (default: the model's)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=40))]
    pub max_tiles: Option<u16>,
    /// System message instead of the model's own
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// Keep tags such as `<ref>` and `<box>` in answers
    #[arg(long)]
    pub raw: bool,
    /// How tokens are chosen.
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArgs,
}

const HELP: &str = "\
/image PATH..  adds images to the next question
/reset         begins a new conversation
/stats         shows what was computed and what memory is used
/quit          ends (also Ctrl-D)
Ctrl-C stops an answer. Anything else is a question.";

/// A line of the user.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    Nothing,
    Help,
    Images(Vec<String>),
    Reset,
    Stats,
    Quit,
    Unknown(String),
    Question(String),
}

fn parse(line: &str) -> Line {
    let line = line.trim();
    if line.is_empty() {
        return Line::Nothing;
    }
    if !line.starts_with('/') {
        return Line::Question(line.to_owned());
    }
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    match word {
        "/image" | "/img" => Line::Images(words(rest)),
        "/reset" | "/clear" => Line::Reset,
        "/stats" => Line::Stats,
        "/quit" | "/exit" | "/q" => Line::Quit,
        "/help" | "/?" => Line::Help,
        other => Line::Unknown(other.to_owned()),
    }
}

/// Paths, quoted ones with their spaces; a single path may have spaces without quotes if the file is there.
fn words(text: &str) -> Vec<String> {
    let text = text.trim();
    if text.is_empty() {
        return Vec::new();
    }
    if Path::new(text).exists() {
        return vec![text.to_owned()];
    }
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in text.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, c) if c.is_whitespace() => words.push(std::mem::take(&mut word)),
            (_, c) => word.push(c),
        }
    }
    words.push(word);
    words.retain(|w| !w.is_empty());
    words
}

/// Reads lines from the terminal with history, or plainly from a pipe.
enum Input {
    Terminal(Box<DefaultEditor>),
    Pipe,
}

impl Input {
    fn new() -> Result<Self> {
        if !io::stdin().is_terminal() {
            return Ok(Self::Pipe);
        }
        let editor = DefaultEditor::new().context("cannot read from the terminal")?;
        Ok(Self::Terminal(Box::new(editor)))
    }

    /// The next line; none at the end. One that is no text is told and counts as empty.
    fn line(&mut self) -> Result<Option<String>> {
        match self {
            Self::Pipe => {
                let mut line = Vec::new();
                io::stdin().lock().read_until(b'\n', &mut line).context("cannot read from stdin")?;
                if line.is_empty() {
                    return Ok(None);
                }
                Ok(Some(String::from_utf8(line).unwrap_or_else(|error| {
                    eprintln!("a line is left out: expected UTF-8, got {}", error.utf8_error());
                    String::new()
                })))
            }
            Self::Terminal(editor) => match editor.readline("> ") {
                Ok(line) => {
                    // A history that is full loses its oldest line: no error to tell.
                    let _ = editor.add_history_entry(&line);
                    Ok(Some(line))
                }
                // Ctrl-C at the prompt forgets the line.
                Err(ReadlineError::Interrupted) => Ok(Some(String::new())),
                Err(ReadlineError::Eof) => Ok(None),
                Err(error) => Err(error).context("cannot read from the terminal"),
            },
        }
    }
}

/// The conversation at the keyboard.
struct Talk<'a> {
    args: &'a ChatArgs,
    session: Session,
    chat: Chat,
    /// Images that wait for the next question.
    waiting: Vec<Image>,
}

/// Runs the command.
///
/// # Errors
/// For bad input at the start, and when the device fails. Errors of single questions are told, and the talk goes on.
pub fn run(args: &ChatArgs, quiet: bool) -> Result<Outcome> {
    interrupt::listen()?;
    let source = ModelSource::of(&args.random, args.model.as_ref())?;
    let first = args.image.iter().map(|p| Photo::read(p)).collect::<Result<Vec<_>>>()?;
    let session = session::load(source.open()?, &args.device, args.storage.options(), quiet)?;
    if !quiet {
        eprintln!(
            "{} on {} ({})",
            source.name(),
            session::device_line(session.engine.device()),
            session.reason
        );
        if let Some(warning) = source.warning() {
            eprintln!("monolens: {warning}");
        }
        eprintln!("/help shows the commands");
    }
    let mut talk = Talk { args, session, chat: new_chat(args), waiting: Vec::new() };
    talk.add(&first)?;
    let mut input = Input::new()?;
    loop {
        interrupt::reset();
        let Some(line) = input.line()? else { return Ok(Outcome::Fine) };
        match parse(&line) {
            Line::Nothing => {}
            Line::Help => eprintln!("{HELP}"),
            Line::Quit => return Ok(Outcome::Fine),
            Line::Reset => {
                talk.chat = new_chat(args);
                talk.waiting.clear();
                eprintln!("a new conversation");
            }
            Line::Stats => talk.stats(),
            Line::Unknown(word) => eprintln!("{word} is no command; /help shows them"),
            Line::Images(paths) if paths.is_empty() => eprintln!("/image: expected a path, got none"),
            Line::Images(paths) => {
                let photos = paths.iter().map(|p| Photo::read(Path::new(p))).collect::<Result<Vec<_>>>();
                if let Err(error) = photos.and_then(|photos| talk.add(&photos)) {
                    eprintln!("{error:#}");
                }
            }
            Line::Question(text) => talk.ask(&text, quiet)?,
        }
    }
}

fn new_chat(args: &ChatArgs) -> Chat {
    args.system.as_deref().map_or_else(Chat::new, Chat::with_system)
}

impl Talk<'_> {
    fn add(&mut self, photos: &[Photo]) -> Result<()> {
        let options = TileOptions { max_tiles: self.args.max_tiles.map(usize::from), budget: None };
        let model = self.session.engine.model();
        let (images, warning) = photos::tile(model, photos, &options)?;
        for (photo, image) in photos.iter().zip(&images) {
            let tiles = image.tiles();
            let tokens = tiles.count() * model.config().num_image_token();
            eprintln!(
                "{}: {} × {} tiles, {tokens} visual tokens",
                photo.name,
                tiles.grid().columns,
                tiles.grid().rows
            );
        }
        if let Some(warning) = warning {
            eprintln!("monolens: {warning}");
        }
        self.waiting.extend(images);
        Ok(())
    }

    /// Asks and shows the answer. What concerns this question only is told.
    fn ask(&mut self, text: &str, quiet: bool) -> Result<()> {
        let before = self.chat.clone();
        let tiles = self.waiting.iter().map(|i| i.tiles().count()).sum::<usize>();
        self.chat.ask(text, self.waiting.clone());
        let all: usize = self.chat.messages.iter().flat_map(|m| &m.images).map(|i| i.tiles().count()).sum();
        let engine = &mut self.session.engine;
        let mut settings = self.args.sampling.settings(engine.model().generation());
        settings.keep_tags = self.args.raw;
        let mut out = io::stdout().lock();
        match answer::stream(engine, &mut self.chat, settings, &mut out) {
            Ok(answered) => {
                writeln!(out)?;
                self.waiting.clear();
                if !quiet {
                    let added = match tiles {
                        0 => String::new(),
                        1 => "; 1 new tile".to_owned(),
                        n => format!("; {n} new tiles"),
                    };
                    eprintln!("  {}{added}", answer::stats_line(&answered.stats, all));
                }
                Ok(())
            }
            Err(error) if is_fatal(&error) => Err(error),
            Err(error) => {
                writeln!(out)?;
                let full = matches!(error.downcast_ref(), Some(EngineError::ContextOverflow { .. }));
                let hint = if full && before.messages.iter().any(|m| m.role == Role::User) {
                    "; /reset begins a new conversation"
                } else {
                    ""
                };
                eprintln!("{error:#}{hint}");
                self.chat = before;
                Ok(())
            }
        }
    }

    fn stats(&self) {
        let engine = &self.session.engine;
        let (s, m) = (engine.stats(), engine.memory());
        let mb = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
        eprintln!(
            "{} prompt tokens computed, {} reused, {} generated; {} tiles encoded in {} runs",
            s.tokens_prefilled, s.tokens_reused, s.tokens_generated, s.tiles_encoded, s.vision_runs
        );
        eprintln!(
            "memory: {} weights, {} cache and visual tokens, {} activations; {} of {} cached tokens kept for reuse",
            mb(m.device.weights),
            mb(m.device.states),
            mb(m.device.activations),
            m.kv_tokens_cached,
            m.kv_tokens
        );
        eprintln!("{} ({})", session::device_line(engine.device()), self.session.reason);
    }
}

/// Whether going on makes no sense: nobody reads the answers, or the device is gone.
fn is_fatal(error: &anyhow::Error) -> bool {
    let io = error.chain().any(|cause| cause.is::<io::Error>());
    let lost = error.downcast_ref::<EngineError>().is_some_and(|e| e.is_device_lost());
    io || lost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_commands_or_questions() {
        assert_eq!(parse("  "), Line::Nothing);
        assert_eq!(parse("what is / this?"), Line::Question("what is / this?".into()));
        assert_eq!(parse("/quit"), Line::Quit);
        assert_eq!(parse("/imagine"), Line::Unknown("/imagine".into()));
        assert_eq!(parse("/image"), Line::Images(Vec::new()));
        let two = Line::Images(vec!["a.png".into(), "my photo.jpg".into()]);
        assert_eq!(parse("/image a.png 'my photo.jpg'"), two);
    }
}
