//! What the planner chose for a view, and why, in words.

use std::fmt::Write as _;

use super::hardware::{Hardware, Source};
use super::model::{Expected, Work, expect, of_copy, seconds};
use super::{DeviceClass, Grid, Load, Machine, Schedule, SplitLimit};
use crate::shape::Pattern;

/// One line a decision, and what is expected on the device that stands for the machine's class. `made` says when the
/// tuning file was, where the sizes are of one.
pub(crate) fn describe(schedule: &Schedule, machine: &Machine, made: Option<&str>) -> String {
    let class = match made {
        Some(_) => None,
        None => DeviceClass::of(&machine.tuning),
    };
    lines(schedule, machine, made, class.and_then(Hardware::of))
}

/// The same, and what is expected on this device.
#[cfg(feature = "internals")]
pub fn describe_on(schedule: &Schedule, machine: &Machine, on: Option<&Hardware>) -> String {
    lines(schedule, machine, None, on)
}

fn lines(
    schedule: &Schedule,
    machine: &Machine,
    made: Option<&str>,
    on: Option<&Hardware>,
) -> String {
    let mut text = String::new();
    let mut line = |name: &str, words: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<11}{words}");
    };
    line("view", view(schedule));
    line("device", device(machine, made));
    line("loads", loads(schedule));
    let Some(first) = schedule.pieces.first() else {
        let zeroed = grid(&schedule.merge);
        let words = format!("nothing runs but one dispatch of {zeroed}, which makes sums of 0");
        line("empty", words);
        return text;
    };
    if schedule.pieces.len() > 1 {
        let (pieces, (why, most)) = (schedule.pieces.len(), machine.piece_bytes());
        line(
            "pieces",
            format!("{pieces}: {why} {most} bytes; a dispatch for each"),
        );
    }
    let mapping = schedule.flat.first().unwrap_or(first);
    let split = |last: &str, on: &Grid| {
        let partials = schedule.partials;
        let reduce = grid(&first.reduce);
        let on = grid(on);
        format!("split: {reduce} leave {partials} partial(s) a channel; then {last} on {on}")
    };
    let fold = finish(schedule);
    let resident = |whole: &Option<Grid>, last: &str| match whole {
        Some(whole) if whole.held > 0 => format!(
            "one dispatch of {}: registers hold a workgroup's channels, {} load(s) a lane",
            grid(whole),
            whole.held
        ),
        Some(whole) if schedule.partials == 1 => {
            format!("one dispatch of {}: no channel need be split", grid(whole))
        }
        Some(whole) => format!(
            "one dispatch of {}: a workgroup's channels are at most {} KiB and fill the device",
            grid(whole),
            machine.tuning.resident_bytes >> 10
        ),
        None => split(&format!("{fold}{last}"), &mapping.map),
    };
    line("splits", splits(schedule));
    line("train", resident(&schedule.resident_train, "y"));
    line(
        "inference",
        format!("one dispatch of {}", grid(&mapping.apply)),
    );
    line("backward", resident(&schedule.resident_backward, "dx"));
    let mut frozen = split("dweight and dbias", &schedule.merge);
    if !schedule.flat.is_empty() {
        let _ = write!(frozen, "; then dx on {}", grid(&mapping.map));
    }
    line("frozen", frozen);
    if !schedule.flat.is_empty() {
        line(
            "flat",
            "tensors are written a word at a time, two halves of whatever channels".to_owned(),
        );
    }
    let bytes = schedule.workspace_bytes();
    let tensor = schedule.view.len() as u64 * schedule.element.bytes();
    let share = 100.0 * bytes as f64 / tensor as f64;
    line(
        "workspace",
        format!("{bytes} bytes, {share:.2} % of the tensor"),
    );
    if schedule.reversed {
        let cache = machine.tuning.cache_bytes >> 20;
        let words = format!(
            "second passes go from the end to the start, of which a cache of {cache} MiB has more"
        );
        line("order", words);
    }
    let Some(on) = on else {
        return text;
    };
    let from = match on.bandwidth.source {
        Source::Published(_) => "from published numbers",
        Source::Measured(_) => "from measured numbers",
    };
    line("expected", format!("on {}, {from}:", on.title));
    for work in Work::ALL {
        let (name, took) = (work.name(), time(seconds(work, schedule, on)));
        let of_copy = of_copy(work, schedule, on);
        line(
            "",
            format!("{name} {took}, at {of_copy:.2} of a copy's rate"),
        );
        // Those of pieces that are alike on one line.
        for alike in expect(work, schedule, on).chunk_by(|a, b| a == b) {
            let times = match alike.len() {
                1 => String::new(),
                times => format!("{times} times "),
            };
            line("", format!("    {times}{}", expected(&alike[0])));
        }
    }
    text
}

/// What one dispatch is expected to do.
fn expected(dispatch: &Expected) -> String {
    let Expected {
        kernel,
        workgroups,
        lanes,
        bytes_read,
        bytes_written,
        ..
    } = *dispatch;
    let mut words = format!(
        "{kernel} {}: {workgroups} workgroups of {lanes} lanes read {} and write {}",
        time(dispatch.seconds),
        bytes(bytes_read),
        bytes(bytes_written),
    );
    // Writing to a string cannot fail.
    if dispatch.bytes_found > 0 {
        let _ = write!(words, ", a cache has {}", bytes(dispatch.bytes_found));
    }
    if dispatch.bytes_in_flight > 0 {
        let percent = |share: f64| (100.0 * share).round();
        let _ = write!(
            words,
            ", {} in flight, lanes used {} %, sectors {} %",
            bytes(dispatch.bytes_in_flight),
            percent(dispatch.lanes_used),
            percent(dispatch.sectors_used),
        );
        // Of fewer workgroups than multiprocessors there is no more to say than that.
        if dispatch.imbalance < 1.0 {
            let more = percent(dispatch.imbalance);
            let _ = write!(words, ", {more} % more than its share on the busiest");
        }
    }
    words
}

fn time(seconds: f64) -> String {
    match seconds * 1e6 {
        micros if micros < 1e3 => format!("{micros:.1} µs"),
        micros => format!("{:.2} ms", micros * 1e-3),
    }
}

fn bytes(n: u64) -> String {
    match n as f64 {
        n if n < 1e6 => format!("{:.1} KB", n * 1e-3),
        n => format!("{:.1} MB", n * 1e-6),
    }
}

/// What merges partials between two passes, where something does.
fn finish(schedule: &Schedule) -> String {
    match schedule.folds {
        true => format!("one a channel on {}; then ", grid(&schedule.merge)),
        false => String::new(),
    }
}

/// The same for an image of this width and height.
pub(crate) fn describe_image(
    schedule: &Schedule,
    machine: &Machine,
    made: Option<&str>,
    size: [u32; 2],
) -> String {
    let first = &schedule.pieces[0];
    let [width, height] = size;
    let (moments, map, apply) = (grid(&first.reduce), grid(&first.map), grid(&first.apply));
    let partials = schedule.partials;
    let finish = finish(schedule);
    let lines = [
        (
            "image",
            format!("{width}x{height} pixels: a texel, four channels, at a time"),
        ),
        ("device", device(machine, made)),
        ("splits", splits(schedule)),
        (
            "train",
            format!(
                "split: {moments} leave {partials} partial(s) a channel; then {finish}y on {map}"
            ),
        ),
        (
            "statistics",
            format!("the same, but then on {}", grid(&schedule.merge)),
        ),
        ("inference", format!("one dispatch of {apply}")),
        ("render", "one draw".to_owned()),
        ("workspace", format!("{} bytes", schedule.workspace_bytes())),
    ];
    let line = |(name, words)| format!("{name:<11}{words}\n");
    lines.map(line).concat()
}

fn view(schedule: &Schedule) -> String {
    let view = &schedule.view;
    let pattern = match view.pattern() {
        Pattern::Planar => "planar, runs of one channel",
        Pattern::Interleaved => "interleaved, neighbours are channels",
    };
    format!(
        "outer {}, channels {}, inner {}: {pattern}; {} values a channel",
        view.outer(),
        view.channels(),
        view.inner(),
        view.count()
    )
}

fn device(machine: &Machine, made: Option<&str>) -> String {
    let fill = machine.tuning.fill;
    if let Some(made) = made {
        return format!("sizes of a tuning file made on {made}; {fill} workgroups fill it");
    }
    let Some(class) = DeviceClass::of(&machine.tuning) else {
        return format!("sizes of the caller's; {fill} workgroups fill it");
    };
    let cut = match class {
        DeviceClass::Cpu => "small teams on contiguous streams",
        DeviceClass::Integrated => "wide workgroups, few of them",
        DeviceClass::Discrete => "wide workgroups, many of them",
    };
    let devices = class.devices();
    format!("sizes of {devices}: {cut}; {fill} workgroups fill it")
}

fn loads(schedule: &Schedule) -> String {
    let (inner, channels) = (schedule.view.inner(), schedule.view.channels());
    match schedule.load {
        Load::Run4 => format!("four neighbours of a run at a time: {inner} is a multiple of 4"),
        Load::Channel4 => format!("four channels at a time: {channels} is a multiple of 4"),
        Load::Scalar => match schedule.view.pattern() {
            Pattern::Planar => format!("one value at a time: {inner} is no multiple of 4"),
            Pattern::Interleaved => format!("one value at a time: {channels} is no multiple of 4"),
        },
    }
}

fn splits(schedule: &Schedule) -> String {
    let splits = schedule.pieces[0].reduce.splits;
    let why = match schedule.bound {
        SplitLimit::Bytes => "so that each walks enough, and all are many",
        SplitLimit::Fill => "that fills the device",
        SplitLimit::Share => "a lane's share would be too small with more",
        SplitLimit::Merge => "more partials would cost too much to merge and to keep",
        SplitLimit::Loop => "a lane could not finish its share with fewer",
    };
    format!("{splits} a channel: {why}")
}

fn grid(grid: &Grid) -> String {
    let workgroups = u64::from(grid.groups) * u64::from(grid.splits);
    let mut words = format!("{workgroups} workgroups of {} lanes", grid.workgroup);
    if grid.columns * grid.lane_columns > 1 {
        let each = match grid.lane_columns {
            1 => String::new(),
            many => format!(", {many} a lane"),
        };
        let _ = write!(
            words,
            " over {} columns{each}",
            grid.columns * grid.lane_columns
        );
    }
    words
}
