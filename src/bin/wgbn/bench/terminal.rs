//! The report as a table, devices side by side.

use super::report::{Report, Row};
use super::sample::Summary;
use crate::failure::Failure;
use crate::table::{self, Table};

pub fn print(report: &Report) -> Result<(), Failure> {
    for device in &report.devices {
        let name = &device.name;
        say!("{name} ({}, {})", device.kind, device.backend)?;
        for what in report.kinds_of_bandwidth(name) {
            say!("  {:<12} {}", what, report.drift(name, what))?;
        }
    }
    if !report.rows.is_empty() {
        say!("")?;
        rows(report)?;
        say!(
            "\nmedian of each, ± half the distance between quartiles; GB/s of the bytes that must move;"
        )?;
        say!("floor: how much of the time the best copy and sum of the same device would take")?;
    }
    if !report.host_rows.is_empty() {
        say!("")?;
        let mut table = Table::new(&["on the host", "device", "median", "quartiles"]);
        for row in &report.host_rows {
            let Summary {
                median, low, high, ..
            } = row.summary;
            table.row(&[
                row.what.to_owned(),
                row.device.clone(),
                time(median),
                format!("{} – {}", time(low), time(high)),
            ]);
        }
        crate::say::text(format_args!("{table}"))?;
    }
    for skipped in &report.skipped {
        say!("left out: {skipped}")?;
    }
    Ok(())
}

fn rows(report: &Report) -> Result<(), Failure> {
    let mut heading = vec!["shape".to_owned(), String::new(), "operation".to_owned()];
    for device in &report.devices {
        let short = if device.kind == "cpu" { "CPU" } else { "GPU" };
        heading.extend([
            format!("{short} ms"),
            "±".to_owned(),
            "GB/s".to_owned(),
            "floor".to_owned(),
        ]);
    }
    let two = report.devices.len() == 2;
    heading.extend(two.then(|| "ratio".to_owned()));
    let heading: Vec<_> = heading.iter().map(String::as_str).collect();
    let mut table = Table::new(&heading);
    for group in report.side_by_side() {
        let first = group[0];
        let mut cells = vec![
            table::shape(&first.case.shape),
            first.case.layout.name().to_owned(),
            first.op.name().to_owned(),
        ];
        group.iter().for_each(|row| cells.extend(figures(row)));
        if let (true, [a, b]) = (two, &group[..]) {
            let ratio = b.timing.summary.median / a.timing.summary.median;
            cells.push(format!("{ratio:.2}"));
        }
        cells.resize(heading.len(), String::new());
        table.row(&cells);
    }
    crate::say::text(format_args!("{table}"))
}

fn figures(row: &Row) -> [String; 4] {
    let s = row.timing.summary;
    let spread = (s.high - s.low) / s.median / 2.0;
    [
        format!("{:.4}", s.median * 1e3),
        format!("{:.0}%", spread * 100.0),
        format!("{:.2}", row.rate() / 1e9),
        format!("{:.0}%", row.of_floor() * 100.0),
    ]
}

fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.2} µs", s * 1e6),
        s => format!("{:.3} ms", s * 1e3),
    }
}

impl Report {
    /// The rows of the same operation on the same shape, device by device.
    pub fn side_by_side(&self) -> Vec<Vec<&Row>> {
        let mut groups: Vec<Vec<&Row>> = Vec::new();
        for row in &self.rows {
            let same = |other: &Row| other.case == row.case && other.op == row.op;
            match groups.last_mut().filter(|group| same(group[0])) {
                Some(group) => group.push(row),
                None => groups.push(vec![row]),
            }
        }
        groups
    }

    pub fn kinds_of_bandwidth(&self, device: &str) -> Vec<&'static str> {
        let mut kinds = Vec::new();
        for row in self.bandwidth.iter().filter(|row| row.device == device) {
            if !kinds.contains(&row.measured.what) {
                kinds.push(row.measured.what);
            }
        }
        kinds
    }

    /// What a bandwidth was at the start and at the end, and by which pattern.
    fn drift(&self, device: &str, what: &str) -> String {
        let mine =
            |row: &&super::report::BandwidthRow| row.device == device && row.measured.what == what;
        let rows: Vec<_> = self.bandwidth.iter().filter(mine).collect();
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return String::new();
        };
        let rates = || rows.iter().map(|row| row.measured.rate() / 1e9);
        let least = rates().fold(f64::INFINITY, f64::min);
        let most = rates().fold(0.0, f64::max);
        let (a, b) = (first.measured.rate() / 1e9, last.measured.rate() / 1e9);
        let pattern = &first.measured.pattern;
        let by = if pattern.is_empty() { "" } else { ": " };
        format!(
            "{a:.1} GB/s at the start, {b:.1} at the end, {least:.1} to {most:.1} between{by}{pattern}"
        )
    }
}
