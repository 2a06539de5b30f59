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
            let drift = report.drift(name, what);
            let (rate, range) = (drift.median, drift.range());
            let by = if drift.pattern.is_empty() { "" } else { ": " };
            say!("  {what:<12} {rate:.1} GB/s ({range}){by}{}", drift.pattern)?;
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
        let short = match device.kind {
            "cpu" => "CPU",
            // No GPU, and not to be taken for one.
            "software" => "soft",
            _ => "GPU",
        };
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
            first.case.stored_as(),
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
