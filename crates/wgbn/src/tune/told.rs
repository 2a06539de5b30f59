//! What a search found, as a page of text.

use wgpu_batchnorm::internals::plan::{DeviceClass, Tuning};

use super::figures::Measured;
use super::rows::Gained;
use super::search::{End, Tried};
use crate::bench::device::GpuDevice;
use crate::failure::Failure;
use crate::table::{self, Table};

/// All that is told of a run.
pub struct Told<'a> {
    pub device: &'a GpuDevice,
    pub class: DeviceClass,
    pub measured: &'a Measured,
    pub tried: &'a [Tried],
    /// Whether no move was left to try.
    pub complete: bool,
    pub sizes: &'a Tuning,
    pub gains: &'a [Gained],
}

impl Told<'_> {
    pub fn print(&self) -> Result<(), Failure> {
        let info = self.device.gpu.info();
        say!(
            "{} ({}, {} {})",
            info.name,
            info.backend,
            info.driver,
            info.driver_info
        )?;
        self.figures()?;
        say!("")?;
        self.tried()?;
        say!("")?;
        self.gains()?;
        say!("\nsizes: {}", sizes(self.sizes))
    }

    fn figures(&self) -> Result<(), Failure> {
        let figures = &self.measured.figures;
        let [copy, sum] = &self.measured.patterns;
        let mut rates = Table::new(&["tensor", "copy GB/s", "sum GB/s"]);
        for (copy, sum) in figures.copy.iter().zip(&figures.sum) {
            rates.row(&[
                bytes(copy.bytes),
                format!("{:.1}", copy.gb_per_s),
                format!("{:.1}", sum.gb_per_s),
            ]);
        }
        crate::say::text(format_args!("{rates}"))?;
        say!("copy: {copy}; sum: {sum}")?;
        say!(
            "a dispatch that waits for another: {:.1} µs",
            figures.dispatch_us
        )?;
        say!(
            "workgroups of 256 lanes that run side by side: {:.0}",
            figures.workgroups_at_once
        )?;
        match figures.cache_bytes {
            Some(cache) => say!("last cache: {} or more", bytes(cache))?,
            None => say!("last cache: none was found")?,
        }
        match figures.f16_proved {
            true => say!("f16: by float instructions, which this device has right"),
            false => say!("f16: by integers"),
        }
    }

    fn tried(&self) -> Result<(), Failure> {
        say!("began with the sizes of {}", self.class.devices())?;
        let mut table = Table::new(&["tried", "rows", "time", ""]);
        for tried in self.tried {
            table.row(&[
                tried.what.clone(),
                tried.rows.to_string(),
                match tried.ratio {
                    Some(ratio) => format!("×{ratio:.3}"),
                    None => "–".to_owned(),
                },
                match tried.end {
                    End::Kept => "kept",
                    End::Left => "no gain",
                    End::Slower => "slower",
                    End::OutOfTime => "out of time",
                }
                .to_owned(),
            ]);
        }
        crate::say::text(format_args!("{table}"))?;
        say!(
            "rows: how many of the shapes and operations these sizes change; time: with them over without, the \
             geometric mean over all rows"
        )?;
        match self.complete {
            true => say!("every single change of these sizes was tried"),
            false => say!(
                "time ended before every single change of these sizes was tried: more --seconds try more"
            ),
        }
    }

    fn gains(&self) -> Result<(), Failure> {
        let mut table = Table::new(&["shape", "", "operation", "before ms", "after ms", "speed"]);
        for gain in self.gains {
            table.row(&[
                table::shape(&gain.case.shape),
                gain.case.layout.name().to_owned(),
                gain.op.name().to_owned(),
                format!("{:.4}", gain.before * 1e3),
                format!("{:.4}", gain.after * 1e3),
                format!("×{:.2}", gain.before / gain.after),
            ]);
        }
        crate::say::text(format_args!("{table}"))?;
        match self.gains.iter().all(|gain| gain.before == gain.after) {
            true => say!(
                "no other sizes were better: the file holds those of {}",
                self.class.devices()
            ),
            false => Ok(()),
        }
    }
}

fn sizes(tuning: &Tuning) -> String {
    let Tuning {
        planar_workgroup,
        planar_team,
        interleaved_workgroup,
        interleaved_columns,
        lane_columns,
        fill,
        resident_bytes,
        workgroup_bytes,
        cache_bytes,
        read_only,
        piece_bytes: _,
    } = *tuning;
    let cut = match workgroup_bytes {
        Some(each) => format!("cut by {}", bytes(each as u64)),
        None => format!("cut to fill {fill} workgroups"),
    };
    format!(
        "{cut}; planar workgroups of {planar_workgroup} in teams of {planar_team}; interleaved ones of \
         {interleaved_workgroup} over {interleaved_columns} columns, {lane_columns} a lane; resident up to {}; \
         second passes turned by a cache of {}; inputs bound {}",
        bytes(resident_bytes as u64),
        bytes(cache_bytes),
        if read_only { "read-only" } else { "writable" }
    )
}

fn bytes(n: u64) -> String {
    match n {
        n if n >= 1 << 20 => format!("{} MiB", n >> 20),
        n => format!("{} KiB", n >> 10),
    }
}
