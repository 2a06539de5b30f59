//! Results as people read them, and as programs do.

use std::time::Duration;

use serde_json::{Value, json};
use wgpu_batchnorm::check::{Finding, Report};

/// Rows under a heading, columns as wide as they need.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(heading: &[&str]) -> Self {
        Self {
            rows: vec![heading.iter().map(|&h| h.to_owned()).collect()],
        }
    }

    pub fn row(&mut self, cells: &[String]) {
        self.rows.push(cells.to_vec());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = self.rows[0].len();
        let width = |k: usize| {
            let widths = self.rows.iter().map(|row| row[k].chars().count());
            widths.max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..columns).map(width).collect();
        for (n, row) in self.rows.iter().enumerate() {
            let cells = row
                .iter()
                .zip(&widths)
                .map(|(cell, &w)| format!("{cell:<w$}"));
            let line = cells.collect::<Vec<_>>().join("  ");
            writeln!(f, "{}", line.trim_end())?;
            if n == 0 {
                let rules = widths.iter().map(|&w| "─".repeat(w));
                writeln!(f, "{}", rules.collect::<Vec<_>>().join("  "))?;
            }
        }
        Ok(())
    }
}

/// `32×64×7×7`.
pub fn shape(shape: &[usize]) -> String {
    let lens: Vec<_> = shape.iter().map(usize::to_string).collect();
    match lens.is_empty() {
        true => "scalar".to_owned(),
        false => lens.join("×"),
    }
}

/// The channels that have a value that is not finite in one of these rows.
pub fn not_finite(rows: &[&[f32]]) -> Vec<usize> {
    let channels = rows.first().map_or(0, |row| row.len());
    let lost = |c: &usize| rows.iter().any(|row| !row[*c].is_finite());
    (0..channels).filter(lost).collect()
}

/// The first of these channels, and how many more there are.
pub fn channels(list: &[usize]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<_> = list.iter().take(SHOWN).map(usize::to_string).collect();
    let more = match list.len().saturating_sub(SHOWN) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    shown.join(", ") + &more
}

pub fn time(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}

pub fn error(error: f64) -> String {
    match error {
        0.0 => "0".to_owned(),
        _ => format!("{error:.1e}"),
    }
}

/// Name, worst error and bound of each finding, a line each.
pub fn findings(report: &Report) -> Table {
    let mut table = Table::new(&["tensor", "worst error", "bound", "at"]);
    for f in &report.findings {
        table.row(&[
            f.tensor.to_owned(),
            error(f.error),
            error(f.bound),
            f.index.to_string(),
        ]);
    }
    table
}

/// A report as JSON; what JSON cannot hold, infinities and NaN, as null.
pub fn report_json(report: Option<&Report>) -> Value {
    let finding = |f: &Finding| {
        json!({
            "tensor": f.tensor, "error": f.error, "bound": f.bound, "index": f.index,
            "got": f.got, "expected": f.expected, "passed": f.passed(),
        })
    };
    match report {
        Some(report) => report.findings.iter().map(finding).collect(),
        None => Value::Null,
    }
}
