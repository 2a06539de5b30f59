//! The worst of every operation and variant, and all that is beyond its bound.

use std::fmt;

use serde_json::{Value, json};
use wgpu_batchnorm::check::Finding;

use super::outcome::Outcome;
use super::trials::{Data, Trial};
use crate::table;

/// The worst of one operation on one variant.
struct Row {
    operation: &'static str,
    variant: String,
    exact: bool,
    runs: usize,
    /// Runs of which something was wrong.
    failed: usize,
    /// Runs of which something was wrong that needs no canary to be seen.
    failed_by_judge: usize,
    case: usize,
    trial: String,
    worst: Finding,
}

/// A result beyond its bound.
pub struct Failed {
    pub case: usize,
    pub name: String,
    trial: String,
    operation: &'static str,
    variant: String,
    finding: Finding,
}

#[derive(Default)]
pub struct Rows {
    rows: Vec<Row>,
    failures: Vec<Failed>,
    outcomes: Vec<Value>,
}

/// An error of so many bounds.
fn ratio(finding: &Finding) -> f64 {
    match finding.error {
        0.0 => 0.0,
        error => error / finding.bound,
    }
}

impl Rows {
    /// Takes in what came of an operation on `trial`.
    pub fn add(&mut self, trial: &Trial, outcome: Outcome) {
        let Outcome {
            operation,
            variant,
            report,
            digests,
        } = outcome;
        let digests = digests.into_iter().map(|(tensor, hash)| {
            let hash = format!("{hash:016x}");
            (tensor.to_owned(), Value::String(hash))
        });
        let known = |o: &&Value| {
            o["name"] == trial.name && o["operation"] == operation && o["variant"] == variant
        };
        let run = self.outcomes.iter().rev().take(50).filter(known).count() + 1;
        self.outcomes.push(json!({
            "case": trial.number, "name": trial.name, "operation": operation, "variant": variant, "run": run,
            "passed": report.passed(), "digests": digests.collect::<serde_json::Map<_, _>>(),
        }));
        assert!(!report.findings.is_empty(), "{operation} was not judged");
        let beyond = || report.findings.iter().filter(|f| !f.passed());
        let failed = usize::from(beyond().count() > 0);
        let failed_by_judge = usize::from(beyond().any(|f| f.tensor != "canary"));
        for finding in beyond() {
            self.failures.push(Failed {
                case: trial.number,
                name: trial.name.clone(),
                trial: trial.to_string(),
                operation,
                variant: variant.clone(),
                finding: finding.clone(),
            });
        }
        let ratios = report.findings.into_iter();
        let Some(worst) = ratios.max_by(|a, b| ratio(a).total_cmp(&ratio(b))) else {
            return;
        };
        let exact = trial.data == Data::Exact;
        let known = |row: &&mut Row| {
            (row.operation, &row.variant, row.exact) == (operation, &variant, exact)
        };
        match self.rows.iter_mut().find(known) {
            Some(row) => {
                row.runs += 1;
                row.failed += failed;
                row.failed_by_judge += failed_by_judge;
                if ratio(&worst) > ratio(&row.worst) {
                    (row.case, row.trial) = (trial.number, trial.to_string());
                    row.worst = worst;
                }
            }
            None => {
                self.rows.push(Row {
                    operation,
                    variant,
                    exact,
                    runs: 1,
                    failed,
                    failed_by_judge,
                    case: trial.number,
                    trial: trial.to_string(),
                    worst,
                });
                self.rows.sort_by(|a, b| {
                    (a.exact, a.operation, &a.variant).cmp(&(b.exact, b.operation, &b.variant))
                });
            }
        }
    }

    /// In the order of their cases.
    pub fn failures(&self) -> &[Failed] {
        &self.failures
    }

    /// Every run with a hash of each of its results, which tells whether a bit of it moved.
    pub fn outcomes(&self) -> &[Value] {
        &self.outcomes
    }

    pub fn table(&self) -> table::Table {
        let heading = [
            "operation",
            "variant",
            "runs",
            "worst error",
            "bound",
            "",
            "where",
        ];
        let mut table = table::Table::new(&heading);
        for row in &self.rows {
            let worst = &row.worst;
            table.row(&[
                row.name(),
                row.variant.clone(),
                row.runs.to_string(),
                table::error(worst.error),
                table::error(worst.bound),
                if worst.passed() { "ok" } else { "FAILED" }.to_owned(),
                format!(
                    "{}[{}], case {}: {}",
                    worst.tensor, worst.index, row.case, row.trial
                ),
            ]);
        }
        table
    }

    pub fn as_json(&self) -> Value {
        let row = |row: &Row| {
            json!({
                "operation": row.operation, "variant": row.variant, "exact": row.exact,
                "runs": row.runs, "failed": row.failed, "failed_by_judge": row.failed_by_judge, "error": row.worst.error, "bound": row.worst.bound,
                "tensor": row.worst.tensor, "index": row.worst.index, "case": row.case,
                "where": row.trial, "passed": row.worst.passed(),
            })
        };
        self.rows.iter().map(row).collect()
    }
}

impl Row {
    fn name(&self) -> String {
        match self.exact {
            true => format!("{}, exact", self.operation),
            false => self.operation.to_owned(),
        }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            trial,
            operation,
            variant,
            finding,
            ..
        } = self;
        write!(f, "{operation} ({variant}): {finding}\n  on {trial}")
    }
}

#[cfg(test)]
mod tests {
    use wgpu_batchnorm::check::Report;

    use super::super::trials;
    use super::*;

    fn outcome(error: f64, bound: f64) -> Outcome {
        Outcome {
            operation: "inference",
            variant: "planar".to_owned(),
            digests: vec![("y", 0x0123)],
            report: Report::from(vec![
                Finding::new("y", 3, 1.0, 1.5).with_error(error, bound),
            ]),
        }
    }

    #[test]
    fn the_worst_stands_in_its_row_and_every_failure_is_kept() {
        let trials = trials::all();
        let mut rows = Rows::default();
        for (trial, error) in trials.iter().zip([1e-7, 6e-7, 4e-7, 9e-7]) {
            rows.add(trial, outcome(error, 5e-7));
        }
        assert_eq!(rows.rows.len(), 1);
        assert_eq!((rows.rows[0].runs, rows.rows[0].case), (4, 4));
        let cases: Vec<_> = rows.failures().iter().map(|failed| failed.case).collect();
        assert_eq!(cases, [2, 4]);
        let text = rows.table().to_string();
        assert!(text.contains("FAILED") && text.contains("case 4"), "{text}");
        let json = rows.as_json();
        assert_eq!(json[0]["passed"], false);
        assert_eq!(
            (&json[0]["runs"], &json[0]["failed"]),
            (&4.into(), &2.into())
        );
        assert_eq!(json[0]["failed_by_judge"], 2);
        let digests = &rows.outcomes()[0]["digests"];
        assert_eq!(digests["y"], "0000000000000123");
    }

    #[test]
    fn nothing_may_be_off_where_data_are_exact() {
        let trials = trials::all();
        let exact = trials.iter().find(|trial| trial.data == Data::Exact);
        let mut rows = Rows::default();
        rows.add(exact.unwrap(), outcome(0.0, 0.0));
        assert!(rows.failures().is_empty());
        rows.add(exact.unwrap(), outcome(1e-9, 0.0));
        assert_eq!(rows.failures().len(), 1);
        assert!(rows.rows[0].exact && !rows.rows[0].worst.passed());
    }
}
