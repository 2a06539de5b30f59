//! The report as one page that loads nothing from anywhere.

mod bars;
mod scatter;
mod tables;

use std::fmt::Write;

use super::op::Op;
use super::report::{About, Report};
use super::suite::Suite;

/// The page.
pub fn html(report: &Report) -> String {
    let mut page = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut page, report);
    page
}

fn write(page: &mut String, report: &Report) -> std::fmt::Result {
    let names: Vec<_> = report.devices.iter().map(|d| text(&d.name)).collect();
    write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>wgbn bench – {}</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n",
        names.join(", "),
        include_str!("page.css"),
    )?;
    header(page, report)?;
    tables::devices(page, report)?;
    if !report.rows.is_empty() {
        legend(page, report)?;
        plots(page, report)?;
    }
    if !report.host_rows.is_empty() {
        tables::host(page, report)?;
    }
    if !report.rows.is_empty() {
        tables::rows(page, report)?;
    }
    notes(page, report)?;
    page.push_str("</main>\n</body>\n</html>\n");
    Ok(())
}

fn header(page: &mut String, report: &Report) -> std::fmt::Result {
    let About {
        command,
        commit,
        date,
        threads,
        cpu,
        ..
    } = &report.about;
    let commit = commit.as_ref().map(|c| format!(" · commit {}", text(c)));
    let cpu = cpu.as_deref().unwrap_or("a CPU");
    writeln!(
        page,
        "<header>\n<p class=\"kicker\">wgpu-batchnorm {}{}</p>\n<h1>Batch normalization, measured</h1>\n\
         <p class=\"lead\">GPU and CPU side by side, each over the bandwidth of its own memory in the same run.</p>\n\
         <p class=\"facts\"><span>{}</span><span>{} · {threads} threads</span><code>{}</code></p>\n</header>",
        env!("CARGO_PKG_VERSION"),
        commit.unwrap_or_default(),
        text(&date.replace('T', " ").replace('Z', " UTC")),
        text(cpu),
        text(command),
    )
}

/// Which colour is which device, and which mark is which layout.
fn legend(page: &mut String, report: &Report) -> std::fmt::Result {
    page.push_str("<p class=\"legend\">");
    for (n, device) in report.devices.iter().enumerate() {
        let name = text(&device.name);
        write!(page, "<span><i class=\"key d{n}\"></i>{name}</span>")?;
    }
    for (layout, mark) in [("nchw", "●"), ("nhwc", "○"), ("nc", "◆")] {
        write!(page, "<span><b class=\"mark\">{mark}</b>{layout}</span>")?;
    }
    if report.rows.iter().any(|row| row.case.suite == Suite::Sweep) {
        page.push_str("<span>lines: 1 channel, 64 dashed, 1,024 dotted</span>");
    }
    page.push_str("</p>\n");
    Ok(())
}

fn plots(page: &mut String, report: &Report) -> std::fmt::Result {
    page.push_str(
        "<section>\n<h2>How close to the floor</h2>\n<p>The floor is the time that the best copy \
         and sum kernels of the same device take for the bytes that an operation must move. \
         Higher is better, 100 % is the floor; whiskers are quartiles.</p>\n<div class=\"plots\">\n",
    );
    for op in ops(report) {
        scatter::plot(page, report, op)?;
    }
    page.push_str(
        "</div>\n</section>\n<section>\n<h2>Side by side, by shape</h2>\n<p>Bytes that must move \
         over the time taken; longer is better. The tick is the device's floor, the whisker spans \
         the quartiles.</p>\n<div class=\"charts\">\n",
    );
    for op in ops(report) {
        bars::chart(page, report, op)?;
    }
    page.push_str("</div>\n</section>\n");
    Ok(())
}

fn notes(page: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(
        page,
        "<footer>\n<p>Every result was compared with an f64 reference after it was timed; the table says what \
         of it. Tensors hold normals, and sets of them are gone round until {} MiB were touched \
         (at most 256 sets: the smallest tensors stay in the caches). Bytes that must move, in \
         tensors: train 3, inference 2, backward 5, frozen 3, moments 1, sum 1, step 8. The floor \
         takes reading passes at the speed of the sum and the others at that of the copy.</p>",
        report.about.rotation_bytes >> 20
    )?;
    for skipped in &report.skipped {
        writeln!(page, "<p>Left out: {}.</p>", text(skipped))?;
    }
    page.push_str("</footer>\n");
    Ok(())
}

/// The operations measured, each once.
fn ops(report: &Report) -> Vec<Op> {
    let mut ops: Vec<Op> = Vec::new();
    for row in &report.rows {
        if !ops.contains(&row.op) {
            ops.push(row.op);
        }
    }
    ops
}

/// Which of the devices this is.
fn number(report: &Report, device: &str) -> usize {
    let same = report.devices.iter().position(|d| d.name == device);
    same.unwrap_or(0)
}

fn title(op: Op) -> &'static str {
    match op {
        Op::Train => "Training forward",
        Op::Inference => "Inference",
        Op::Backward => "Backward",
        Op::Frozen => "Backward, frozen statistics",
        Op::Moments => "Moments",
        Op::Step => "Forward and backward",
        Op::Sum => "Sum",
    }
}

/// Text as HTML has it.
fn text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Three digits and a unit.
fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s < 1e-3 => (s * 1e6, "µs"),
        s if s < 1.0 => (s * 1e3, "ms"),
        s => (s, "s"),
    };
    let digits = match value {
        v if v < 10.0 => 2,
        v if v < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_the_page() {
        assert_eq!(text("<b a=\"1\">&"), "&lt;b a=&quot;1&quot;&gt;&amp;");
    }

    #[test]
    fn times_have_three_digits() {
        let times = [1.234e-6, 0.0123, 0.4567, 2.0].map(time);
        assert_eq!(times, ["1.23 µs", "12.3 ms", "457 ms", "2.00 s"]);
    }
}
