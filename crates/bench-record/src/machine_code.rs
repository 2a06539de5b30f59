//! Registers and instructions of compiled shaders.

use crate::field::{Field, Number};
use crate::problem::Problem;

pub fn check(file: &Field<'_>, problems: &mut Vec<Problem>) {
    file.text_or_null("commit", problems);
    file.date("date", problems);
    for family in file.filled_list("families", problems) {
        family.text("family", problems);
        family.text("device", problems);
        family.text("driver", problems);
        for row in family.filled_list("rows", problems) {
            for name in ["variant", "element", "activation", "loop"] {
                row.text(name, problems);
            }
            let figures = row.get("figures");
            let Some(map) = figures.value.as_object().filter(|map| !map.is_empty()) else {
                figures.wrong("figures by their names", problems);
                continue;
            };
            for (name, _) in map.iter().filter(|(_, figure)| !figure.is_null()) {
                figures.number(name, Number::NotNegative, problems);
            }
        }
    }
}
