//! What a stage costs: seconds on the wall, seconds of CPU over all threads, peak memory of the process.

use std::time::Instant;

use serde::{Deserialize, Serialize};

/// The cost of one finished stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageRecord {
    /// Name of the stage.
    pub name: String,
    /// What it did, in a few words ("2,638 of 2,700 cells").
    pub note: String,
    /// Seconds on the wall.
    pub wall_seconds: f64,
    /// Seconds of CPU, user and system, over all threads of the process.
    pub cpu_seconds: f64,
    /// The most memory that the process had held by the end of the stage, in bytes; 0 where the system does not tell.
    pub peak_bytes: u64,
}

/// A running clock; read it once, at the end of the stage.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall: Instant,
    cpu: f64,
}

impl Clock {
    /// Starts now.
    pub fn start() -> Self {
        Self { wall: Instant::now(), cpu: cpu_seconds() }
    }

    /// The cost since the start.
    pub fn read(&self, name: &str, note: String) -> StageRecord {
        StageRecord {
            name: name.to_string(),
            note,
            wall_seconds: self.wall.elapsed().as_secs_f64(),
            cpu_seconds: (cpu_seconds() - self.cpu).max(0.0),
            peak_bytes: peak_bytes(),
        }
    }
}

/// CPU seconds of this process so far, user and system, all threads.
pub fn cpu_seconds() -> f64 {
    usage().map_or(0.0, |usage| seconds(usage.ru_utime) + seconds(usage.ru_stime))
}

/// The most memory this process has held, in bytes: `VmHWM` of `/proc/self/status` where there is one, what
/// `getrusage` says elsewhere, 0 where neither answers.
pub fn peak_bytes() -> u64 {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| high_water_mark(&status))
        .or_else(|| {
            // Kilobytes on Linux and the BSDs, bytes on macOS.
            let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
            usage().map(|usage| usage.ru_maxrss.max(0) as u64 * unit)
        })
        .unwrap_or(0)
}

/// `VmHWM` of a Linux process status, in bytes.
fn high_water_mark(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

fn usage() -> Option<libc::rusage> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is valid for one rusage, which all zeros is, and getrusage fills it.
    let code = unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
    // SAFETY: initialised above, by zeros at least.
    (code == 0).then(|| unsafe { usage.assume_init() })
}

fn seconds(time: libc::timeval) -> f64 {
    time.tv_sec as f64 + time.tv_usec as f64 * 1e-6
}

/// 1234567 as "1,234,567".
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes as "812 MB", "1.63 GB" (powers of ten, as file listings and memory limits are written).
pub fn bytes_text(bytes: u64) -> String {
    let value = bytes as f64;
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.0} kB", value / 1e3),
        1_000_000..1_000_000_000 => format!("{:.0} MB", value / 1e6),
        _ => format!("{:.2} GB", value / 1e9),
    }
}

/// "1 cell", "2,700 cells".
pub fn counted(number: usize, what: &str) -> String {
    format!("{} {what}{}", grouped(number as u64), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(bytes_text(812_345_678), "812 MB");
        assert_eq!(bytes_text(1_634_000_000), "1.63 GB");
        assert_eq!(counted(1, "cell"), "1 cell");
        assert_eq!(counted(2700, "cell"), "2,700 cells");
    }

    #[test]
    fn the_high_water_mark_is_read() {
        assert_eq!(high_water_mark("Name:\tx\nVmHWM:\t   2048 kB\nVmRSS: 1 kB\n"), Some(2048 * 1024));
        assert_eq!(high_water_mark("Name:\tx\n"), None);
        assert!(peak_bytes() > 100_000);
    }

    #[test]
    fn cpu_time_passes_under_work() {
        let clock = Clock::start();
        let mut x = 1.0f64;
        while clock.wall.elapsed().as_millis() < 60 {
            x = (x + 1.0).sqrt();
        }
        let record = clock.read("work", format!("{x}"));
        assert!(record.cpu_seconds > 0.0 && record.wall_seconds >= 0.06, "{record:?}");
    }
}
