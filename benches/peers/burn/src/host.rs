//! What the measurements were made on, and with.

use std::time::{SystemTime, UNIX_EPOCH};

use burn::tensor::Device;
use burn::tensor::wgpu::wgpu;
use serde_json::{Value, json};

/// The adapter that Burn chose.
pub struct Adapter {
    pub name: String,
    pub backend: String,
    driver: String,
    software: bool,
}

impl Adapter {
    /// Burn tells only the name; the rest is what wgpu says of that adapter.
    pub fn of(device: &Device) -> Result<Self, String> {
        let name = device.identity().ok_or("Burn names no adapter")?.name;
        let backends = wgpu::Backends::PRIMARY;
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends,
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        });
        let adapters = pollster::block_on(instance.enumerate_adapters(backends));
        let info = adapters
            .iter()
            .map(wgpu::Adapter::get_info)
            .find(|info| info.name == name)
            .ok_or_else(|| format!("wgpu knows no adapter {name}"))?;
        Ok(Self {
            name,
            backend: info.backend.to_str().to_owned(),
            driver: format!("{} {}", info.driver, info.driver_info),
            software: info.device_type == wgpu::DeviceType::Cpu,
        })
    }

    /// The rotated inputs together are at least as large, so that no cache
    /// holds them.
    pub fn cache_bytes(&self) -> usize {
        if self.software { 128 << 20 } else { 512 << 20 }
    }

    pub fn json(&self) -> Value {
        json!({
            "name": self.name,
            "kind": if self.software { "software" } else { "gpu" },
            "backend": self.backend,
            "driver": self.driver,
        })
    }
}

/// The version of Burn that this program was built with.
pub fn burn_version() -> &'static str {
    include_str!("../Cargo.lock")
        .lines()
        .skip_while(|line| *line != "name = \"burn\"")
        .nth(1)
        .and_then(|line| line.split('"').nth(1))
        .unwrap_or("unknown")
}

pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

pub fn cpu() -> String {
    std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        })
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// The time in UTC, as in `2026-01-31T12:00:00+00:00`.
pub fn now() -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    let (day, second) = (seconds / 86400, seconds % 86400);
    let (year, month, day) = date(day);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!(
        "{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}+00:00",
        second % 60
    )
}

/// Year, month and day of a day counted from 1970-01-01.
fn date(mut day: u64) -> (u64, u64, u64) {
    let mut year = 1970;
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    (year, month, day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(11_016), (2000, 2, 29));
        assert_eq!(date(20_454), (2026, 1, 1));
        assert_eq!(date(20_453), (2025, 12, 31));
    }

    #[test]
    fn the_version_is_that_of_the_lock_file() {
        assert!(burn_version().starts_with("0.22."));
    }
}
