//! The tables.

use std::fmt::Write as _;

use serde_json::Value;

/// Of each operation on each shape, the median, half the distance of the quartiles, and the rates: of the
/// only file, or of several whose columns stand side by side.
pub fn operations(files: &[Value]) -> Result<String, String> {
    let mut lines: Vec<[String; 3]> = Vec::new();
    let mut columns: Vec<(usize, &str)> = Vec::new();
    for (at, file) in files.iter().enumerate() {
        for row in list(file, "rows") {
            let line = line_of(row);
            if !lines.contains(&line) {
                lines.push(line);
            }
            let column = (at, row["device"].as_str().unwrap_or_default());
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
    }
    if lines.is_empty() {
        return Err("the records hold no operation".to_owned());
    }
    let mut text = String::from("| shape | layout | operation |");
    let mut rule = String::from("|---|---|---|");
    for (at, device) in &columns {
        let file = match files.len() {
            1 => String::new(),
            _ => format!(" ({})", (b'A' + *at as u8) as char),
        };
        let short = short_name(&files[*at], device);
        write!(text, " {short}{file} ms | ± | GB/s | of floor |").expect("a string");
        rule.push_str("--:|--:|--:|--:|");
    }
    writeln!(text, "\n{rule}").expect("a string");
    for line in &lines {
        write!(text, "| {} |", line.join(" | ")).expect("a string");
        for (at, device) in &columns {
            let mut rows = list(&files[*at], "rows");
            let row = rows.find(|row| row["device"] == *device && line_of(row) == *line);
            match row {
                Some(row) => write!(text, " {} |", figures(row).join(" | ")),
                None => write!(text, " | | | |"),
            }
            .expect("a string");
        }
        text.push('\n');
    }
    Ok(text)
}

/// A row's shape, layout with the storage where that is not f32, and operation.
pub fn line_of(row: &Value) -> [String; 3] {
    let shape: Vec<String> = list(row, "shape").map(Value::to_string).collect();
    let text = |name: &str| row[name].as_str().unwrap_or_default();
    [
        shape.join("×"),
        match text("element") {
            "" | "f32" => text("layout").to_uppercase(),
            element => format!("{} {element}", text("layout").to_uppercase()),
        },
        text("op").to_owned(),
    ]
}

fn figures(row: &Value) -> [String; 4] {
    let number = |name: &str| row[name].as_f64();
    let median = number("median_ms").unwrap_or(f64::NAN);
    let spread = number("high_ms").zip(number("low_ms"));
    let spread = spread.map_or(String::new(), |(high, low)| {
        format!("{:.0} %", (high - low) / median * 50.0)
    });
    let two = |name| number(name).map_or(String::new(), |n| format!("{n:.2}"));
    [digits(median), spread, two("gb_per_s"), two("of_floor")]
}

/// The median of each cost on the host, and its quartiles, in microseconds.
pub fn host(files: &[Value]) -> Result<String, String> {
    let mut text =
        String::from("| on the host | device | median µs | quartiles µs |\n|---|---|--:|--:|\n");
    let mut rows = files
        .iter()
        .flat_map(|file| list(file, "host_rows"))
        .peekable();
    if rows.peek().is_none() {
        return Err("the records hold no costs on the host".to_owned());
    }
    for row in rows {
        let micros = |name: &str| digits(row[name].as_f64().unwrap_or(f64::NAN) * 1e3);
        let word = |name: &str| row[name].as_str().unwrap_or_default();
        writeln!(
            text,
            "| {} | {} | {} | {} to {} |",
            word("what"),
            word("device"),
            micros("median_ms"),
            micros("low_ms"),
            micros("high_ms")
        )
        .expect("a string");
    }
    Ok(text)
}

/// Which rows and figures of compiled shaders are shown.
pub struct Choice<'a> {
    pub element: &'a str,
    /// How the variants' names end.
    pub endings: Vec<&'a str>,
    /// `family:figure`.
    pub figures: Vec<&'a str>,
}

/// Figures of each hot loop before and after a change: one number where they are equal.
pub fn machine_code(
    before: &[Value],
    after: &[Value],
    choice: &Choice<'_>,
) -> Result<String, String> {
    let columns: Vec<(&str, &str)> = choice
        .figures
        .iter()
        .map(|figure| {
            figure
                .split_once(':')
                .ok_or_else(|| format!("`{figure}` is not of the form family:figure"))
        })
        .collect::<Result<_, _>>()?;
    let first = columns.first().ok_or("no figure is asked for")?.0;
    let mut text = String::from("| kernel | activation | loop |");
    let mut rule = String::from("|---|---|---|");
    for (family, figure) in &columns {
        write!(text, " {family}: {} |", figure.replace('_', " ")).expect("a string");
        rule.push_str("--:|");
    }
    writeln!(text, "\n{rule}").expect("a string");
    let shown = |row: &&Value| {
        let variant = row["variant"].as_str().unwrap_or_default();
        row["element"] == choice.element && choice.endings.iter().any(|e| variant.ends_with(e))
    };
    let mut count = 0;
    for row in family_rows(after, first)?.filter(shown) {
        let word = |name: &str| row[name].as_str().unwrap_or_default();
        write!(
            text,
            "| `{}` | {} | {} |",
            word("variant"),
            word("activation"),
            word("loop")
        )
        .expect("a string");
        for (family, figure) in &columns {
            let of = |files| figure_of(files, family, row, figure);
            let (old, new) = (of(before)?, of(after)?);
            let cell = match old == new {
                true => new,
                false => format!("{old} → {new}"),
            };
            write!(text, " {cell} |").expect("a string");
        }
        text.push('\n');
        count += 1;
    }
    match count {
        0 => Err(format!("no row of {first} is chosen")),
        _ => Ok(text),
    }
}

fn family_rows<'a>(
    files: &'a [Value],
    family: &str,
) -> Result<impl Iterator<Item = &'a Value>, String> {
    let mut families = files.iter().flat_map(|file| list(file, "families"));
    families
        .find(|found| found["family"] == family)
        .map(|found| list(found, "rows"))
        .ok_or_else(|| format!("no record has the family {family}"))
}

/// The figure in the family's row of the same name.
fn figure_of(files: &[Value], family: &str, row: &Value, figure: &str) -> Result<String, String> {
    let names = ["variant", "element", "activation", "loop"];
    let same = |other: &&Value| names.iter().all(|name| other[name] == row[name]);
    let found = family_rows(files, family)?.find(same);
    let number = found.and_then(|found| found["figures"][figure].as_f64());
    Ok(match number {
        Some(number) if number.fract() == 0.0 => number.to_string(),
        Some(number) => format!("{number:.2}"),
        None => "–".to_owned(),
    })
}

pub fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value[name].as_array().into_iter().flatten()
}

/// As heads of columns call a device.
fn short_name(file: &Value, device: &str) -> &'static str {
    let mut devices = list(file, "devices");
    let kind = devices.find(|d| d["name"] == device);
    match kind.and_then(|d| d["kind"].as_str()) {
        Some("cpu") => "CPU path",
        Some("software") => "software adapter",
        _ => "GPU",
    }
}

/// Three digits.
pub fn digits(number: f64) -> String {
    let decimals = (2.0 - number.log10().floor()).clamp(0.0, 5.0);
    format!("{number:.*}", decimals as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(device: &str, op: &str, median: f64) -> Value {
        json!({
            "device": device, "op": op, "shape": [8, 64], "layout": "nc",
            "low_ms": median * 0.9, "median_ms": median, "high_ms": median * 1.1,
            "gb_per_s": 2.5, "of_floor": 0.875,
        })
    }

    fn file(rows: &[Value]) -> Value {
        json!({
            "devices": [
                { "name": "A", "kind": "software" }, { "name": "B", "kind": "cpu" },
            ],
            "rows": rows,
        })
    }

    #[test]
    fn operations_of_devices_stand_side_by_side() {
        let rows = [
            row("A", "train", 12.5),
            row("B", "train", 3.0),
            row("A", "step", 100.4),
        ];
        assert_eq!(
            operations(&[file(&rows)]).unwrap(),
            "| shape | layout | operation | software adapter ms | ± | GB/s | of floor | CPU path ms | ± | GB/s | of floor |\n\
             |---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|\n\
             | 8×64 | NC | train | 12.5 | 10 % | 2.50 | 0.88 | 3.00 | 10 % | 2.50 | 0.88 |\n\
             | 8×64 | NC | step | 100 | 10 % | 2.50 | 0.88 | | | | |\n"
        );
        assert!(operations(&[file(&[])]).is_err());
    }

    #[test]
    fn several_files_are_told_apart_by_letters() {
        let files = [
            file(&[row("A", "train", 1.0)]),
            file(&[row("A", "train", 2.0)]),
        ];
        let text = operations(&files).unwrap();
        assert!(text.contains("software adapter (A) ms"), "{text}");
        assert!(
            text.contains("| 1.00 | 10 % | 2.50 | 0.88 | 2.00 |"),
            "{text}"
        );
    }

    #[test]
    fn costs_on_the_host_are_in_microseconds() {
        let row = json!({
            "what": "plan", "device": "A", "low_ms": 0.001, "median_ms": 0.0012, "high_ms": 0.002,
        });
        let text = host(&[json!({ "host_rows": [row] })]).unwrap();
        assert!(
            text.ends_with("| plan | A | 1.20 | 1.00 to 2.00 |\n"),
            "{text}"
        );
        assert!(host(&[json!({})]).is_err());
    }

    #[test]
    fn figures_before_and_after_are_one_number_where_they_are_equal() {
        let record = |registers: f64, vector: f64| {
            let row = |variant: &str| {
                json!({
                    "variant": variant, "element": "f32", "activation": "none", "loop": "map",
                    "figures": { "registers": registers, "vector": vector, "spills": null },
                })
            };
            json!({ "families": [{ "family": "ampere", "rows": [row("a_run4"), row("a")] }] })
        };
        let choice = |figures| Choice {
            element: "f32",
            endings: vec!["_run4"],
            figures,
        };
        let (before, after) = ([record(99.0, 8.375)], [record(88.0, 8.375)]);
        let figures = vec!["ampere:registers", "ampere:vector", "ampere:spills"];
        assert_eq!(
            machine_code(&before, &after, &choice(figures)).unwrap(),
            "| kernel | activation | loop | ampere: registers | ampere: vector | ampere: spills |\n\
             |---|---|---|--:|--:|--:|\n\
             | `a_run4` | none | map | 99 → 88 | 8.38 | – |\n"
        );
        let other = choice(vec!["turing:registers"]);
        let problem = machine_code(&before, &after, &other).expect_err("no such family");
        assert!(problem.contains("turing"), "{problem}");
    }
}
