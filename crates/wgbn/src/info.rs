//! `wgbn info`.

use serde_json::{Value, json};
use wgpu_batchnorm::error::DeviceError;
use wgpu_batchnorm::internals::USEFUL;
use wgpu_batchnorm::internals::plan::LARGEST_BINDING;
use wgpu_batchnorm::wgpu::{self, DeviceType, Features};
use wgpu_batchnorm::{Config, Error, Gpu, Plan, View, adapters_blocking};

use crate::args::InfoArgs;
use crate::failure::Failure;
use crate::planned;
use crate::tuning;

pub fn run(args: &InfoArgs) -> Result<(), Failure> {
    if let Some(shape) = &args.shape {
        // Before anything is printed.
        View::new(shape, args.axis).map_err(Error::from)?;
        if let Some(on) = planned::for_whom(args) {
            return planned::run(args, shape, on);
        }
    }
    let adapters = adapters_blocking();
    if args.require_adapter && adapters.is_empty() {
        return Err(Failure::Machine("no GPU adapter was found".to_owned()));
    }
    let opened = opened(&adapters, args)?;
    let adapters = adapters.iter().zip(&opened);
    if args.json {
        let adapters = adapters.map(|(adapter, gpu)| as_json(adapter, gpu.as_ref(), args));
        return say!("{}", json!({ "adapters": adapters.collect::<Value>() }));
    }
    if opened.is_empty() {
        say!("no adapter: everything runs on the CPU path")?;
        say!(
            "on Debian and Ubuntu `apt-get install mesa-vulkan-drivers libvulkan1` gives a software adapter"
        )?;
    }
    for (adapter, gpu) in adapters {
        print_adapter(adapter, gpu.as_ref())?;
        if let Some(shape) = &args.shape {
            print_plan(gpu.as_ref(), shape, args)?;
        }
    }
    Ok(())
}

/// An adapter as the library opens it.
type Opened = Result<Gpu, DeviceError>;

/// Each adapter, with the sizes of the tuning file where it is of that one; one that does not open is told with the
/// others.
///
/// # Errors
/// A file that no adapter takes, and why the last of them does not.
fn opened(adapters: &[wgpu::Adapter], args: &InfoArgs) -> Result<Vec<Opened>, Failure> {
    let mut opened: Vec<_> = adapters.iter().map(Gpu::open_blocking).collect();
    let Some(path) = &args.tuning else {
        return Ok(opened);
    };
    let (mut taken, mut refused) = (false, None);
    for gpu in opened.iter_mut().flatten() {
        match tuning::apply(gpu.clone(), Some(path)) {
            Ok(tuned) => (*gpu, taken) = (tuned, true),
            Err(why) => refused = Some(why),
        }
    }
    match refused {
        Some(why) if !taken => Err(why),
        None if !taken => tuning::without_adapter(Some(path)).map(|()| opened),
        _ => Ok(opened),
    }
}

fn plan(
    gpu: Result<&Gpu, &DeviceError>,
    shape: &[usize],
    args: &InfoArgs,
) -> Result<Plan, Failure> {
    let config = Config::pytorch().with_axis(args.axis);
    let config = config.with_element(args.element.element());
    let gpu = gpu.map_err(|error| Error::from(error.clone()))?;
    Ok(gpu.context().plan(&config, shape).map_err(Error::from)?)
}

fn print_plan(
    gpu: Result<&Gpu, &DeviceError>,
    shape: &[usize],
    args: &InfoArgs,
) -> Result<(), Failure> {
    let (stored, axis) = (args.element.element().name(), args.axis);
    say!("  plan of {shape:?} in {stored}, channel axis {axis}")?;
    // One adapter that cannot is no reason to leave out the next.
    let plan = match plan(gpu, shape, args) {
        Ok(plan) => plan,
        Err(failure) => return say!("    none: {failure}"),
    };
    for line in plan.describe().lines() {
        say!("    {line}")?;
    }
    Ok(())
}

fn print_adapter(
    adapter: &wgpu::Adapter,
    opened: Result<&Gpu, &DeviceError>,
) -> Result<(), Failure> {
    let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
    let yes = |there: bool| if there { "yes" } else { "no" };
    say!(
        "{} ({}, {})",
        info.name,
        info.backend,
        kind(info.device_type)
    )?;
    say!("  driver          {} {}", info.driver, info.driver_info)?;
    match opened {
        Ok(gpu) => {
            let f16 = match gpu.context().f16_proved() {
                true => "by float instructions, which this device has right",
                false => "by integers: this device's float instructions read or round it otherwise",
            };
            say!("  usable here     yes")?;
            say!("  f16             {f16}")?;
            say!("  sizes           {}", sizes(gpu))?;
        }
        Err(error) => say!("  usable here     no: {error}")?,
    }
    say!(
        "  largest tensor  {} f32 values, bound in pieces of {}",
        limits.max_buffer_size / 4,
        bytes(limits.max_storage_buffer_binding_size.min(LARGEST_BINDING)),
    )?;
    say!(
        "  workgroups      up to {} invocations, {} of shared memory, {} a dimension",
        limits.max_compute_invocations_per_workgroup,
        bytes(limits.max_compute_workgroup_storage_size.into()),
        limits.max_compute_workgroups_per_dimension,
    )?;
    say!(
        "  offsets         multiples of {} bytes",
        limits.min_storage_buffer_offset_alignment
    )?;
    say!(
        "  subgroups       {}, {} to {} lanes (not needed here)",
        yes(features.contains(Features::SUBGROUP)),
        info.subgroup_min_size,
        info.subgroup_max_size,
    )?;
    say!(
        "  timestamps      {}",
        yes(features.contains(Features::TIMESTAMP_QUERY))
    )?;
    let Ok(gpu) = opened else { return Ok(()) };
    let (got, limits) = (gpu.device().features(), gpu.device().limits());
    let got: Vec<_> = got_of(got)
        .map(|(name, got)| format!("{name} {}", yes(got)))
        .collect();
    say!("  opened with     {}", got.join(", "))?;
    say!(
        "                  workgroups of {} invocations, {} of shared memory",
        limits.max_compute_invocations_per_workgroup,
        bytes(limits.max_compute_workgroup_storage_size.into()),
    )
}

/// Each feature that the library asks for, and whether a device got it.
fn got_of(features: Features) -> impl Iterator<Item = (&'static str, bool)> {
    USEFUL
        .iter()
        .map(move |&(feature, name)| (name, features.contains(feature)))
}

/// Whose sizes work is planned with.
fn sizes(gpu: &Gpu) -> String {
    match (gpu.context().tuned_on(), gpu.info().device_type) {
        (Some(made), _) => format!("of a tuning file made on {made}"),
        (None, DeviceType::Cpu) => "of software adapters".to_owned(),
        (None, DeviceType::IntegratedGpu) => "of integrated GPUs".to_owned(),
        (None, _) => "of discrete GPUs".to_owned(),
    }
}

fn as_json(adapter: &wgpu::Adapter, gpu: Result<&Gpu, &DeviceError>, args: &InfoArgs) -> Value {
    let mut json = described(adapter, gpu.ok());
    if let Some(shape) = &args.shape {
        json["element"] = args.element.element().name().into();
        match plan(gpu, shape, args) {
            Ok(plan) => json["plan"] = plan.describe().lines().collect(),
            // As in text: one adapter that cannot is no reason to leave out the next.
            Err(failure) => json["plan_failure"] = failure.to_string().into(),
        }
    }
    json
}

fn described(adapter: &wgpu::Adapter, opened: Option<&Gpu>) -> Value {
    let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
    let f16_proved = opened.is_some_and(|gpu| gpu.context().f16_proved());
    json!({
        "name": info.name, "backend": info.backend.to_string(), "kind": kind(info.device_type),
        "driver": info.driver, "driver_info": info.driver_info,
        "usable": opened.is_some(), "f16_proved": f16_proved,
        "sizes": opened.map(sizes),
        "opened_with": opened.map(|gpu| got(gpu.device())),
        "max_storage_buffer_binding_size": limits.max_storage_buffer_binding_size,
        "max_buffer_size": limits.max_buffer_size,
        "max_compute_invocations_per_workgroup": limits.max_compute_invocations_per_workgroup,
        "max_compute_workgroup_storage_size": limits.max_compute_workgroup_storage_size,
        "max_compute_workgroups_per_dimension": limits.max_compute_workgroups_per_dimension,
        "min_storage_buffer_offset_alignment": limits.min_storage_buffer_offset_alignment,
        "subgroups": features.contains(Features::SUBGROUP),
        "subgroup_sizes": [info.subgroup_min_size, info.subgroup_max_size],
        "timestamps": features.contains(Features::TIMESTAMP_QUERY),
    })
}

/// What the library asks an adapter for, as this device got it.
fn got(device: &wgpu::Device) -> Value {
    let limits = device.limits();
    let mut got: Value = got_of(device.features()).collect();
    for (name, limit) in [
        (
            "max_compute_invocations_per_workgroup",
            limits.max_compute_invocations_per_workgroup,
        ),
        (
            "max_compute_workgroup_size_x",
            limits.max_compute_workgroup_size_x,
        ),
        (
            "max_compute_workgroup_storage_size",
            limits.max_compute_workgroup_storage_size,
        ),
    ] {
        got[name] = limit.into();
    }
    got
}

fn kind(kind: DeviceType) -> &'static str {
    match kind {
        DeviceType::DiscreteGpu => "discrete GPU",
        DeviceType::IntegratedGpu => "integrated GPU",
        DeviceType::VirtualGpu => "virtual GPU",
        DeviceType::Cpu => "software, runs on the CPU",
        DeviceType::Other => "of unknown kind",
    }
}

fn bytes(n: u64) -> String {
    match n {
        n if n >= 1 << 30 => format!("{:.1} GiB", n as f64 / f64::from(1 << 30)),
        n if n >= 1 << 20 => format!("{:.0} MiB", n as f64 / f64::from(1 << 20)),
        n => format!("{:.0} KiB", n as f64 / 1024.0),
    }
}
