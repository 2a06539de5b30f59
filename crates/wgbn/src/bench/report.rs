//! All that a run found.

use super::bandwidth::{Bandwidth, Measured};
use super::device::Device;
use super::op::Op;
use super::sample::{Summary, summary};
use super::suite::Case;
use super::timer::Timing;

/// A run of `wgbn bench`.
pub struct Report {
    pub about: About,
    pub devices: Vec<DeviceInfo>,
    pub bandwidth: Vec<BandwidthRow>,
    pub rows: Vec<Row>,
    pub host_rows: Vec<HostRow>,
    /// What was left out, and why.
    pub skipped: Vec<String>,
}

/// When, where and what.
pub struct About {
    pub command: String,
    pub commit: Option<String>,
    /// UTC, as in ISO 8601.
    pub date: String,
    pub threads: usize,
    pub cpu: Option<String>,
    /// Small tensors only: figures that are not to be quoted.
    pub quick: bool,
    /// Tensors are gone round until this much was touched.
    pub rotation_bytes: u64,
}

pub struct DeviceInfo {
    pub name: String,
    pub kind: &'static str,
    pub backend: String,
    pub driver: String,
}

/// A bandwidth at some time of the run.
pub struct BandwidthRow {
    pub device: String,
    /// `start`, `end`, or before which shape.
    pub when: String,
    pub measured: Measured,
}

/// One operation on one shape on one device.
pub struct Row {
    pub case: Case,
    pub device: String,
    pub op: Op,
    pub timing: Timing,
    /// Of the device, the better of before and after.
    pub bandwidth: Bandwidth,
    /// Sets of tensors gone round.
    pub sets: usize,
    /// What was compared with the reference.
    pub checked: String,
}

/// A cost on the host, in seconds.
pub struct HostRow {
    pub device: String,
    pub what: &'static str,
    pub summary: Summary,
}

/// What a bandwidth was in the course of a run, in GB/s.
pub struct Drift {
    pub median: f64,
    pub first: f64,
    pub last: f64,
    pub least: f64,
    pub most: f64,
    pub pattern: String,
}

impl Drift {
    /// From the least to the most, and from the first to the last.
    pub fn range(&self) -> String {
        let Self {
            first,
            last,
            least,
            most,
            ..
        } = self;
        format!("{least:.1} to {most:.1}; {first:.1} at the start, {last:.1} at the end")
    }
}

impl DeviceInfo {
    pub fn of(device: &Device) -> Self {
        let (backend, driver) = match device {
            Device::Gpu(gpu) => {
                let info = gpu.gpu.info();
                let driver = format!("{} {}", info.driver, info.driver_info);
                (info.backend.to_string(), driver.trim().to_owned())
            }
            Device::Cpu => ("threads".to_owned(), String::new()),
        };
        Self {
            name: device.name(),
            kind: device.kind(),
            backend,
            driver,
        }
    }
}

impl Row {
    pub fn ideal_bytes(&self) -> u64 {
        self.op.ideal_bytes(self.case.bytes())
    }

    /// Ideal bytes a second.
    pub fn rate(&self) -> f64 {
        self.ideal_bytes() as f64 / self.timing.summary.median
    }

    /// Of the device's fastest copy.
    pub fn of_copy(&self) -> f64 {
        self.rate() / self.bandwidth.copy
    }

    /// Of the time that the best copy and sum kernels would take.
    pub fn of_floor(&self) -> f64 {
        self.of_floor_in(self.timing.summary.median)
    }

    /// The same for a run of so many seconds.
    pub fn of_floor_in(&self, seconds: f64) -> f64 {
        self.bandwidth.floor(self.op, self.case.bytes()) / seconds
    }
}

impl Report {
    /// The rows of the same operation on the same shape, device by device.
    pub fn side_by_side(&self) -> Vec<Vec<&Row>> {
        let mut groups: Vec<Vec<&Row>> = Vec::new();
        for row in &self.rows {
            let same = |other: &Row| other.case == row.case && other.op == row.op;
            match groups.last_mut().filter(|group| same(group[0])) {
                Some(group) => group.push(row),
                None => groups.push(vec![row]),
            }
        }
        groups
    }

    pub fn kinds_of_bandwidth(&self, device: &str) -> Vec<&'static str> {
        let mut kinds = Vec::new();
        for row in self.bandwidth.iter().filter(|row| row.device == device) {
            if !kinds.contains(&row.measured.what) {
                kinds.push(row.measured.what);
            }
        }
        kinds
    }

    /// A bandwidth over the run.
    pub fn drift(&self, device: &str, what: &str) -> Drift {
        let mine = |row: &&BandwidthRow| row.device == device && row.measured.what == what;
        let rows = || self.bandwidth.iter().filter(mine);
        let rates: Vec<_> = rows().map(|row| row.measured.rate() / 1e9).collect();
        let median = summary(rates.clone(), rates.len()).map_or(0.0, |s| s.median);
        Drift {
            median,
            first: rates.first().copied().unwrap_or(0.0),
            last: rates.last().copied().unwrap_or(0.0),
            least: rates.iter().copied().fold(f64::INFINITY, f64::min),
            most: rates.iter().copied().fold(0.0, f64::max),
            pattern: rows()
                .next()
                .map_or("", |row| &row.measured.pattern)
                .to_owned(),
        }
    }
}
