//! The report as a page that needs nothing else.

use std::fmt::Write as _;

use serde_json::Value;

const CSS: &str = "\
body{font:16px/1.5 system-ui,sans-serif;max-width:88rem;margin:2rem auto;padding:0 1rem;color:#1c1e21;background:#fff}
h1{font-size:1.6rem;margin:0 0 .3rem}h2{font-size:1.15rem;margin:2.2rem 0 .6rem}
p.sub{color:#5a6069;margin:.1rem 0}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums;width:100%}
th,td{padding:.25rem .45rem;text-align:left;border-bottom:1px solid #e3e6ea;white-space:nowrap}
th{color:#5a6069;font-weight:600;border-bottom:2px solid #c9ced6}
td.n,th.n{text-align:right}
td.good{color:#0a6b3d}td.bad{color:#a3260b}
pre{background:#f5f6f8;padding:.8rem;overflow-x:auto;font-size:.82rem;border-radius:6px}
summary{cursor:pointer;font-size:1.15rem;font-weight:600;margin:1rem 0 .3rem}
.failed{color:#a3260b}
@media(prefers-color-scheme:dark){body{background:#16181c;color:#e6e8eb}th,p.sub{color:#9aa2ad}th,td{border-color:#2c3037}
pre{background:#1f2228}td.good{color:#6bd39b}td.bad,.failed{color:#ff8f75}}
";

pub fn html(report: &Value) -> String {
    let mut page = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut page, report);
    page
}

fn write(page: &mut String, report: &Value) -> std::fmt::Result {
    let device = &report["device"];
    let name = text(&device["name"]);
    write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Batch normalization on {name}</title>\
         <style>{CSS}</style></head><body>\n<h1>Batch normalization on {name}</h1>\n"
    )?;
    writeln!(
        page,
        "<p class=\"sub\">{}, {} {}. wgpu-batchnorm at commit {}, {}.</p>",
        text(&device["kind"]),
        text(&device["backend"]),
        text(&device["driver"]),
        text(&report["commit"]),
        text(&report["date"]),
    )?;
    let rows: Vec<&Value> = report["rows"].as_array().into_iter().flatten().collect();
    summary(page, report, &rows)?;
    programs(page, report)?;
    if !rows.is_empty() {
        table(page, report, &rows)?;
    }
    for part in report["parts"].as_array().into_iter().flatten() {
        let failed = part["failure"].is_string();
        if part["name"] == "info" && !failed {
            continue;
        }
        let (name, printed) = (text(&part["name"]), text(&part["printed"]));
        writeln!(
            page,
            "<details{}><summary>{name}</summary>\n<p class=\"sub\"><code>{}</code></p>",
            if failed { " open" } else { "" },
            text(&part["command"])
        )?;
        if let Some(failure) = part["failure"].as_str() {
            writeln!(page, "<p class=\"failed\">Failed: {}</p>", escaped(failure))?;
        }
        writeln!(page, "<pre>{printed}</pre></details>")?;
    }
    page.push_str("</body></html>\n");
    Ok(())
}

/// What the rows say together.
fn summary(page: &mut String, report: &Value, rows: &[&Value]) -> std::fmt::Result {
    let mean = |ratio: &dyn Fn(&Value) -> Option<f64>| {
        let logs: Vec<_> = rows
            .iter()
            .filter_map(|row| Some(ratio(row)?.ln()))
            .collect();
        let n = logs.len();
        (n > 0).then(|| ((logs.iter().sum::<f64>() / n as f64).exp(), n))
    };
    let of = |a: &'static str, b: &'static str| {
        move |row: &Value| Some(row[a].as_f64()? / row[b].as_f64()?)
    };
    let said = [
        (
            "of the rate of a copy",
            mean(&|row| row["of_copy"].as_f64()),
        ),
        ("measured ÷ predicted", mean(&of("ms", "predicted_ms"))),
        (
            match kept_nothing(report) {
                true => "untuned ÷ tuned, by the same sizes",
                false => "untuned ÷ tuned",
            },
            mean(&of("ms", "tuned_ms")),
        ),
        ("PyTorch ÷ ours", mean(&of("pytorch_ms", "ms"))),
    ];
    let said = said.iter().filter_map(|(what, mean)| {
        let (mean, n) = (*mean)?;
        Some(format!("{what} <b>{mean:.2}</b> ({n} rows)"))
    });
    let said: Vec<_> = said.collect();
    if said.is_empty() {
        return Ok(());
    }
    writeln!(page, "<p>Geometric means: {}.</p>", said.join("; "))
}

fn programs(page: &mut String, report: &Value) -> std::fmt::Result {
    page.push_str("<h2>What ran</h2>\n<table><tr><th>program</th><th class=\"n\">seconds</th><th>outcome</th></tr>\n");
    for part in report["parts"].as_array().into_iter().flatten() {
        let (class, outcome) = match part["failure"].is_null() {
            true => ("good", "done"),
            false => ("bad", "failed, see below"),
        };
        let seconds = part["seconds"].as_f64().unwrap_or_default();
        let name = text(&part["name"]);
        writeln!(
            page,
            "<tr><td>{name}</td><td class=\"n\">{seconds:.1}</td><td class=\"{class}\">{outcome}</td></tr>"
        )?;
    }
    page.push_str("</table>\n");
    Ok(())
}

fn table(page: &mut String, report: &Value, rows: &[&Value]) -> std::fmt::Result {
    let model = report["expected_on"].as_array().into_iter().flatten();
    let model: Vec<_> = model.map(text).collect();
    let torch = rows.iter().any(|row| row["pytorch_ms"].is_number());
    writeln!(
        page,
        "<h2>Every row</h2>\n<p class=\"sub\">Medians in ms, ± half the distance between the quartiles. “of copy” is the rate \
         of the bytes that must move, over that of the fastest copy; it is above 1 where a cache or registers hold some of \
         them. “gain” is the time before tuning over the time after{}. Predictions are those of <code>wgbn info {}</code> for the \
         machine “{}” of the model’s table, which knows lavapipe by measurement and GPUs by published numbers. {}</p>",
        match kept_nothing(report) {
            true => "; tuning kept no change, so that it is noise alone here",
            false => "",
        },
        model.join(" "),
        text(&report["expected_of"]),
        match torch {
            true => "“PyTorch” is its time on the CUDA device that it takes first; above 1 it is the slower.".to_owned(),
            false => format!("PyTorch has no rows. {}", left_out(report)),
        }
    )?;
    let numbers = [
        "ms",
        "±",
        "of copy",
        "tuned ms",
        "gain",
        "predicted ms",
        "measured ÷ predicted",
    ];
    let torch_numbers = ["PyTorch ms", "PyTorch ÷ ours"];
    let torch_numbers = if torch { &torch_numbers[..] } else { &[] };
    page.push_str(
        "<div class=\"scroll\"><table><tr><th>shape</th><th>layout</th><th>storage</th><th>operation</th>",
    );
    for head in numbers.iter().chain(torch_numbers) {
        write!(page, "<th class=\"n\">{head}</th>")?;
    }
    page.push_str("</tr>\n");
    for row in rows {
        let number = |key: &str| row[key].as_f64();
        let ratio = |a: &str, b: &str| Some(number(a)? / number(b)?);
        let spread = || Some((number("high_ms")? - number("low_ms")?) / 2.0 / number("ms")?);
        let shape = row["shape"].as_array().into_iter().flatten();
        let shape: Vec<_> = shape.map(Value::to_string).collect();
        let (ms, two) = (|v: Option<f64>| cell(v, 4), |v: Option<f64>| cell(v, 2));
        let spread = spread().map_or("–".to_owned(), |share| format!("{:.0} %", share * 100.0));
        let mut cells = vec![
            ms(number("ms")),
            format!("<td class=\"n\">{spread}</td>"),
            two(number("of_copy")),
            ms(number("tuned_ms")),
            two(ratio("ms", "tuned_ms")),
            ms(number("predicted_ms")),
            two(ratio("ms", "predicted_ms")),
        ];
        if torch {
            cells.extend([ms(number("pytorch_ms")), two(ratio("pytorch_ms", "ms"))]);
        }
        writeln!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td>{}</tr>",
            shape.join("×"),
            text(&row["layout"]),
            text(&row["element"]),
            text(&row["op"]),
            cells.concat(),
        )?;
    }
    page.push_str("</table></div>\n");
    Ok(())
}

/// Whether tuning found no other sizes better.
fn kept_nothing(report: &Value) -> bool {
    let parts = report["parts"].as_array().into_iter().flatten();
    let mut gains = parts
        .filter(|part| part["name"] == "tune")
        .flat_map(|part| part["result"]["gains"].as_array().into_iter().flatten())
        .peekable();
    gains.peek().is_some() && gains.all(|gain| gain["before_ms"] == gain["after_ms"])
}

/// What did not run, and why.
fn left_out(report: &Value) -> String {
    let texts = report["left_out"].as_array().into_iter().flatten();
    let texts: Vec<_> = texts.filter_map(Value::as_str).map(escaped).collect();
    texts.join("; ")
}

fn cell(value: Option<f64>, digits: usize) -> String {
    match value {
        Some(value) => format!("<td class=\"n\">{value:.digits$}</td>"),
        None => "<td class=\"n\">–</td>".to_owned(),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => escaped(text),
        Value::Null => "–".to_owned(),
        other => escaped(&other.to_string()),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_page_has_every_row_and_says_what_failed() {
        let report = json!({
            "device": { "name": "A<B", "kind": "gpu", "backend": "vulkan", "driver": "d" },
            "commit": null, "date": "2026-11-28", "expected_on": ["--as", "discrete"],
            "rows": [{ "shape": [2, 3], "layout": "nc", "element": "f16", "op": "train", "ms": 0.5, "of_copy": 0.9,
                "tuned_ms": 0.25, "predicted_ms": 1.0, "pytorch_ms": null }],
            "parts": [
                { "name": "info", "command": "wgbn info", "seconds": 1.0, "failure": null, "printed": "{}" },
                { "name": "tune", "command": "wgbn tune", "seconds": 2.0, "failure": "no & memory", "printed": "" },
            ],
        });
        let page = html(&report);
        for part in [
            "A&lt;B",
            "<td>2×3</td>",
            "<td class=\"n\">2.00</td>",
            "<td class=\"n\">0.50</td>",
            "<td class=\"n\">–</td>",
            "failed, see below",
            "no &amp; memory",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
        assert_eq!(page.matches("<table>").count(), 2);
    }
}
