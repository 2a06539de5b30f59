//! The table of a family: what is printed, and what lies in the repository as its snapshot.

use std::fmt;

use serde_json::Value;

/// A column of figures.
#[derive(Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in the report, in limits and in changes.
    pub name: &'static str,
    /// The same in the table's head.
    head: &'static str,
    width: usize,
    decimals: usize,
}

const fn column(name: &'static str, head: &'static str, width: usize, decimals: usize) -> Column {
    Column {
        name,
        head,
        width,
        decimals,
    }
}

/// All columns, as `docs/machine-code.md` explains them.
pub const COLUMNS: [Column; 25] = [
    column("lanes", "lanes", 6, 0),
    column("registers", "regs", 5, 0),
    column("scalar_registers", "sregs", 6, 0),
    column("spills", "spills", 7, 0),
    column("scratch", "scratch", 8, 0),
    column("shared", "shared", 7, 0),
    column("live", "live", 5, 0),
    column("instructions", "instr", 6, 0),
    column("values", "values", 7, 0),
    column("vector", "vector", 10, 2),
    column("float", "float", 8, 2),
    column("integer", "int", 8, 2),
    column("compare", "cmp", 8, 2),
    column("move", "move", 8, 2),
    column("convert", "cvt", 7, 2),
    column("transcendental", "trans", 7, 2),
    column("dual", "dual", 6, 2),
    column("scalar", "scalar", 7, 0),
    column("scalar_loads", "sload", 6, 0),
    column("loads", "load", 5, 0),
    column("load_width", "bytes", 6, 1),
    column("stores", "store", 6, 0),
    column("store_width", "bytes", 6, 1),
    column("atomics", "atomic", 7, 0),
    column("branches", "branch", 7, 0),
];

/// Variant, element, activation and loop of a row, and how wide they are printed.
const NAMES: [(&str, usize); 4] = [
    ("variant", 48),
    ("element", 8),
    ("activation", 11),
    ("loop", 7),
];

/// A variant's hot loop, with the figures of the whole variant before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub names: [String; 4],
    /// By [`COLUMNS`].
    pub figures: Vec<Option<f64>>,
}

#[derive(Debug, PartialEq)]
pub struct Table {
    pub family: String,
    device: String,
    /// The driver and its version.
    pub driver: String,
    pub rows: Vec<Row>,
}

impl Row {
    /// Variant, element and so on, as one text.
    pub fn name(&self) -> String {
        self.names.join(" ")
    }

    fn of(report: &Value) -> Result<Self, String> {
        let text = |key: &str| match report[key].as_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(format!("a row without `{key}`: {report}")),
        };
        let figure = |column: &Column| {
            let figure = report["figures"][column.name].as_f64()?;
            // As it will be read from a snapshot.
            column.print(Some(figure)).parse().ok()
        };
        Ok(Self {
            names: [
                text("variant")?,
                text("element")?,
                text("activation")?,
                text("loop")?,
            ],
            figures: COLUMNS.iter().map(figure).collect(),
        })
    }

    fn parse(line: &str) -> Result<Self, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.len() != NAMES.len() + COLUMNS.len() {
            return Err(format!("a row of another form: {line}"));
        }
        let (names, figures) = words.split_at(NAMES.len());
        let figure = |word: &&str| match *word {
            "-" => Ok(None),
            word => word
                .parse()
                .map(Some)
                .map_err(|_| format!("no number: {word}")),
        };
        Ok(Self {
            names: std::array::from_fn(|at| names[at].to_owned()),
            figures: figures.iter().map(figure).collect::<Result<_, _>>()?,
        })
    }
}

impl Column {
    /// A figure as the table has it.
    pub fn print(&self, figure: Option<f64>) -> String {
        match figure {
            Some(figure) => format!("{figure:.*}", self.decimals),
            None => "-".to_owned(),
        }
    }

    /// The place of the column with this name.
    pub fn place(name: &str) -> Option<usize> {
        COLUMNS.iter().position(|column| column.name == name)
    }
}

impl Table {
    /// From what the program reported.
    pub fn of(report: &Value) -> Result<Self, String> {
        let text = |key: &str| report[key].as_str().unwrap_or_default().to_owned();
        let rows = report["rows"].as_array().ok_or("a report without rows")?;
        for row in rows {
            if let Some(problem) = row["problem"].as_str() {
                println!(
                    "{}: no hot loop of {} {}: {problem}",
                    text("family"),
                    row["variant"].as_str().unwrap_or_default(),
                    row["element"].as_str().unwrap_or_default()
                );
            }
        }
        Ok(Self {
            family: text("family"),
            device: text("device"),
            driver: text("driver"),
            rows: rows.iter().map(Row::of).collect::<Result<_, _>>()?,
        })
    }

    /// From a snapshot.
    pub fn parse(family: &str, text: &str) -> Result<Self, String> {
        let noted = |key: &str| {
            let start = format!("# {key}: ");
            let line = text.lines().find_map(|line| line.strip_prefix(&start));
            line.map(str::to_owned).ok_or(format!("no line `{start}`"))
        };
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Ok(Self {
            family: family.to_owned(),
            device: noted("device")?,
            driver: noted("driver")?,
            // The first is the head.
            rows: lines.skip(1).map(Row::parse).collect::<Result<_, _>>()?,
        })
    }

    /// The row with these names.
    pub fn find(&self, names: &[String; 4]) -> Option<&Row> {
        self.rows.iter().find(|row| row.names == *names)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "# cargo xtask machine-code --write --family {}: docs/machine-code.md says how to read it",
            self.family
        )?;
        writeln!(f, "# device: {}", self.device)?;
        writeln!(f, "# driver: {}", self.driver)?;
        let mut line = |names: [&str; 4], figures: Vec<String>| {
            for (name, (_, width)) in names.iter().zip(NAMES) {
                write!(f, "{name:<width$}")?;
            }
            for (figure, column) in figures.iter().zip(&COLUMNS) {
                write!(f, "{figure:>width$}", width = column.width)?;
            }
            writeln!(f)
        };
        let heads = COLUMNS.iter().map(|column| column.head.to_owned());
        line(NAMES.map(|(name, _)| name), heads.collect())?;
        for row in &self.rows {
            let figures = row.figures.iter().zip(&COLUMNS);
            let figures = figures.map(|(figure, column)| column.print(*figure));
            line(row.names.each_ref().map(String::as_str), figures.collect())?;
        }
        Ok(())
    }
}

/// A table of made-up rows, for tests.
#[cfg(test)]
pub fn sample(driver: &str, rows: &[(&str, &[(&str, f64)])]) -> Table {
    let row = |&(name, figures): &(&str, &[(&str, f64)])| {
        let mut row = Row {
            names: [name, "f32", "none", "map"].map(str::to_owned),
            figures: vec![None; COLUMNS.len()],
        };
        for (name, figure) in figures {
            row.figures[Column::place(name).expect("there is such a column")] = Some(*figure);
        }
        row
    };
    Table {
        family: "navi31".to_owned(),
        device: "a device".to_owned(),
        driver: driver.to_owned(),
        rows: rows.iter().map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_is_the_same_after_it_was_written_and_read() {
        let report = json!({
            "family": "navi31",
            "device": "AMD Radeon Graphics (RADV NAVI31)",
            "driver": "radv Mesa 25",
            "rows": [{
                "variant": "moments_run4",
                "element": "f32",
                "activation": "none",
                "loop": "reduce",
                "problem": null,
                "figures": { "registers": 48, "spills": null, "vector": 8.376, "load_width": 16.0 },
            }],
        });
        let table = Table::of(&report).expect("the report is good");
        let text = table.to_string();
        assert_eq!(Table::parse("navi31", &text), Ok(table));
        let row = text.lines().last().expect("there is a row");
        let words: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(
            words[..7],
            ["moments_run4", "f32", "none", "reduce", "-", "48", "-"]
        );
        assert!(words.contains(&"8.38") && words.contains(&"16.0"));
    }

    #[test]
    fn what_is_no_table_is_an_error() {
        assert!(Table::parse("navi31", "").is_err());
        let text = sample("a driver", &[("moments", &[])]).to_string();
        assert!(Table::parse("navi31", &text).is_ok());
        assert!(Table::parse("navi31", &(text.clone() + "moments f32\n")).is_err());
        assert!(Table::of(&json!({ "rows": [{}] })).is_err());
    }
}
