//! The report as plain JSON.

use serde_json::{Value, json};

use super::report::{About, BandwidthRow, DeviceInfo, HostRow, Report, Row};

impl Report {
    /// Plain JSON; other programs write the same rows about other libraries.
    pub fn json(&self) -> Value {
        let About {
            command,
            commit,
            date,
            threads,
            cpu,
            quick,
            rotation_bytes,
        } = &self.about;
        json!({
            // The form, which the package `bench-record` checks.
            "schema": 1,
            "program": "wgpu-batchnorm",
            "version": env!("CARGO_PKG_VERSION"),
            "commit": commit,
            "date": date,
            "command": command,
            "quick": quick,
            "host": { "threads": threads, "cpu": cpu },
            "rotation_bytes": rotation_bytes,
            "devices": self.devices.iter().map(device).collect::<Value>(),
            "bandwidth": self.bandwidth.iter().map(bandwidth).collect::<Value>(),
            "rows": self.rows.iter().map(|r| row(r, self.engine(&r.device))).collect::<Value>(),
            "host_rows": self.host_rows.iter().map(|r| host_row(r, self.engine(&r.device))).collect::<Value>(),
            "skipped": self.skipped,
        })
    }

    /// What ran on the device.
    fn engine(&self, device: &str) -> &'static str {
        let is_cpu = |d: &DeviceInfo| d.name == device && d.kind == "cpu";
        match self.devices.iter().any(is_cpu) {
            true => "wgpu-batchnorm-cpu",
            false => "wgpu-batchnorm",
        }
    }
}

fn device(d: &DeviceInfo) -> Value {
    json!({ "name": d.name, "kind": d.kind, "backend": d.backend, "driver": d.driver })
}

fn bandwidth(b: &BandwidthRow) -> Value {
    let m = &b.measured;
    json!({
        "device": b.device, "what": m.what, "pattern": m.pattern, "when": b.when,
        "gb_per_s": round(m.rate() / 1e9), "bytes": m.bytes,
    })
}

fn row(r: &Row, engine: &str) -> Value {
    let s = &r.timing.summary;
    json!({
        "engine": engine, "suite": r.case.suite.name(), "device": r.device, "op": r.op.name(),
        "shape": r.case.shape, "layout": r.case.layout.name(),
        "element": r.case.element.name(),
        "elements": r.case.elements(), "ideal_bytes": r.ideal_bytes(),
        "median_ms": ms(s.median), "low_ms": ms(s.low), "high_ms": ms(s.high),
        "runs": s.runs, "clock": r.timing.clock.name(), "sets": r.sets,
        "gb_per_s": round(r.rate() / 1e9),
        "of_copy": round(r.of_copy()), "of_floor": round(r.of_floor()),
        "checked": r.checked,
    })
}

fn host_row(r: &HostRow, engine: &str) -> Value {
    let s = &r.summary;
    json!({
        "engine": engine, "device": r.device, "what": r.what, "median_ms": ms(s.median),
        "low_ms": ms(s.low), "high_ms": ms(s.high), "runs": s.runs,
    })
}

fn ms(seconds: f64) -> f64 {
    round(seconds * 1e3)
}

/// Five digits are more than a measurement has.
fn round(value: f64) -> f64 {
    format!("{value:.4e}").parse().unwrap_or(value)
}
