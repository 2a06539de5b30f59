//! The plot of both pictures' histograms: before above, after below, on one axis.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster};

use crate::picture::Statistics;

/// Of the plot, in pixels.
pub const SIZE: [u32; 2] = [960, 640];

const PAPER: [u8; 3] = [250, 250, 248];
const INK: [u8; 3] = [40, 42, 46];
const FAINT: [u8; 3] = [222, 222, 218];
const CHANNELS: [(&str, [u8; 3]); 3] = [
    ("red", [214, 60, 50]),
    ("green", [40, 150, 70]),
    ("blue", [50, 95, 205]),
];

const LEFT: i32 = 84;
const RIGHT: i32 = 930;
/// Of each panel, above and below.
const PANELS: [(&str, i32, i32); 2] = [("before", 44, 280), ("after", 340, 576)];

/// Draws the histograms of two pictures, in pixels of [`SIZE`].
pub fn plot(before: &[[u8; 3]], after: &[[u8; 3]]) -> Vec<[u8; 3]> {
    let mut canvas = Canvas::new();
    for ((title, top, bottom), pixels) in PANELS.into_iter().zip([before, after]) {
        Panel { top, bottom }.draw(&mut canvas, title, pixels);
    }
    let middle = (LEFT + RIGHT) / 2;
    let label = "value of the channel, as displayed";
    canvas.text(
        [middle, SIZE[1] as i32 - 34],
        label,
        Align::Middle,
        INK,
        false,
    );
    canvas.pixels
}

/// Percent of the pixels at each of the 256 values.
fn percentages(pixels: &[[u8; 3]], channel: usize) -> [f32; 256] {
    let mut counts = [0_u32; 256];
    for pixel in pixels {
        counts[usize::from(pixel[channel])] += 1;
    }
    counts.map(|count| 100.0 * count as f32 / pixels.len() as f32)
}

/// A step of the vertical axis that gives three to six ticks up to `highest`.
fn step(highest: f32) -> f32 {
    let power = 10_f32.powf((highest / 6.0).log10().floor());
    let wide = |factor: &&f32| highest / (**factor * power) <= 6.0;
    power * [1.0, 2.0, 5.0].iter().find(wide).unwrap_or(&10.0)
}

struct Panel {
    top: i32,
    bottom: i32,
}

impl Panel {
    fn draw(&self, canvas: &mut Canvas, title: &str, pixels: &[[u8; 3]]) {
        let histograms = [0, 1, 2].map(|channel| percentages(pixels, channel));
        // Clamped pixels pile up at the ends; what is between sets the scale.
        let inner = histograms.iter().flat_map(|h| &h[1..255]);
        let highest = inner.fold(0.01, |highest: f32, &p| highest.max(p));
        let step = step(highest);
        let full = highest * 1.06;
        let y = |percent: f32| {
            self.bottom - (percent.min(full) / full * (self.bottom - self.top) as f32) as i32
        };
        let x = |value: f32| LEFT + (value * (RIGHT - LEFT) as f32).round() as i32;

        for k in 0..=10 {
            let value = k as f32 / 10.0;
            canvas.vertical(x(value), self.top..self.bottom, FAINT);
            canvas.vertical(x(value), self.bottom..self.bottom + 5, INK);
            let label = [x(value), self.bottom + 8];
            canvas.text(label, &format!("{value:.1}"), Align::Middle, INK, false);
        }
        let mut percent = 0.0;
        while percent <= full {
            canvas.horizontal(LEFT..RIGHT, y(percent), FAINT);
            canvas.horizontal(LEFT - 5..LEFT, y(percent), INK);
            let decimals = usize::from(step < 1.0);
            let label = format!("{percent:.decimals$} %");
            canvas.text([LEFT - 10, y(percent) - 8], &label, Align::End, INK, false);
            percent += step;
        }
        for (histogram, (_, colour)) in histograms.iter().zip(CHANNELS) {
            let height = |column: i32| {
                let at = (column - LEFT) as f32 / (RIGHT - LEFT) as f32 * 255.0;
                let (low, part) = (at as usize, at.fract());
                let high = histogram[(low + 1).min(255)];
                y(histogram[low] * (1.0 - part) + high * part)
            };
            for column in LEFT..=RIGHT {
                for row in height(column)..self.bottom {
                    canvas.blend([column, row], colour, 0.22);
                }
                // The outline joins neighbouring columns.
                let (a, b) = (height(column), height((column + 1).min(RIGHT)));
                for row in a.min(b) - 1..=a.max(b) {
                    canvas.blend([column, row], colour, 0.9);
                }
            }
        }
        canvas.horizontal(LEFT..RIGHT + 1, self.bottom, INK);
        canvas.vertical(LEFT, self.top..self.bottom, INK);
        canvas.text([LEFT, self.top - 30], title, Align::Start, INK, true);
        let label = [LEFT + 100, self.top - 26];
        canvas.text(label, "share of the pixels", Align::Start, INK, false);
        let mut end = RIGHT;
        for channel in (0..3).rev() {
            let (name, colour) = CHANNELS[channel];
            let Statistics { mean, std, .. } = Statistics::of(pixels, channel);
            let text = format!("{name} {mean:.3} ± {std:.3}");
            canvas.text([end, self.top - 26], &text, Align::End, colour, false);
            end -= width(&text) + 28;
        }
    }
}

#[derive(Clone, Copy)]
enum Align {
    Start,
    Middle,
    End,
}

const TEXT: RasterHeight = RasterHeight::Size16;
const TITLE: RasterHeight = RasterHeight::Size20;

/// Of a line of text.
fn width(text: &str) -> i32 {
    let advance = noto_sans_mono_bitmap::get_raster_width(FontWeight::Regular, TEXT);
    (advance * text.chars().count()) as i32
}

struct Canvas {
    pixels: Vec<[u8; 3]>,
}

impl Canvas {
    fn new() -> Self {
        Self {
            pixels: vec![PAPER; (SIZE[0] * SIZE[1]) as usize],
        }
    }

    /// Covers a pixel by as much as `cover` says; outside of the canvas nothing happens.
    fn blend(&mut self, [x, y]: [i32; 2], colour: [u8; 3], cover: f32) {
        let [width, height] = SIZE.map(|side| side as i32);
        if (0..width).contains(&x) && (0..height).contains(&y) {
            let pixel = &mut self.pixels[(y * width + x) as usize];
            for (under, over) in pixel.iter_mut().zip(colour) {
                let mixed = f32::from(*under) * (1.0 - cover) + f32::from(over) * cover;
                *under = mixed.round() as u8;
            }
        }
    }

    fn horizontal(&mut self, columns: std::ops::Range<i32>, y: i32, colour: [u8; 3]) {
        columns.for_each(|x| self.blend([x, y], colour, 1.0));
    }

    fn vertical(&mut self, x: i32, rows: std::ops::Range<i32>, colour: [u8; 3]) {
        rows.for_each(|y| self.blend([x, y], colour, 1.0));
    }

    fn text(&mut self, [x, y]: [i32; 2], text: &str, align: Align, colour: [u8; 3], title: bool) {
        let (weight, height) = match title {
            true => (FontWeight::Bold, TITLE),
            false => (FontWeight::Regular, TEXT),
        };
        let mut left = match align {
            Align::Start => x,
            Align::Middle => x - width(text) / 2,
            Align::End => x - width(text),
        };
        for character in text.chars() {
            let Some(raster) = get_raster(character, weight, height) else {
                continue;
            };
            for (row, covers) in (y..).zip(raster.rows()) {
                for (column, &cover) in (left..).zip(covers) {
                    self.blend([column, row], colour, f32::from(cover) / 255.0);
                }
            }
            left += raster.width() as i32;
        }
    }
}
