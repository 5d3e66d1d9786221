//! What verification found: a row each, and the table of them.

use super::compare::{Distance, first_difference};
use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Table, presets};
use serde::Serialize;

/// How a row ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Within its limit.
    Ok,
    /// Beyond its limit, or not to be had.
    Over,
    /// Not compared; the note says why.
    Skipped,
}

/// One comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Folder within the set.
    pub folder: String,
    /// Case or variant.
    pub case: String,
    /// What was compared, by its name in the golden file.
    pub what: String,
    /// Its shape, or its number of elements.
    pub shape: String,
    /// Σ(a−b)² / Σb², where numbers were compared.
    pub nmse: Option<f64>,
    /// Largest |a−b|, where numbers were compared.
    pub max_error: Option<f64>,
    /// What is allowed.
    pub limit: String,
    /// The end.
    pub verdict: Verdict,
    /// What the reader should know.
    pub note: String,
}

/// Everything that was compared.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// What computed, for people.
    pub device: String,
    /// All rows in the order they were made.
    pub rows: Vec<Row>,
}

impl Report {
    /// Rows with a verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.rows.iter().filter(|r| r.verdict == verdict).count()
    }

    /// Whether nothing is over its limit, and something was compared at all.
    pub fn passed(&self) -> bool {
        self.count(Verdict::Over) == 0 && self.count(Verdict::Ok) > 0
    }

    /// The summary line.
    pub fn summary(&self) -> String {
        let worst = self
            .rows
            .iter()
            .filter(|r| r.limit == limit_text(super::compare::MAX_ERROR))
            .filter_map(|r| r.max_error.map(|e| (e, r)))
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let worst = worst.map_or(String::new(), |(e, r)| {
            format!("; largest error {e:.1e} ({} {} {}) of {} allowed", r.folder, r.case, r.what, r.limit)
        });
        format!(
            "{} ok, {} over, {} skipped{worst}",
            self.count(Verdict::Ok),
            self.count(Verdict::Over),
            self.count(Verdict::Skipped)
        )
    }

    /// The table of all rows.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header([
            "folder",
            "case",
            "what",
            "shape",
            "NMSE",
            "max error",
            "limit",
            "verdict",
            "note",
        ]);
        for row in &self.rows {
            let (word, colour) = match row.verdict {
                Verdict::Ok => ("ok", Color::Green),
                Verdict::Over => ("OVER", Color::Red),
                Verdict::Skipped => ("skipped", Color::Yellow),
            };
            let number = |v: Option<f64>| {
                let text =
                    v.map_or(String::new(), |v| if v == 0.0 { "0".into() } else { format!("{v:.1e}") });
                Cell::new(text).set_alignment(CellAlignment::Right)
            };
            table.add_row([
                Cell::new(&row.folder),
                Cell::new(&row.case),
                Cell::new(&row.what),
                Cell::new(&row.shape),
                number(row.nmse),
                number(row.max_error),
                Cell::new(&row.limit).set_alignment(CellAlignment::Right),
                Cell::new(word).fg(colour),
                Cell::new(&row.note),
            ]);
        }
        table
    }
}

fn limit_text(limit: f64) -> String {
    format!("{limit:.0e}")
}

/// A shape as text: `3×64×64`.
pub fn shape_text(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("×")
}

/// Collects the rows of one case, and tells a listener of each.
pub struct Rows<'a> {
    folder: String,
    case: String,
    report: &'a mut Report,
    listener: &'a mut dyn FnMut(&Row),
}

impl<'a> Rows<'a> {
    /// Rows of a folder.
    pub fn new(folder: &str, report: &'a mut Report, listener: &'a mut dyn FnMut(&Row)) -> Self {
        Self { folder: folder.to_owned(), case: String::new(), report, listener }
    }

    /// The rows to come are of this case.
    pub fn case(&mut self, case: &str) -> &mut Self {
        case.clone_into(&mut self.case);
        self
    }

    /// Notes the device, once it is known.
    pub fn device(&mut self, device: &str) {
        device.clone_into(&mut self.report.device);
    }

    fn push(
        &mut self,
        what: &str,
        shape: String,
        distance: Option<Distance>,
        limit: String,
        verdict: Verdict,
        note: String,
    ) {
        let row = Row {
            folder: self.folder.clone(),
            case: self.case.clone(),
            what: what.to_owned(),
            shape,
            nmse: distance.map(|d| d.nmse),
            max_error: distance.map(|d| d.max_error),
            limit,
            verdict,
            note,
        };
        (self.listener)(&row);
        self.report.rows.push(row);
    }

    /// Two things that must be the same.
    pub fn exact(&mut self, what: &str, shape: &str, same: bool, note: impl FnOnce() -> String) {
        let (verdict, note) = if same { (Verdict::Ok, String::new()) } else { (Verdict::Over, note()) };
        self.push(what, shape.to_owned(), None, "exact".into(), verdict, note);
    }

    /// Two sequences that must be the same.
    pub fn sequence<T: PartialEq + std::fmt::Debug>(
        &mut self,
        what: &str,
        shape: &[usize],
        got: &[T],
        expected: &[T],
    ) {
        let at = first_difference(got, expected);
        self.exact(what, &shape_text(shape), at.is_none(), || {
            let at = at.unwrap_or_default();
            format!(
                "at {at} of {}: expected {:?}, got {:?} (of {})",
                expected.len(),
                expected.get(at),
                got.get(at),
                got.len()
            )
        });
    }

    /// Numbers within [`super::compare::MAX_ERROR`].
    pub fn close(&mut self, what: &str, shape: &[usize], got: &[f32], expected: &[f32]) {
        self.within(what, shape, got, expected, super::compare::MAX_ERROR, String::new());
    }

    /// Numbers whose largest error is within a limit.
    pub fn within(
        &mut self,
        what: &str,
        shape: &[usize],
        got: &[f32],
        expected: &[f32],
        limit: f64,
        note: String,
    ) {
        let shape = shape_text(shape);
        let limit_text = limit_text(limit);
        if got.len() != expected.len() {
            let note = format!("expected {} values, got {}", expected.len(), got.len());
            return self.push(what, shape, None, limit_text, Verdict::Over, note);
        }
        let distance = Distance::between(got, expected);
        let verdict = if distance.max_error <= limit { Verdict::Ok } else { Verdict::Over };
        self.push(what, shape, Some(distance), limit_text, verdict, note);
    }

    /// Something that could not be had although it should be.
    pub fn failed(&mut self, what: &str, why: &str) {
        self.push(what, String::new(), None, String::new(), Verdict::Over, why.to_owned());
    }

    /// Something that is not compared.
    pub fn skipped(&mut self, what: &str, why: &str) {
        self.push(what, String::new(), None, String::new(), Verdict::Skipped, why.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_counts_and_judges() {
        let mut report = Report::default();
        assert!(!report.passed(), "nothing compared is no pass");
        let mut seen = 0;
        let mut listener = |_: &Row| seen += 1;
        let mut rows = Rows::new("mono", &mut report, &mut listener);
        rows.case("single").close("hidden.0", &[1, 2], &[1.0, 2.0], &[1.0, 2.0005]);
        rows.skipped("batch", "not on this backend");
        assert!(report.passed());
        let mut rows = Rows::new("mono", &mut report, &mut listener);
        rows.close("hidden.1", &[1, 2], &[1.0, 2.0], &[1.0, 2.002]);
        rows.close("hidden.2", &[2], &[1.0], &[1.0, 2.0]);
        rows.sequence("ids", &[2], &[1, 2], &[1, 3]);
        assert_eq!((report.count(Verdict::Ok), report.count(Verdict::Over), seen), (1, 3, 5));
        assert!(!report.passed());
        assert!(report.summary().contains("1 ok, 3 over, 1 skipped"), "{}", report.summary());
        assert!(report.rows[4].note.contains("expected Some(3), got Some(2)"), "{}", report.rows[4].note);
        assert!(report.table().to_string().contains("hidden.1"));
    }
}
