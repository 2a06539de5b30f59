//! Draws a scene, batch-normalizes the frame, and shows both.
//!
//! `cargo run --release -p renderer -- [--size WxH] [--out DIR] [--no-window]`

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use renderer::picture::{Statistics, write_png};
use renderer::{Look, Rectangle, Renderer, histogram};

const USAGE: &str = "\
Draws a scene off-screen, batch-normalizes the frame's colours in the same encoder, and writes
before.png, after.png and histogram.png. Then opens a window where there is a display.

usage: renderer [options]

  --size WxH    pixels of the frame (1280x720)
  --letterbox   the scene between black bars, which are not looked at
  --exposure    by luminance alone, so that hues stay; in the window it follows slowly
  --out DIR     where the pictures go (.)
  --no-window   only write the pictures
";

struct Options {
    size: [u32; 2],
    look: Look,
    out: PathBuf,
    window: bool,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let options = match parse(args) {
        Ok(options) => options,
        Err(reason) => {
            eprintln!("renderer: {reason}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("renderer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(args: Vec<String>) -> Result<Options, String> {
    let mut options = Options {
        size: [1280, 720],
        look: Look::default(),
        out: PathBuf::from("."),
        window: true,
    };
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} wants a value"));
        match &*arg {
            "--size" => options.size = size(&value()?)?,
            "--out" => options.out = value()?.into(),
            "--letterbox" => options.look.letterbox = true,
            "--exposure" => options.look.exposure = true,
            "--no-window" => options.window = false,
            _ => return Err(format!("cannot understand `{arg}`")),
        }
    }
    Ok(options)
}

fn size(text: &str) -> Result<[u32; 2], String> {
    let sides = text.split_once('x').and_then(|(width, height)| {
        let side = |text: &str| text.parse().ok().filter(|side| (16..=8192).contains(side));
        Some([side(width)?, side(height)?])
    });
    sides.ok_or(format!(
        "`{text}` is no size such as 1280x720, of 16 to 8192 pixels a side"
    ))
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let (device, queue) = renderer::device()?;
    println!("adapter: {}", device.adapter_info().name);
    let mut renderer = Renderer::new(&device, options.size, options.look)?;
    let pictures = renderer.pictures(&device, &queue, 0.0)?;
    let [before, after] = pictures.each_ref().map(|picture| picture.rgb8());

    // What lies between the bars.
    let Rectangle { origin, size } = options.look.view(options.size);
    let first = (origin[1] * size[0]) as usize;
    let view = first..first + (size[0] * size[1]) as usize;
    println!("\n         before            after             of pixels");
    println!("         mean    std       mean    std       clamped");
    for (channel, name) in ["red", "green", "blue"].into_iter().enumerate() {
        let [b, a] = [&before, &after].map(|pixels| Statistics::of(&pixels[view.clone()], channel));
        println!(
            "{name:<8} {:.3}   {:.3}     {:.3}   {:.3}     {:.2} %",
            b.mean,
            b.std,
            a.mean,
            a.std,
            100.0 * a.clamped
        );
    }
    println!();
    std::fs::create_dir_all(&options.out)?;
    let plot = histogram::plot(&before[view.clone()], &after[view]);
    for (name, size, pixels) in [
        ("before.png", options.size, &before),
        ("after.png", options.size, &after),
        ("histogram.png", histogram::SIZE, &plot),
    ] {
        let path = options.out.join(name);
        write_png(&path, size, pixels)?;
        println!("wrote {}", path.display());
    }
    if options.window {
        window(options)?;
    }
    Ok(())
}

#[cfg(feature = "window")]
fn window(options: &Options) -> Result<(), Box<dyn Error>> {
    renderer::window::run(options.size, options.look)
}

#[cfg(not(feature = "window"))]
fn window(_: &Options) -> Result<(), Box<dyn Error>> {
    println!("no window: built without the feature `window`");
    Ok(())
}
