//! One table in three languages.

use clap::ValueEnum;
use serde_json::{Map, Value};

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

/// A table: a key for each column, and rows of values.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
}

/// A number with so many significant digits as anybody would read.
pub fn number(value: f64) -> Value {
    let digits = match value.abs() {
        100.0.. => 1,
        1.0.. => 2,
        _ => 4,
    };
    let scale = 10f64.powi(digits);
    serde_json::json!((value * scale).round() / scale)
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

impl Table {
    /// A table without rows.
    pub fn new(columns: &[&'static str]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row, a value a column.
    pub fn row(&mut self, values: Vec<Value>) {
        self.rows.push(values);
    }

    /// The whole table.
    pub fn show(&self, format: Format) -> String {
        match format {
            Format::Md => self.markdown(),
            Format::Csv => self.csv(),
            Format::Json => Value::Array(self.objects()).to_string() + "\n",
        }
    }

    fn objects(&self) -> Vec<Value> {
        let object = |row: &Vec<Value>| {
            let pairs = self.columns.iter().map(|c| (*c).to_owned()).zip(row.iter().cloned());
            Value::Object(pairs.collect::<Map<_, _>>())
        };
        self.rows.iter().map(object).collect()
    }

    fn markdown(&self) -> String {
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut out = line(self.columns.iter().map(|c| (*c).to_owned()).collect());
        out += &line(self.columns.iter().map(|_| "---".to_owned()).collect());
        for row in &self.rows {
            out += &line(row.iter().map(|v| text(v).replace('|', "\\|")).collect());
        }
        out
    }

    fn csv(&self) -> String {
        let cell = |text: String| match text.contains([',', '"', '\n']) {
            true => format!("\"{}\"", text.replace('"', "\"\"")),
            false => text,
        };
        let line = |cells: Vec<String>| cells.join(",") + "\n";
        let mut out = line(self.columns.iter().map(|c| (*c).to_owned()).collect());
        for row in &self.rows {
            out += &line(row.iter().map(|v| cell(text(v))).collect());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_table_reads_the_same_in_three_languages() {
        let mut table = Table::new(&["test", "t/s"]);
        table.row(vec![json!("pp 512, \"cold\""), number(123.456)]);
        assert_eq!(table.show(Format::Md), "| test | t/s |\n| --- | --- |\n| pp 512, \"cold\" | 123.5 |\n");
        assert_eq!(table.show(Format::Csv), "test,t/s\n\"pp 512, \"\"cold\"\"\",123.5\n");
        let read: Value = serde_json::from_str(&table.show(Format::Json)).unwrap();
        assert_eq!(read[0]["t/s"], json!(123.5));
    }
}
