//! Bytes a second by shape, a bar for each device.

use std::fmt::Write;

use super::super::op::Op;
use super::super::report::{Report, Row};
use super::{number, text, time, title};
use crate::table;

pub fn chart(page: &mut String, report: &Report, op: Op) -> std::fmt::Result {
    let groups = report.side_by_side();
    let groups: Vec<_> = groups.iter().filter(|group| group[0].op == op).collect();
    let rates = groups.iter().flat_map(|group| group.iter());
    let most = rates
        .map(|row| row.rate().max(floor_rate(row)))
        .fold(0.0, f64::max);
    writeln!(
        page,
        "<figure class=\"chart\"><figcaption>{}</figcaption>",
        title(op)
    )?;
    for group in groups {
        let case = &group[0].case;
        writeln!(
            page,
            "<div class=\"group\"><div class=\"shape\">{} <small>{}</small></div><div class=\"bars\">",
            table::shape(&case.shape),
            case.stored_as()
        )?;
        for row in group {
            bar(page, report, row, most)?;
        }
        page.push_str("</div></div>\n");
    }
    page.push_str("</figure>\n");
    Ok(())
}

fn floor_rate(row: &Row) -> f64 {
    row.rate() / row.of_floor()
}

fn bar(page: &mut String, report: &Report, row: &Row, most: f64) -> std::fmt::Result {
    let n = number(report, &row.device);
    let s = row.timing.summary;
    let percent = |rate: f64| (rate / most * 100.0).min(100.0);
    let bytes = row.ideal_bytes() as f64;
    let (low, high) = (percent(bytes / s.high), percent(bytes / s.low));
    writeln!(
        page,
        "<div class=\"bar d{n}\" title=\"{}: {:.0} % of the floor\"><div class=\"track\">\
         <i class=\"fill\" style=\"width:{:.2}%\"></i>\
         <i class=\"whisker\" style=\"left:{low:.2}%;width:{:.2}%\"></i>\
         <i class=\"limit\" style=\"left:{:.2}%\"></i></div>\
         <span class=\"value\"><b>{}</b> {:.*} GB/s</span></div>",
        text(&row.device),
        row.of_floor() * 100.0,
        percent(row.rate()),
        high - low,
        percent(floor_rate(row)),
        time(s.median),
        if row.rate() < 1e10 { 2 } else { 1 },
        row.rate() / 1e9,
    )
}
