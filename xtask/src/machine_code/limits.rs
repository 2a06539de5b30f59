//! Limits of figures: lines `FAMILY VARIANT ELEMENT ACTIVATION LOOP FIGURE MOST`, where `*` stands for
//! any text and MOST is a number or `snapshot`. Of the lines that match a figure, the last one holds.

use super::table::{Column, Row, Table};

pub struct Limits(Vec<Limit>);

struct Limit {
    /// Family, and the names of a row.
    patterns: [String; 5],
    /// The figure's place in a row.
    figure: usize,
    most: Most,
}

#[derive(Clone, Copy)]
enum Most {
    Number(f64),
    Snapshot,
}

impl Limits {
    /// From the file's text; lines that begin with `#` say something to people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(Limit::parse).collect::<Result<_, _>>().map(Self)
    }

    /// A line for each figure that is more than it may be; limits that are the snapshot's hold where
    /// there is one.
    pub fn exceeded(&self, table: &Table, snapshot: Option<&Table>) -> Vec<String> {
        let mut found = Vec::new();
        for row in &table.rows {
            for (place, figure) in row.figures.iter().enumerate() {
                let limits = self.0.iter().rev();
                let mut limits = limits.filter(|l| l.figure == place && l.is_of(table, row));
                let Some(limit) = limits.next() else { continue };
                found.extend(limit.exceeded(row, *figure, snapshot));
            }
        }
        // A row that is gone would hide whatever became of it.
        let before = snapshot.map_or(&[][..], |snapshot| &snapshot.rows);
        let gone = before.iter().filter(|row| table.find(&row.names).is_none());
        found.extend(gone.map(|row| format!("{}: the snapshot has this row", row.name())));
        found
    }
}

impl Limit {
    fn parse(line: &str) -> Result<Self, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [family, variant, element, activation, pass, figure, most] = words[..] else {
            return Err(format!("a limit of another form: {line}"));
        };
        let most = match most {
            "snapshot" => Most::Snapshot,
            number => Most::Number(number.parse().map_err(|_| format!("no number: {line}"))?),
        };
        Ok(Self {
            patterns: [family, variant, element, activation, pass].map(str::to_owned),
            figure: Column::place(figure).ok_or_else(|| format!("no such figure: {line}"))?,
            most,
        })
    }

    fn is_of(&self, table: &Table, row: &Row) -> bool {
        let names = std::iter::once(&table.family).chain(&row.names);
        let mut pairs = self.patterns.iter().zip(names);
        pairs.all(|(pattern, name)| matches(pattern, name))
    }

    fn exceeded(&self, row: &Row, figure: Option<f64>, snapshot: Option<&Table>) -> Option<String> {
        let column = &super::table::COLUMNS[self.figure];
        let say = |most: &str| {
            let figure = column.print(figure);
            Some(format!(
                "{}: {} {figure}, at most {most}",
                row.name(),
                column.name
            ))
        };
        let most = match self.most {
            Most::Number(most) => Some(most),
            Most::Snapshot => match snapshot?.find(&row.names) {
                Some(row) => row.figures[self.figure],
                None => return say("what a snapshot says, and it has no such row"),
            },
        };
        match (figure, most) {
            (Some(figure), Some(most)) if figure > most => say(&column.print(Some(most))),
            // A loop that was found once and no longer is would hide whatever it became.
            (None, Some(most)) if matches!(self.most, Most::Snapshot) => {
                say(&column.print(Some(most)))
            }
            _ => None,
        }
    }
}

/// Whether the name is the pattern, with any text for each `*`.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => {
            let Some(name) = name.strip_prefix(start) else {
                return false;
            };
            let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.into_iter().any(|at| matches(rest, &name[at..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::sample;
    use super::*;

    const LIMITS: &str = "# to people\n\
        * * * * * scratch 0\n\
        * *_x2* * * * scratch snapshot\n\
        navi* moments f32 none map registers 40\n\
        * * * * * vector snapshot\n";

    fn exceeded(
        rows: &[(&str, &[(&str, f64)])],
        snapshot: &[(&str, &[(&str, f64)])],
    ) -> Vec<String> {
        let limits = Limits::parse(LIMITS).expect("they are limits");
        let table = sample("a driver", rows);
        limits.exceeded(&table, Some(&sample("a driver", snapshot)))
    }

    #[test]
    fn the_last_line_that_matches_holds() {
        let rows: [(&str, &[(&str, f64)]); 2] = [
            ("moments", &[("scratch", 4.0), ("registers", 41.0)]),
            ("moments_x2_half", &[("scratch", 64.0), ("registers", 99.0)]),
        ];
        assert_eq!(
            exceeded(&rows, &rows),
            [
                "moments f32 none map: registers 41, at most 40",
                "moments f32 none map: scratch 4, at most 0",
            ]
        );
    }

    #[test]
    fn a_snapshots_figures_are_limits() {
        let before: [(&str, &[(&str, f64)]); 2] = [
            ("moments", &[("vector", 8.0)]),
            ("lost", &[("vector", 8.0)]),
        ];
        assert_eq!(exceeded(&before, &before), [""; 0]);
        let after: [(&str, &[(&str, f64)]); 3] = [
            ("moments", &[("vector", 8.5)]),
            ("lost", &[]),
            ("new", &[("vector", 1.0)]),
        ];
        let found = exceeded(&after[..2], &[before[0], before[1], ("gone", &[])]);
        let gone = "gone f32 none map: the snapshot has this row";
        assert_eq!(found.last().map(String::as_str), Some(gone));
        let found = exceeded(&after, &before);
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found[0], "moments f32 none map: vector 8.50, at most 8.00");
        // Without a snapshot of the same driver, numbers alone hold.
        let limits = Limits::parse(LIMITS).expect("they are limits");
        assert_eq!(limits.exceeded(&sample("a driver", &after), None), [""; 0]);
    }

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "moments"),
            ("mo*ts", "moments"),
            ("*_x2*", "moments_channel4_x2_half"),
            ("navi21", "navi21"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("", "a"), ("mo*t", "moments"), ("*_x2*", "moments_x4")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_no_limit_is_an_error() {
        for line in [
            "* * * * * colour 1",
            "* * * * registers 1",
            "* * * * * registers few",
        ] {
            assert!(Limits::parse(line).is_err(), "{line}");
        }
    }
}
