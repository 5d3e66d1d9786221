//! One table in three languages.

use clap::ValueEnum;
use serde_json::{Map, Value, json};
use std::io::{self, Write};

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A Markdown table
    #[default]
    Md,
    /// Comma-separated values
    Csv,
    /// A JSON list of objects
    Json,
}

/// What stands in a table: for people, and for programs.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// In Markdown.
    pub text: String,
    /// In CSV and JSON: numbers in full.
    pub value: Value,
}

impl Cell {
    /// The same thing in two ways.
    pub fn new(text: impl Into<String>, value: Value) -> Self {
        Self { text: text.into(), value }
    }
}

impl From<Value> for Cell {
    fn from(value: Value) -> Self {
        Self { text: text(&value), value }
    }
}

/// A number, for people with so many significant digits as anybody would read.
pub fn number(value: f64) -> Cell {
    let digits = match value.abs() {
        100.0.. => 1,
        1.0.. => 2,
        _ => 4,
    };
    let scale = 10f64.powi(digits);
    Cell::new(text(&json!((value * scale).round() / scale)), json!(value))
}

/// A share, for people in per cent.
pub fn percent(share: f64) -> Cell {
    Cell::new(format!("{:.0} %", share * 100.0), json!(share))
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// A table that is written to standard output: a key for each column, and rows of cells. Markdown and CSV come row by row, so
/// that what is stopped leaves what it has; JSON comes whole.
#[derive(Clone, Debug)]
pub struct Table {
    format: Format,
    columns: Vec<&'static str>,
    /// What is the same in all rows, for programs only.
    facts: Vec<(&'static str, Value)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: &[&'static str], format: Format) -> Self {
        Self { format, columns: columns.to_vec(), facts: Vec::new(), rows: Vec::new() }
    }

    /// What holds for all rows: columns of CSV and keys of JSON, behind the others.
    pub fn facts(&mut self, facts: impl IntoIterator<Item = (&'static str, Value)>) {
        self.facts.extend(facts);
    }

    /// Adds a row, a cell a column, and writes it where rows are written one by one.
    ///
    /// # Errors
    /// Output that cannot be written.
    pub fn row(&mut self, cells: Vec<Cell>) -> io::Result<()> {
        if self.rows.is_empty() {
            write(&self.head())?;
        }
        write(&self.line(&cells))?;
        self.rows.push(cells);
        Ok(())
    }

    /// Writes what has not been written yet.
    ///
    /// # Errors
    /// Output that cannot be written.
    pub fn finish(self) -> io::Result<()> {
        if self.rows.is_empty() {
            write(&self.head())?;
        }
        if self.format == Format::Json { write(&self.json()) } else { Ok(()) }
    }

    fn json(&self) -> String {
        let object = |row: &Vec<Cell>| {
            let cells = row.iter().map(|cell| cell.value.clone());
            let pairs = self.columns.iter().copied().zip(cells).chain(self.facts.iter().cloned());
            Value::Object(pairs.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
        };
        Value::Array(self.rows.iter().map(object).collect()).to_string() + "\n"
    }

    fn head(&self) -> String {
        let names = self.columns.iter().copied();
        match self.format {
            Format::Md => {
                let rules = self.columns.iter().map(|_| "---");
                format!("{}{}", markdown(names), markdown(rules))
            }
            Format::Csv => csv(names.chain(self.facts.iter().map(|(name, _)| *name))),
            Format::Json => String::new(),
        }
    }

    fn line(&self, cells: &[Cell]) -> String {
        match self.format {
            Format::Md => markdown(cells.iter().map(|cell| cell.text.replace('|', "\\|"))),
            Format::Csv => {
                let values = cells.iter().map(|cell| &cell.value);
                csv(values.chain(self.facts.iter().map(|(_, value)| value)).map(text))
            }
            Format::Json => String::new(),
        }
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn markdown(cells: impl Iterator<Item = impl AsRef<str>>) -> String {
    let cells: Vec<_> = cells.map(|cell| cell.as_ref().to_owned()).collect();
    format!("| {} |\n", cells.join(" | "))
}

fn csv(cells: impl Iterator<Item = impl AsRef<str>>) -> String {
    let cell = |text: &str| match text.contains([',', '"', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    };
    cells.map(|text| cell(text.as_ref())).collect::<Vec<_>>().join(",") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_table_reads_the_same_in_three_languages() {
        let table = |format| {
            let mut table = Table::new(&["test", "routed, s"], format);
            table.facts([("device", json!("a CPU"))]);
            table.rows.push(vec![json!("pp 512, \"cold\"").into(), number(123.456)]);
            table
        };
        let whole = |format| {
            let table = table(format);
            format!("{}{}", table.head(), table.line(&table.rows[0]))
        };
        assert_eq!(whole(Format::Md), "| test | routed, s |\n| --- | --- |\n| pp 512, \"cold\" | 123.5 |\n");
        // Names are quoted as cells are, and numbers are whole.
        assert_eq!(whole(Format::Csv), "test,\"routed, s\",device\n\"pp 512, \"\"cold\"\"\",123.456,a CPU\n");
        let read: Value = serde_json::from_str(&table(Format::Json).json()).unwrap();
        assert_eq!((&read[0]["routed, s"], &read[0]["device"]), (&json!(123.456), &json!("a CPU")));
    }

    #[test]
    fn shares_are_numbers_for_programs() {
        assert_eq!(percent(0.333), Cell::new("33 %", json!(0.333)));
    }
}
