//! Devices, costs on the host, and every row.

use std::fmt::Write;

use super::super::report::Report;
use super::{number, text, time};
use crate::table;

/// A card for each device, with its bandwidth over the run.
pub fn devices(page: &mut String, report: &Report) -> std::fmt::Result {
    page.push_str("<section class=\"cards\">\n");
    for (n, device) in report.devices.iter().enumerate() {
        let name = text(&device.name);
        let details = [device.kind, &device.backend, &device.driver];
        let details: Vec<_> = details.iter().filter(|d| !d.is_empty()).collect();
        let details: Vec<_> = details.into_iter().map(|d| text(d)).collect();
        writeln!(
            page,
            "<article class=\"card d{n}\"><h2>{name}</h2><p>{}</p><dl>",
            details.join(" · ")
        )?;
        for what in report.kinds_of_bandwidth(&device.name) {
            let drift = report.drift(&device.name, what);
            writeln!(
                page,
                "<div><dt>{what}</dt><dd><b>{:.1}</b> GB/s<small>{}</small></dd></div>",
                drift.median,
                drift.range()
            )?;
        }
        page.push_str("</dl></article>\n");
    }
    page.push_str("</section>\n");
    Ok(())
}

pub fn host(page: &mut String, report: &Report) -> std::fmt::Result {
    page.push_str(
        "<section>\n<h2>On the host</h2>\n<p>What planning, binding, recording and submitting cost \
         for a tensor of 2×16×8×8.</p>\n<div class=\"scroll\"><table><thead><tr><th>what</th>\
         <th>device</th><th class=\"n\">median</th><th class=\"n\">quartiles</th></tr></thead><tbody>\n",
    );
    for row in &report.host_rows {
        let s = row.summary;
        writeln!(
            page,
            "<tr><td>{}</td><td>{}</td><td class=\"n\"><b>{}</b></td><td class=\"n\">{} – {}</td></tr>",
            row.what,
            text(&row.device),
            time(s.median),
            time(s.low),
            time(s.high)
        )?;
    }
    page.push_str("</tbody></table></div>\n</section>\n");
    Ok(())
}

pub fn rows(page: &mut String, report: &Report) -> std::fmt::Result {
    page.push_str(
        "<section>\n<h2>Every row</h2>\n<div class=\"scroll\"><table><thead><tr><th>shape</th>\
         <th>layout</th><th>operation</th><th>device</th><th class=\"n\">median</th>\
         <th class=\"n\">quartiles</th><th class=\"n\">GB/s</th><th class=\"n\">of floor</th>\
         <th class=\"n\">of copy</th><th class=\"n\">runs</th><th>clock</th><th>checked</th></tr>\
         </thead><tbody>\n",
    );
    for row in &report.rows {
        let s = row.timing.summary;
        writeln!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td><i class=\"key d{}\"></i>{}</td>\
             <td class=\"n\"><b>{}</b></td><td class=\"n\">{} – {}</td><td class=\"n\">{:.2}</td>\
             <td class=\"n\">{:.0} %</td><td class=\"n\">{:.0} %</td><td class=\"n\">{}</td>\
             <td>{}</td><td>{}</td></tr>",
            table::shape(&row.case.shape),
            row.case.stored_as(),
            row.op.name(),
            number(report, &row.device),
            text(&row.device),
            time(s.median),
            time(s.low),
            time(s.high),
            row.rate() / 1e9,
            row.of_floor() * 100.0,
            row.of_copy() * 100.0,
            s.runs,
            row.timing.clock.name(),
            row.checked,
        )?;
    }
    page.push_str("</tbody></table></div>\n</section>\n");
    Ok(())
}
