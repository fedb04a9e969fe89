//! [`Process`]: what the process itself uses, under the names that Prometheus' clients give it (GOST reference, admin 2).

use std::fmt;
use std::fs;
use std::io;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// Reads it from /proc whenever it is asked for.
#[derive(Debug)]
pub(crate) struct Process;

/// What is read at one time.
struct Usage {
    cpu_seconds: f64,
    /// Since 1970.
    start_seconds: f64,
    virtual_bytes: u64,
    resident_bytes: u64,
    open_files: u64,
}

impl Usage {
    fn read() -> io::Result<Self> {
        let missing = || io::Error::from(io::ErrorKind::InvalidData);
        let stat = fs::read_to_string("/proc/self/stat")?;
        // The name before them is in parentheses, and may have any character. proc_pid_stat(5) counts from 1; `state` is 3.
        let fields: Vec<&str> = stat.rsplit_once(") ").ok_or_else(missing)?.1.split(' ').collect();
        let field =
            |number: usize| fields.get(number - 3).and_then(|text| text.parse::<u64>().ok()).ok_or_else(missing);
        let booted = fs::read_to_string("/proc/stat")?;
        let booted = booted.lines().find_map(|line| line.strip_prefix("btime ")?.parse::<u64>().ok());
        let seconds = |ticks: u64| ticks as f64 / clock_ticks_per_second() as f64;
        Ok(Self {
            cpu_seconds: seconds(field(14)? + field(15)?),
            start_seconds: booted.ok_or_else(missing)? as f64 + seconds(field(22)?),
            virtual_bytes: field(23)?,
            resident_bytes: field(24)? * page_size() as u64,
            // One of them is this folder.
            open_files: (fs::read_dir("/proc/self/fd")?.count() as u64).saturating_sub(1),
        })
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // A process that can't read about itself has nothing to tell.
        let Ok(usage) = Usage::read() else { return Ok(()) };
        let max_files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let cpu = ConstCounter::new(usage.cpu_seconds);
        cpu.encode(encoder.encode_descriptor("process_cpu_seconds", "CPU time", None, cpu.metric_type())?)?;
        for (name, help, value) in [
            ("process_start_time_seconds", "When the process started, since 1970", usage.start_seconds),
            ("process_virtual_memory_bytes", "Virtual memory", usage.virtual_bytes as f64),
            ("process_resident_memory_bytes", "Resident memory", usage.resident_bytes as f64),
            ("process_open_fds", "Open file descriptors", usage.open_files as f64),
            ("process_max_fds", "File descriptors that may be open", max_files as f64),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_makes_sense() {
        let usage = Usage::read().unwrap();
        assert!(usage.resident_bytes > 1 << 16 && usage.virtual_bytes >= usage.resident_bytes);
        assert!(usage.open_files >= 3 && usage.cpu_seconds >= 0.0);
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        assert!((now - 86_400.0..now + 60.0).contains(&usage.start_seconds), "{}", usage.start_seconds);
    }
}
