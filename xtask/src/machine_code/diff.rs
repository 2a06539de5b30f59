//! What a change did, variant by variant.

use super::table::{COLUMNS, Row, Table};

/// A line for each row that differs.
///
/// # Errors
/// Tables of two drivers, or of two versions of one: their figures cannot be compared.
pub fn changes(before: &Table, after: &Table) -> Result<Vec<String>, String> {
    if before.driver != after.driver {
        return Err(format!(
            "{}: the snapshot is of {}, this is {}: write the snapshot again from the code before the \
             change",
            after.family, before.driver, after.driver
        ));
    }
    let gone = before
        .rows
        .iter()
        .filter(|row| after.find(&row.names).is_none());
    let gone = gone.map(|row| format!("{}: gone", row.name()));
    let changed = after
        .rows
        .iter()
        .filter_map(|row| match before.find(&row.names) {
            Some(old) => change(old, row),
            None => Some(format!("{}: new", row.name())),
        });
    Ok(gone.chain(changed).collect())
}

fn change(before: &Row, after: &Row) -> Option<String> {
    let pairs = before.figures.iter().zip(&after.figures).zip(&COLUMNS);
    let differ = pairs.filter(|((old, new), _)| old != new);
    let changes: Vec<String> = differ
        .map(|((old, new), column)| {
            format!(
                "{} {} → {}",
                column.name,
                column.print(*old),
                column.print(*new)
            )
        })
        .collect();
    (!changes.is_empty()).then(|| format!("{}: {}", after.name(), changes.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::super::table::sample;
    use super::*;

    #[test]
    fn each_row_that_differs_is_a_line() {
        let before = sample(
            "a driver",
            &[
                ("same", &[("registers", 36.0)]),
                ("worse", &[("registers", 36.0), ("vector", 6.69)]),
                ("removed", &[]),
            ],
        );
        let after = sample(
            "a driver",
            &[
                ("same", &[("registers", 36.0)]),
                (
                    "worse",
                    &[("registers", 48.0), ("vector", 7.0), ("atomics", 4.0)],
                ),
                ("added", &[]),
            ],
        );
        let changes = changes(&before, &after).expect("one driver compiled both");
        assert_eq!(
            changes,
            [
                "removed f32 none map: gone",
                "worse f32 none map: registers 36 → 48, vector 6.69 → 7.00, atomics - → 4",
                "added f32 none map: new",
            ]
        );
    }

    #[test]
    fn two_versions_of_a_driver_are_refused() {
        let of = |driver| sample(driver, &[]);
        let error = changes(&of("radv Mesa 25.0.7"), &of("radv Mesa 25.0.8"));
        assert!(error.expect_err("they differ").contains("radv Mesa 25.0.8"));
    }
}
