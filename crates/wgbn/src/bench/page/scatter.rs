//! Fraction of the floor over size, an SVG for each operation.

use std::fmt::Write;

use super::super::op::Op;
use super::super::report::{Report, Row};
use super::super::suite::{Layout, Suite};
use super::{number, text, time, title};
use crate::table;

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 270.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 40.0;

/// From numbers to places on the plot.
struct Axes {
    decades: [i32; 2],
    most: f64,
}

impl Axes {
    fn of(rows: &[&Row]) -> Self {
        let sizes = || rows.iter().map(|row| (row.case.elements() as f64).log10());
        let low = sizes().fold(f64::INFINITY, f64::min).floor() as i32;
        let high = sizes().fold(0.0, f64::max).ceil() as i32;
        let highest = rows.iter().map(|row| row.of_floor()).fold(1.0, f64::max);
        Self {
            decades: [low, high.max(low + 1)],
            // Caches lift small tensors above their floor: not so far that all else is flat.
            most: ((highest * 1.06 / 0.25).ceil() * 0.25).min(2.0),
        }
    }

    fn x(&self, elements: f64) -> f64 {
        let [low, high] = self.decades.map(f64::from);
        LEFT + (elements.log10() - low) / (high - low) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, fraction: f64) -> f64 {
        let fraction = fraction.clamp(0.0, self.most);
        HEIGHT - BOTTOM - fraction / self.most * (HEIGHT - TOP - BOTTOM)
    }
}

pub fn plot(page: &mut String, report: &Report, op: Op) -> std::fmt::Result {
    let rows: Vec<_> = report.rows.iter().filter(|row| row.op == op).collect();
    let axes = Axes::of(&rows);
    write!(
        page,
        "<figure><figcaption>{}</figcaption>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"{}: fraction of the floor over elements\">\n",
        title(op),
        title(op)
    )?;
    grid(page, &axes)?;
    lines(page, &axes, report, &rows)?;
    for row in rows {
        point(page, &axes, report, row)?;
    }
    page.push_str("</svg></figure>\n");
    Ok(())
}

fn grid(page: &mut String, axes: &Axes) -> std::fmt::Result {
    let (left, right) = (LEFT, WIDTH - RIGHT);
    for quarter in 0..=(axes.most * 4.0).round() as i32 {
        if axes.most > 1.0 && quarter % 2 == 1 {
            continue;
        }
        let fraction = f64::from(quarter) / 4.0;
        let y = axes.y(fraction);
        let class = if quarter == 4 { "floor" } else { "grid" };
        let percent = fraction * 100.0;
        writeln!(
            page,
            "<line class=\"{class}\" x1=\"{left}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{percent} %</text>",
            left - 7.0,
            y + 4.0
        )?;
    }
    for decade in axes.decades[0]..=axes.decades[1] {
        let x = axes.x(10f64.powi(decade));
        writeln!(
            page,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{:.1}\"/>\
             <text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">10{}</text>",
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 17.0,
            superscript(decade)
        )?;
    }
    writeln!(
        page,
        "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">elements</text>",
        f64::midpoint(LEFT, WIDTH - RIGHT),
        HEIGHT - 5.0
    )
}

/// In a sweep the sizes of one channel count belong together.
fn lines(page: &mut String, axes: &Axes, report: &Report, rows: &[&Row]) -> std::fmt::Result {
    let series = |row: &Row| {
        let swept = row.case.suite == Suite::Sweep;
        swept.then(|| (row.device.clone(), row.case.layout, row.case.shape[1]))
    };
    let mut seen = Vec::new();
    for row in rows {
        let Some(mine) = series(row).filter(|mine| !seen.contains(mine)) else {
            continue;
        };
        let n = number(report, &row.device);
        let points = rows
            .iter()
            .filter(|row| series(row).as_ref() == Some(&mine));
        let points = points.map(|row| {
            let (x, y) = place(axes, report, row);
            format!("{x:.1},{y:.1}")
        });
        let points = points.collect::<Vec<_>>().join(" ");
        writeln!(
            page,
            "<polyline class=\"line d{n} c{}\" points=\"{points}\"/>",
            mine.2
        )?;
        seen.push(mine);
    }
    Ok(())
}

/// Devices stand beside each other where sizes are equal.
fn place(axes: &Axes, report: &Report, row: &Row) -> (f64, f64) {
    let n = number(report, &row.device) as f64;
    let shift = (n - (report.devices.len() - 1) as f64 / 2.0) * 6.0;
    let x = axes.x(row.case.elements() as f64) + shift;
    (x, axes.y(row.of_floor()))
}

fn point(page: &mut String, axes: &Axes, report: &Report, row: &Row) -> std::fmt::Result {
    let n = number(report, &row.device);
    let (x, y) = place(axes, report, row);
    let s = row.timing.summary;
    let (low, high) = (
        axes.y(row.of_floor_in(s.high)),
        axes.y(row.of_floor_in(s.low)),
    );
    let mark = match row.case.layout {
        Layout::Nchw => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>"),
        Layout::Nhwc => {
            format!("<circle class=\"hollow\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.6\"/>")
        }
        Layout::Nc => format!(
            "<path d=\"M{x:.1} {:.1}l4.6 4.6l-4.6 4.6l-4.6 -4.6z\"/>",
            y - 4.6
        ),
    };
    writeln!(
        page,
        "<g class=\"point d{n}\"><line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{low:.1}\" y2=\"{high:.1}\"/>\
         {mark}<title>{} {}, {}: {:.0} % of the floor, {}</title></g>",
        table::shape(&row.case.shape),
        row.case.stored_as(),
        text(&row.device),
        row.of_floor() * 100.0,
        time(s.median)
    )
}

fn superscript(number: i32) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let digits = number.to_string();
    let digits = digits
        .bytes()
        .map(|digit| DIGITS[usize::from(digit - b'0')]);
    digits.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_logarithmic_and_clamped() {
        let axes = Axes {
            decades: [3, 7],
            most: 1.25,
        };
        assert_eq!(axes.x(1e3), LEFT);
        assert_eq!(axes.x(1e7), WIDTH - RIGHT);
        assert!((axes.x(1e5) - f64::midpoint(LEFT, WIDTH - RIGHT)).abs() < 1e-9);
        assert_eq!(axes.y(0.0), HEIGHT - BOTTOM);
        assert_eq!(axes.y(9.0), TOP);
        assert_eq!(superscript(10), "¹⁰");
    }
}
