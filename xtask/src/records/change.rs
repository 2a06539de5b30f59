//! Times of operations before and after a change, or by two programs, from runs of both that took turns.

use std::fmt::Write as _;

use serde_json::Value;

use super::tables::{digits, line_of, list};

/// The median of the medians before and after, and of the ratios of runs that followed each other, with their lower
/// quartile where there are four and more: what is slower by more than noise has it above 1. The ratios' geometric mean stands below the rows.
pub fn change(before: &[Value], after: &[Value]) -> Result<String, String> {
    let same = |a: &Value, b: &Value| ["device", "engine"].iter().all(|n| a[n] == b[n]);
    turns(before, after, ["before", "after"], same)
}

/// The same of two programs, each by its name.
pub fn beside(first: &[Value], second: &[Value], names: [&str; 2]) -> Result<String, String> {
    turns(first, second, names, |_, _| true)
}

fn turns(
    before: &[Value],
    after: &[Value],
    [first, second]: [&str; 2],
    alike: impl Fn(&Value, &Value) -> bool,
) -> Result<String, String> {
    if before.len() != after.len() || before.is_empty() {
        return Err("as many records of the one as of the other are needed".to_owned());
    }
    let mut text = format!(
        "| shape | layout | operation | {first} ms | {second} ms | {second} ÷ {first} | lower quartile |\n\
         |---|---|---|--:|--:|--:|--:|\n",
    );
    let mut logs = Vec::new();
    for row in list(&before[0], "rows") {
        let same = |other: &&Value| line_of(other) == line_of(row) && alike(other, row);
        let times = |files: &[Value]| -> Option<Vec<f64>> {
            let of = |file| list(file, "rows").find(same)?["median_ms"].as_f64();
            files.iter().map(of).collect()
        };
        let Some((old, new)) = times(before).zip(times(after)) else {
            return Err(format!("a record lacks {}", line_of(row).join(" ")));
        };
        let ratios: Vec<f64> = old.iter().zip(&new).map(|(old, new)| new / old).collect();
        let [lower, ratio] = [0.25, 0.5].map(|share| quantile(&ratios, share));
        let lower = match ratios.len() < QUARTERS {
            true => "–".to_owned(),
            false => format!("{lower:.3}"),
        };
        logs.push(ratio.ln());
        writeln!(
            text,
            "| {} | {} | {} | {ratio:.3} | {lower} |",
            line_of(row).join(" | "),
            digits(quantile(&old, 0.5)),
            digits(quantile(&new, 0.5)),
        )
        .expect("a string");
    }
    let rows = logs.len();
    if rows == 0 {
        return Err("the records hold no operation".to_owned());
    }
    let mean = (logs.iter().sum::<f64>() / rows as f64).exp();
    writeln!(
        text,
        "\nGeometric mean of {rows} ratios, over {} pairs of runs: {mean:.3}.",
        before.len()
    )
    .expect("a string");
    Ok(text)
}

/// Pairs of runs from which on a lower quartile says something.
const QUARTERS: usize = 4;

/// The value below which so large a share of the values lies, between the two nearest.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = share * (sorted.len() - 1) as f64;
    let [low, high] = [at.floor(), at.ceil()].map(|at| sorted[at as usize]);
    low + (high - low) * at.fract()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn file(times: [f64; 2]) -> Value {
        let row = |op: &str, median: f64| json!({ "engine": "e", "device": "d", "shape": [8, 64], "layout": "nc", "op": op, "median_ms": median });
        json!({ "rows": [row("train", times[0]), row("backward", times[1])] })
    }

    #[test]
    fn ratios_are_of_runs_that_followed_each_other() {
        let before = [[1.0, 4.0], [2.0, 4.0], [4.0, 4.0]].map(file);
        let after = [[0.5, 4.0], [1.0, 8.0], [2.0, 2.0]].map(file);
        let text = change(&before, &after).unwrap();
        // Each ratio of train is 0.5, though the times differ.
        assert!(
            text.contains("| 8×64 | NC | train | 2.00 | 1.00 | 0.500 | – |"),
            "{text}"
        );
        assert!(
            text.contains("| 8×64 | NC | backward | 4.00 | 4.00 | 1.000 | – |"),
            "{text}"
        );
        assert!(
            text.contains("of 2 ratios, over 3 pairs of runs: 0.707."),
            "{text}"
        );
        // Two pairs have the mean of both, and four a quartile.
        let two = change(&before[..2], &after[1..]).unwrap();
        assert!(two.contains("| train | 1.50 | 1.50 | 1.000 | – |"), "{two}");
        let four = |files: &[Value; 3]| [&files[..], &files[..1]].concat();
        let four = change(&four(&before), &four(&after)).unwrap();
        assert!(
            four.contains("| backward | 4.00 | 4.00 | 1.000 | 0.875 |"),
            "{four}"
        );
        assert!(change(&before, &after[..2]).is_err());
        let named = beside(&before, &after, ["ours", "theirs"]).unwrap();
        assert!(
            named.contains("| ours ms | theirs ms | theirs ÷ ours |"),
            "{named}"
        );
        let mut other = after.clone();
        other.iter_mut().for_each(|file| {
            file["rows"][0]["engine"] = json!("f");
            file["rows"][1]["engine"] = json!("f");
        });
        assert!(change(&before, &other).is_err());
        assert_eq!(beside(&before, &other, ["ours", "theirs"]), Ok(named));
        assert!(change(&before[..1], &[json!({ "rows": [] })]).is_err());
    }
}
