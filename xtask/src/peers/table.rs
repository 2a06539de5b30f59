//! The table of times side by side, from the JSON files that the programs wrote.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

const NONE: &str = "–";

/// What a column holds: whose time, and on which kind of device.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    OursGpu,
    OursCpu,
    PyTorchCpu,
    PyTorchCuda,
    Burn,
}

/// A shape and an operation. Layouts are one where the shape tells them apart.
#[derive(Clone, PartialEq)]
struct Line {
    shape: String,
    channels_last: bool,
    op: String,
}

impl Line {
    fn same_tensor(&self, other: &Self) -> bool {
        self.shape == other.shape && self.channels_last == other.channels_last
    }
}

/// One row of a file.
struct Time {
    line: Line,
    layout: String,
    column: Column,
    device: String,
    variant: String,
    median: f64,
    wrong: bool,
}

/// The table in Markdown, with what it was made from. A time that no file has
/// is a dash.
pub fn table(files: &[Value]) -> Result<String, String> {
    let mut times = Vec::new();
    for file in files {
        read(file, &mut times)?;
    }
    let mut lines: Vec<&Time> = Vec::new();
    for time in &times {
        if !lines.iter().any(|known| known.line == time.line) {
            lines.push(time);
        }
    }
    // What only one program measured stands with its shape.
    lines.sort_by_cached_key(|time| times.iter().position(|t| t.line.same_tensor(&time.line)));
    let adapter = adapter(&times);

    let mut text = String::from(
        "| shape | layout | op | ours GPU ms | ours CPU ms | PyTorch CPU ms | PyTorch CUDA ms | Burn ms \
         | Burn ÷ ours GPU | PyTorch CPU ÷ ours CPU | PyTorch CUDA ÷ ours GPU |\n\
         |---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for Time { line, layout, .. } in lines {
        let cell = |column| Cell::of(&times, line, column, adapter);
        let (gpu, cpu) = (cell(Column::OursGpu), cell(Column::OursCpu));
        let (torch, cuda) = (cell(Column::PyTorchCpu), cell(Column::PyTorchCuda));
        let burn = cell(Column::Burn);
        let ratios = [
            burn.over(&gpu, same_device),
            torch.over(&cpu, |_, _| true),
            cuda.over(&gpu, same_device),
        ];
        let cells = [gpu, cpu, torch, cuda, burn].map(|cell| cell.text());
        let Line { shape, op, .. } = line;
        let (cells, ratios) = (cells.join(" | "), ratios.join(" | "));
        writeln!(text, "| {shape} | {layout} | {op} | {cells} | {ratios} |").expect("a string");
    }
    text.push_str(
        "\nA ratio above 1 means that ours is faster; it needs both times, of right results, on the same GPU. \
         Of several runs the median; of PyTorch's CUDA variants the fastest. No time: –.\n\n",
    );
    for file in files {
        writeln!(text, "- {}", provenance(file)).expect("a string");
        for skipped in file["skipped"].as_array().into_iter().flatten() {
            let skipped = skipped.as_str().unwrap_or("?");
            writeln!(text, "  - skipped: {skipped}").expect("a string");
        }
    }
    for note in notes(files, &times, adapter) {
        writeln!(text, "- {note}").expect("a string");
    }
    Ok(text)
}

fn read(file: &Value, times: &mut Vec<Time>) -> Result<(), String> {
    let program = file["program"].as_str().ok_or("a file names no program")?;
    let rows = file["rows"].as_array().ok_or("a file has no rows")?;
    for row in rows {
        let field = |name: &str| {
            let text = row[name].as_str().map(str::to_owned);
            text.ok_or_else(|| format!("a row of {program} has no `{name}`: {row}"))
        };
        let device = field("device")?;
        let on_cpu = kind(file, &device) == Some("cpu");
        let column = match (&*field("engine")?, on_cpu) {
            ("wgpu-batchnorm", _) => Column::OursGpu,
            ("wgpu-batchnorm-cpu", _) => Column::OursCpu,
            ("pytorch", true) => Column::PyTorchCpu,
            ("pytorch", false) => Column::PyTorchCuda,
            ("burn", _) => Column::Burn,
            (engine, _) => return Err(format!("`{engine}` is no known engine")),
        };
        let numbers = row["shape"].as_array().into_iter().flatten();
        let shape: Vec<String> = numbers.map(Value::to_string).collect();
        let layout = field("layout")?;
        times.push(Time {
            line: Line {
                shape: shape.join("×"),
                channels_last: layout == "nhwc",
                op: field("op")?,
            },
            layout: layout.to_uppercase(),
            column,
            device,
            variant: row["variant"].as_str().unwrap_or_default().to_owned(),
            median: row["median_ms"]
                .as_f64()
                .filter(|ms| *ms > 0.0)
                .ok_or_else(|| format!("a row of {program} has no time: {row}"))?,
            wrong: field("checked")?.starts_with("WRONG"),
        });
    }
    Ok(())
}

/// What kind of device the file says that this is.
fn kind<'a>(file: &'a Value, device: &str) -> Option<&'a str> {
    let mut devices = file["devices"].as_array()?.iter();
    devices.find(|d| d["name"] == device)?["kind"].as_str()
}

/// The adapter whose times of ours are shown: the one that Burn ran on, or else
/// our first.
fn adapter(times: &[Time]) -> Option<&str> {
    let ours = || times.iter().filter(|t| t.column == Column::OursGpu);
    let is_burns = |ours: &&Time| {
        let mut burn = times.iter().filter(|t| t.column == Column::Burn);
        burn.any(|burn| same_device(&burn.device, &ours.device))
    };
    let found = ours().find(is_burns).or_else(|| ours().next())?;
    Some(&found.device)
}

/// Interfaces spell the name of one device differently, some with more words.
fn same_device(a: &str, b: &str) -> bool {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    a.contains(&b) || b.contains(&a)
}

/// The time of one line in one column.
#[derive(Default)]
struct Cell {
    median: Option<f64>,
    device: String,
    variant: String,
    wrong: bool,
}

impl Cell {
    /// The median of the files' times; the fastest variant's, where there are
    /// several.
    fn of(times: &[Time], line: &Line, column: Column, adapter: Option<&str>) -> Self {
        let here: Vec<&Time> = times
            .iter()
            .filter(|t| t.line == *line && t.column == column)
            .filter(|t| column != Column::OursGpu || Some(&*t.device) == adapter)
            .collect();
        let variants: BTreeSet<&str> = here.iter().map(|t| &*t.variant).collect();
        let cells = variants.into_iter().map(|variant| {
            let runs = || here.iter().filter(|t| t.variant == variant);
            Self {
                median: Some(median(runs().map(|t| t.median).collect())),
                device: runs().next().map_or("", |t| &t.device).to_owned(),
                variant: variant.to_owned(),
                wrong: runs().any(|t| t.wrong),
            }
        });
        cells
            .min_by(|a, b| a.median.partial_cmp(&b.median).expect("times are numbers"))
            .unwrap_or_default()
    }

    fn text(&self) -> String {
        let Some(median) = self.median else {
            return NONE.to_owned();
        };
        let mut text = three_digits(median);
        if matches!(&*self.variant, "native" | "cudnn") {
            write!(text, " ({})", self.variant).expect("a string");
        }
        if self.wrong {
            text.push_str(" WRONG");
        }
        text
    }

    /// This time over `ours`, where both are there, of right results, and may be
    /// compared.
    fn over(&self, ours: &Self, comparable: impl Fn(&str, &str) -> bool) -> String {
        match (self.median, ours.median) {
            (Some(theirs), Some(median))
                if !self.wrong && !ours.wrong && comparable(&self.device, &ours.device) =>
            {
                three_digits(theirs / median)
            }
            _ => NONE.to_owned(),
        }
    }
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    if numbers.len() % 2 == 1 {
        numbers[middle]
    } else {
        (numbers[middle - 1] + numbers[middle]) / 2.0
    }
}

fn three_digits(number: f64) -> String {
    let decimals = (2.0 - number.log10().floor()).clamp(0.0, 5.0);
    format!("{number:.*}", decimals as usize)
}

/// What wrote the file, when and on what.
fn provenance(file: &Value) -> String {
    let text = |value: &Value| match value {
        Value::Null => NONE.to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let host = &file["host"];
    let devices: Vec<String> = file["devices"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|d| {
            let words = [&d["kind"], &d["name"], &d["backend"], &d["driver"]];
            words.map(text).join(" ")
        })
        .collect();
    format!(
        "{} {}, {}, {} with {} threads; {}",
        text(&file["program"]),
        text(&file["version"]),
        text(&file["date"]),
        text(&host["cpu"]),
        text(&host["threads"]),
        devices.join("; ")
    )
}

/// What a reader of the ratios should know.
fn notes(files: &[Value], times: &[Time], adapter: Option<&str>) -> Vec<String> {
    let mut notes = Vec::new();
    let hosts: BTreeSet<&str> = files
        .iter()
        .filter_map(|f| f["host"]["cpu"].as_str())
        .collect();
    if hosts.len() > 1 {
        notes.push("the files name different CPUs: their times may not be of one machine".into());
    }
    let devices = |column| -> BTreeSet<&str> {
        let of_column = times.iter().filter(|t| t.column == column);
        of_column.map(|t| &*t.device).collect()
    };
    for name in devices(Column::OursGpu) {
        if Some(name) != adapter {
            notes.push(format!("our times on {name} are not in the table"));
        }
    }
    for (who, column) in [("Burn", Column::Burn), ("PyTorch", Column::PyTorchCuda)] {
        for name in devices(column) {
            if adapter.is_none_or(|ours| !same_device(name, ours)) {
                notes.push(format!("{who} ran on {name}, ours did not: no ratio"));
            }
        }
    }
    notes.extend(spread(times));
    notes
}

/// How far our own runs are apart: what the ratios can be trusted to.
fn spread(times: &[Time]) -> Option<String> {
    let ours = |t: &&Time| matches!(t.column, Column::OursGpu | Column::OursCpu);
    let worst = times.iter().filter(ours).filter_map(|first| {
        let same = |t: &&Time| t.line == first.line && t.device == first.device;
        let slowest = times.iter().filter(ours).filter(same).map(|t| t.median);
        let slowest = slowest.fold(first.median, f64::max);
        (slowest > first.median).then(|| slowest / first.median)
    });
    let worst = worst.max_by(f64::total_cmp)?;
    Some(format!(
        "our own runs differ by up to {worst:.2}× on a line"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(device: &str, op: &str, shape: &[u64], layout: &str, median: f64) -> Value {
        json!({
            "device": device, "op": op, "shape": shape, "layout": layout,
            "median_ms": median, "checked": "worst error 1e-7",
        })
    }

    const OURS: &str = "wgpu-batchnorm";

    fn file(program: &str, devices: &[(&str, &str)], mut rows: Vec<Value>) -> Value {
        for row in &mut rows {
            let on_cpu = devices.contains(&(row["device"].as_str().unwrap(), "cpu"));
            row["engine"] = match (program, on_cpu) {
                (OURS, true) => json!("wgpu-batchnorm-cpu"),
                _ => json!(program),
            };
        }
        let device = |(name, kind): &(&str, &str)| json!({ "name": name, "kind": kind });
        json!({
            "program": program,
            "version": "1",
            "host": { "cpu": "a CPU", "threads": 2 },
            "devices": devices.iter().map(device).collect::<Vec<_>>(),
            "rows": rows,
        })
    }

    const SHAPE: [u64; 4] = [8, 64, 56, 56];

    fn ours(gpu: f64, cpu: f64) -> Value {
        let rows = vec![
            row("llvmpipe", "train", &SHAPE, "nchw", gpu),
            row("a CPU", "train", &SHAPE, "nchw", cpu),
        ];
        file(OURS, &[("llvmpipe", "software"), ("a CPU", "cpu")], rows)
    }

    /// The cells of the table's lines.
    fn cells(files: &[Value]) -> Vec<Vec<String>> {
        let text = table(files).expect("a table");
        let rows = text.lines().filter(|line| line.starts_with('|')).skip(2);
        rows.map(|line| {
            line.trim_matches('|')
                .split('|')
                .map(|c| c.trim().to_owned())
                .collect()
        })
        .collect()
    }

    #[test]
    fn ratios_are_of_the_same_kind_of_device() {
        let torch = [row("a CPU", "train", &SHAPE, "nchw", 5.0)];
        let burn = [row("llvmpipe", "train", &SHAPE, "nchw", 30.0)];
        let files = [
            ours(3.0, 2.0),
            file("pytorch", &[("a CPU", "cpu")], torch.to_vec()),
            file("burn", &[("llvmpipe", "software")], burn.to_vec()),
        ];
        let line = [
            "8×64×56×56",
            "NCHW",
            "train",
            "3.00",
            "2.00",
            "5.00",
            NONE,
            "30.0",
            "10.0",
            "2.50",
            NONE,
        ];
        assert_eq!(cells(&files), [line]);
    }

    #[test]
    fn a_missing_peer_is_a_dash() {
        let line = [
            "8×64×56×56",
            "NCHW",
            "train",
            "3.00",
            "2.00",
            NONE,
            NONE,
            NONE,
            NONE,
            NONE,
            NONE,
        ];
        assert_eq!(cells(&[ours(3.0, 2.0)]), [line]);
        let text = table(&[ours(3.0, 2.0)]).expect("a table");
        assert!(text.contains("- wgpu-batchnorm 1, –, a CPU with 2 threads"));
    }

    #[test]
    fn what_only_a_peer_measured_has_a_line() {
        let last = row("a CPU", "train", &[8, 56, 56, 64], "nhwc", 4.0);
        let files = [
            ours(3.0, 2.0),
            file("pytorch", &[("a CPU", "cpu")], vec![last]),
        ];
        let line = [
            "8×56×56×64",
            "NHWC",
            "train",
            NONE,
            NONE,
            "4.00",
            NONE,
            NONE,
            NONE,
            NONE,
            NONE,
        ];
        assert_eq!(cells(&files)[1], line);
    }

    #[test]
    fn layouts_of_one_shape_are_not_mixed() {
        let shape = [2, 3, 3, 3];
        let rows = ["nchw", "nhwc"].map(|layout| row("a CPU", "train", &shape, layout, 1.0));
        assert_eq!(
            cells(&[file("pytorch", &[("a CPU", "cpu")], rows.to_vec())]).len(),
            2
        );
        // What has three axes is planar, whatever it is called.
        let mut files = [ours(3.0, 2.0), ours(3.0, 2.0)];
        files[1]["rows"][0]["layout"] = json!("ncl");
        assert_eq!(cells(&files).len(), 1);
    }

    #[test]
    fn lines_of_one_shape_stand_together() {
        let another = row("a CPU", "train", &[4, 2], "nc", 1.0);
        let frozen = row("a CPU", "frozen", &SHAPE, "nchw", 1.0);
        let peer = file("pytorch", &[("a CPU", "cpu")], vec![another, frozen]);
        let lines = cells(&[ours(3.0, 2.0), peer]);
        let names: Vec<String> = lines.iter().map(|l| format!("{} {}", l[0], l[2])).collect();
        assert_eq!(
            names,
            ["8×64×56×56 train", "8×64×56×56 frozen", "4×2 train"]
        );
    }

    #[test]
    fn several_runs_count_as_their_median() {
        let files = [ours(3.0, 2.0), ours(4.0, 2.0)];
        assert_eq!(cells(&files)[0][3..5], ["3.50", "2.00"]);
        let text = table(&files).expect("a table");
        assert!(
            text.contains("our own runs differ by up to 1.33×"),
            "{text}"
        );
    }

    #[test]
    fn the_fastest_cuda_variant_is_named() {
        let variant = |name: &str, median: f64| {
            let mut row = row("NVIDIA H200", "train", &SHAPE, "nchw", median);
            row["variant"] = json!(name);
            row
        };
        let rows = vec![variant("native", 0.5), variant("cudnn", 0.2)];
        let torch = file("pytorch", &[("NVIDIA H200", "gpu")], rows);
        let mut mine = ours(0.1, 2.0);
        assert_eq!(
            cells(&[mine.clone(), torch.clone()])[0][6..],
            ["0.200 (cudnn)", NONE, NONE, NONE, NONE]
        );
        // The ratio is given on the same GPU.
        mine["devices"][0] = json!({ "name": "NVIDIA H200 (a driver)", "kind": "gpu" });
        mine["rows"][0]["device"] = json!("NVIDIA H200 (a driver)");
        assert_eq!(cells(&[mine, torch])[0][10], "2.00");
    }

    #[test]
    fn burn_on_another_adapter_gives_no_ratio_and_a_note() {
        let burn = vec![row("another GPU", "train", &SHAPE, "nchw", 1.0)];
        let files = [
            ours(3.0, 2.0),
            file("burn", &[("another GPU", "gpu")], burn),
        ];
        assert_eq!(cells(&files)[0][7..9], ["1.00", NONE]);
        let text = table(&files).expect("a table");
        assert!(
            text.contains("Burn ran on another GPU, ours did not"),
            "{text}"
        );
    }

    #[test]
    fn of_our_adapters_the_one_that_burn_ran_on_is_shown() {
        let mut mine = ours(3.0, 2.0);
        let mut second = row("a GPU", "train", &SHAPE, "nchw", 1.0);
        second["engine"] = json!(OURS);
        mine["rows"].as_array_mut().expect("rows").insert(0, second);
        mine["devices"]
            .as_array_mut()
            .expect("devices")
            .push(json!({ "name": "a GPU", "kind": "gpu" }));
        let burn = vec![row("llvmpipe", "train", &SHAPE, "nchw", 30.0)];
        let burn = file("burn", &[("llvmpipe", "software")], burn);
        assert_eq!(cells(&[mine.clone(), burn])[0][3], "3.00");
        assert_eq!(cells(&[mine.clone()])[0][3], "1.00");
        let text = table(&[mine]).expect("a table");
        assert!(
            text.contains("our times on llvmpipe are not in the table"),
            "{text}"
        );
    }

    #[test]
    fn wrong_results_and_skipped_work_are_shown() {
        let mut torch = file(
            "pytorch",
            &[("a CPU", "cpu")],
            vec![row("a CPU", "train", &SHAPE, "nchw", 5.0)],
        );
        torch["rows"][0]["checked"] = json!("WRONG: error 0.5");
        torch["skipped"] = json!(["cuda: no device"]);
        let line = &cells(&[ours(3.0, 2.0), torch.clone()])[0];
        assert_eq!([&line[5], &line[9]], ["5.00 WRONG", NONE]);
        assert!(
            table(&[torch])
                .expect("a table")
                .contains("  - skipped: cuda: no device")
        );
    }

    #[test]
    fn files_of_another_form_are_refused() {
        assert!(table(&[json!({})]).is_err());
        assert!(
            table(&[file(
                "another",
                &[],
                vec![row("a", "train", &SHAPE, "nchw", 1.0)]
            )])
            .is_err()
        );
        for name in ["device", "op", "layout", "median_ms", "checked"] {
            let mut mine = ours(3.0, 2.0);
            mine["rows"][0].as_object_mut().expect("a row").remove(name);
            assert!(table(&[mine]).is_err(), "{name}");
        }
    }

    #[test]
    fn numbers_have_three_digits() {
        let numbers = [0.0123, 0.5, 9.99, 12.34, 123.4, 1234.5].map(three_digits);
        assert_eq!(numbers, ["0.0123", "0.500", "9.99", "12.3", "123", "1234"]);
    }
}
