//! `wgbn tune`: the sizes that suit an adapter best, found by trying, and kept in a file.

mod figures;
mod moves;
mod rows;
mod search;
mod told;

use std::time::{Duration, Instant};

use wgpu_batchnorm::TuningFile;
use wgpu_batchnorm::internals::plan::{DeviceClass, Tuning};
use wgpu_batchnorm::internals::tuning::{AdapterId, Contents, SCHEMA};
use wgpu_batchnorm::wgpu::DeviceType;

use crate::args::{Class, TuneArgs};
use crate::bench::device::{self, Device, GpuDevice};
use crate::bench::inputs::Inputs;
use crate::bench::machine;
use crate::failure::Failure;
use crate::{output, progress};
use figures::Measured;
use rows::{Rows, Subjects};
use search::Search;
use told::Told;

/// Shares of the time: what is left after the figures goes to the search, but for this one, in which the result is
/// measured against the beginning.
const LAST: f64 = 0.2;

pub fn run(args: &TuneArgs) -> Result<(), Failure> {
    output::check_writable(&args.output)?;
    let (mut devices, _) = device::open(std::slice::from_ref(&args.device), None, None)?;
    let Some(Device::Gpu(device)) = devices.pop() else {
        return Err(Failure::Input(
            "there is nothing to tune on the CPU path, expected an adapter".to_owned(),
        ));
    };
    let about = machine::about(false);
    let bar = progress::spinner("preparing");
    pollster::block_on(device.gpu.context().calibrate(device.gpu.queue()))?;
    let class = class_of(&device, args.from);
    let from = Tuning {
        // How long a dispatch may last is the device's own, and nothing here is large enough to try it.
        piece_bytes: class_of(&device, None).tuning().piece_bytes,
        ..class.tuning()
    };
    let cases = rows::cases(device.is_software());
    let inputs = cases.iter().map(Inputs::new);
    let inputs = inputs.collect::<Result<Vec<_>, _>>()?;

    let start = Instant::now();
    bar.set_message("bandwidth, over sizes");
    let measured = figures::measure(&device, args.seconds, &|| bar.tick())?;
    let mut spent = start.elapsed();
    bar.set_message("preparing");
    let mut subjects = Subjects::new(&device, &inputs)?;

    let start = Instant::now();
    let left = (args.seconds - spent.as_secs_f64()).max(0.0);
    let mut rows = Rows::new(&device, &mut subjects);
    let mut search = Search::new(
        &mut rows,
        from,
        start + Duration::from_secs_f64(left * (1.0 - LAST)),
    )?;
    search.classes(class, &|said| bar.set_message(said))?;
    search.moves(measured.figures.cache_bytes, &|said| bar.set_message(said))?;
    let (best, tried, complete) = search.end();
    spent += start.elapsed();

    bar.set_message("the result beside the beginning");
    let left = (args.seconds - spent.as_secs_f64()).max(0.0);
    let gains = rows.gains(from, best, Duration::from_secs_f64(left))?;
    bar.set_message("every result against f64");
    rows.check(best)?;
    bar.finish_and_clear();

    let told = Told {
        device: &device,
        class,
        measured: &measured,
        tried: &tried,
        complete,
        sizes: &best,
        gains: &gains,
    };
    told.print()?;
    let file = file(&device, best, &measured, &gains, about.command, about.date)?;
    output::write_text(&args.output, &file.to_json()?)?;
    say!("wrote {}", args.output.display())
}

/// Whose sizes the search begins with.
fn class_of(device: &GpuDevice, from: Option<Class>) -> DeviceClass {
    match (from, device.gpu.info().device_type) {
        (Some(class), _) => class.planned(),
        (None, DeviceType::Cpu) => DeviceClass::Cpu,
        (None, DeviceType::IntegratedGpu) => DeviceClass::Integrated,
        (None, _) => DeviceClass::Discrete,
    }
}

fn file(
    device: &GpuDevice,
    sizes: Tuning,
    measured: &Measured,
    gains: &[rows::Gained],
    command: String,
    made: String,
) -> Result<TuningFile, Failure> {
    Ok(TuningFile::new(Contents {
        schema: SCHEMA,
        adapter: AdapterId::from(device.gpu.info()),
        made,
        command,
        sizes,
        figures: measured.figures.clone(),
        gains: gains.iter().map(rows::Gained::written).collect(),
    })?)
}
