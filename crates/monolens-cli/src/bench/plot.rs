//! Lines of ratios over the share of visual rows, as SVG.

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use std::path::Path;

/// A line.
#[derive(Clone, Debug)]
pub struct Line {
    /// What it is called in the legend.
    pub name: String,
    /// The way that is divided by the routed one; each has a panel.
    pub against: &'static str,
    /// Whether it is dashed.
    pub dashed: bool,
    /// Per cent and ratio.
    pub points: Vec<(f64, f64)>,
}

/// Draws a panel for each way, side by side.
///
/// # Errors
/// A file that cannot be written.
pub fn plot(path: &Path, title: &str, lines: &[Line]) -> Result<()> {
    let root = SVGBackend::new(path, (960, 420)).into_drawing_area();
    let failed = |error: &dyn std::fmt::Display| anyhow!("{error}");
    root.fill(&WHITE).map_err(|e| failed(&e))?;
    let most = lines.iter().flat_map(|line| &line.points).map(|&(_, y)| y).fold(2.0, f64::max);
    for (area, against) in root.split_evenly((1, 2)).iter().zip(["both", "gathered"]) {
        let mut chart = ChartBuilder::on(area)
            .caption(format!("{against} / routed, {title}"), ("sans-serif", 16))
            .margin(10)
            .x_label_area_size(35)
            .y_label_area_size(45)
            .build_cartesian_2d(0.0..100.0, 0.0..most * 1.1)
            .map_err(|e| failed(&e))?;
        let mut mesh = chart.configure_mesh();
        mesh.x_desc("visual rows, %").y_desc("times faster when routed").light_line_style(WHITE);
        mesh.draw().map_err(|e| failed(&e))?;
        let even = LineSeries::new([(0.0, 1.0), (100.0, 1.0)], BLACK.stroke_width(1));
        chart.draw_series(even).map_err(|e| failed(&e))?;
        for (i, line) in lines.iter().filter(|line| line.against == against).enumerate() {
            // The two orders of one number of tokens have one colour.
            let colour = Palette99::pick(i / 2);
            let style = colour.stroke_width(2);
            let points = line.points.iter().copied();
            let drawn = match line.dashed {
                true => chart.draw_series(DashedLineSeries::new(points, 5, 4, style)),
                false => chart.draw_series(LineSeries::new(points, style).point_size(3)),
            };
            drawn
                .map_err(|e| failed(&e))?
                .label(&line.name)
                .legend(move |(x, y)| Rectangle::new([(x, y - 2), (x + 16, y + 2)], colour.filled()));
        }
        let mut legend = chart.configure_series_labels();
        legend.position(SeriesLabelPosition::LowerRight).background_style(WHITE.mix(0.8)).border_style(BLACK);
        legend.draw().map_err(|e| failed(&e))?;
    }
    root.present().map_err(|e| failed(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drawing_names_its_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ratios.svg");
        let line = |against, dashed| Line {
            name: format!("256 tokens {dashed}"),
            against,
            dashed,
            points: vec![(0.0, 2.0), (50.0, 1.2), (100.0, 1.9)],
        };
        plot(&path, "8 x 16", &[line("both", false), line("both", true), line("gathered", false)]).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("256 tokens true"), "{svg}");
        assert!(svg.contains("gathered / routed, 8 x 16"));
    }
}
