//! Facts about this machine and this run.

use std::time::SystemTime;

use super::device::Device;
use super::report::About;
use super::suite::{MOST_ELEMENTS, QUICK_ELEMENTS};

/// `quick` runs go round in less than the caches hold.
pub fn about(quick: bool) -> About {
    About {
        command: command(),
        commit: option_env!("WGBN_COMMIT").map(str::to_owned),
        date: date(SystemTime::now()),
        threads: rayon::current_num_threads(),
        cpu: cpu(),
        quick,
        rotation_bytes: match quick {
            true => 16 << 20,
            false => rotation_bytes(last_cache()),
        },
    }
}

fn command() -> String {
    let words: Vec<_> = std::env::args().skip(1).collect();
    format!("wgbn {}", words.join(" "))
}

/// `2026-01-31T23:59:59Z`.
fn date(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March, counted from the year 0: the leap day is a year's last.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = 400 * era + year + later;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// As Linux tells it.
fn cpu() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Bytes of the last level of cache, as Linux tells it.
fn last_cache() -> Option<u64> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/cpu0/cache/index3/size").ok()?;
    Some(text.trim().strip_suffix('K')?.parse::<u64>().ok()? << 10)
}

/// Four times the caches, and no less than any GPU's.
fn rotation_bytes(last_cache: Option<u64>) -> u64 {
    (4 * last_cache.unwrap_or(0)).clamp(256 << 20, 1 << 30)
}

/// Bytes that can be had without swapping, as Linux tells it.
fn available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find(|line| line.starts_with("MemAvailable:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? << 10)
}

/// The largest tensor that every device holds, with room for all that is kept of it.
pub fn most_elements(devices: &[Device], quick: bool) -> usize {
    let mut most = if quick { QUICK_ELEMENTS } else { MOST_ELEMENTS } as u64;
    for device in devices {
        if let Device::Gpu(gpu) = device {
            most = most.min(gpu.device().limits().max_buffer_size / 4);
        }
    }
    // The inputs, four tensors a device (an adapter may share the host's memory), and the check's.
    let tensors = 2 + 4 * devices.len() as u64 + 4;
    let fits = available().map_or(most, |bytes| bytes / (4 * tensors));
    most.min(fits) as usize
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_as_the_calendar_has_them() {
        let at = |seconds| date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(at(1_709_251_199), "2024-02-29T23:59:59Z");
        assert_eq!(at(1_709_251_200), "2024-03-01T00:00:00Z");
        assert_eq!(at(4_102_444_799), "2099-12-31T23:59:59Z");
    }

    #[test]
    fn rotation_exceeds_the_caches() {
        assert_eq!(rotation_bytes(None), 256 << 20);
        assert_eq!(rotation_bytes(Some(96 << 20)), 384 << 20);
        assert_eq!(rotation_bytes(Some(1 << 30)), 1 << 30);
    }
}
