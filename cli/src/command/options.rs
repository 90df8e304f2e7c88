//! What the commands that take options share.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use toml::Value;
use zensaibo_core::parallel::with_threads;
use zensaibo_core::progress::CancelToken;
use zensaibo_core::{Ctx, Error, Result};

use crate::terminal::{Show, Terminal};

// No doc comment: clap would show it as that of the command.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Common {
    /// Options as TOML; `zensaibo config STEP` prints them all.
    #[arg(short, long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    /// Sets one option, after the file and the other flags; may be given several times.
    #[arg(long = "set", value_name = "SECTION.OPTION=VALUE")]
    set: Vec<String>,
    /// Threads to use; all cores by default. They change the time and nothing else.
    #[arg(short, long)]
    pub(super) threads: Option<usize>,
    /// Show neither progress nor summary.
    #[arg(short, long)]
    pub(super) quiet: bool,
}

impl Common {
    /// The text of the file of options, and what flags and `--set` put over it.
    pub(super) fn options(&self, flags: Vec<Option<String>>) -> Result<(String, Vec<String>)> {
        let text = self.config.as_deref().map_or(Ok(String::new()), read)?;
        let assignments = flags.into_iter().flatten().chain(self.set.iter().cloned()).collect();
        Ok((text, assignments))
    }
}

/// A file of options. What cannot be read is bad usage: the message says so, and so does the exit code.
pub(super) fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path)
        .map_err(|error| Error::parameter("--config", "a readable file", format!("{}: {error}", path.display())))
}

/// A flag as an assignment.
pub(super) fn assigned(place: &str, value: Option<impl Into<Value>>) -> Option<String> {
    value.map(|value| format!("{place}={}", value.into()))
}

/// Three lengths as an assignment.
pub(super) fn assigned_three(place: &str, value: Option<[f64; 3]>) -> Option<String> {
    assigned(place, value.map(|all| all.to_vec()))
}

/// Runs a recipe on so many threads, shows its progress, and prints what it tells unless `quiet`.
///
/// # Errors
/// Whatever `job` and standard output return.
pub(super) fn carry_out(
    quiet: bool,
    threads: Option<usize>,
    cancel: &CancelToken,
    job: impl FnOnce(&Terminal, &Ctx) -> Result<String> + Send,
) -> Result<()> {
    let terminal = Terminal::new(Show::fitting(quiet));
    let ctx = Ctx::new(cancel.clone(), terminal.clone());
    let outcome = with_threads(threads, || {
        // From here on this thread works for this command, also where it waits for a server.
        ctx.check()?;
        job(&terminal, &ctx)
    });
    terminal.clear();
    let told = outcome?;
    if quiet { Ok(()) } else { super::print(&told) }
}

/// The time of day for reports.
pub(super) fn now() -> String {
    utc(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs()))
}

/// Seconds since 1970 as "2026-11-21 04:15 UTC".
fn utc(seconds: u64) -> String {
    let (days, rest) = ((seconds / 86_400) as i64, seconds % 86_400);
    // Days to a date by eras of 400 years that begin on 1 March (Hinnant, "chrono-compatible low-level date algorithms").
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let date = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{date:02} {:02}:{:02} UTC", rest / 3600, rest % 3600 / 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(utc(0), "1970-01-01 00:00 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(utc(1_795_234_500), "2026-11-21 04:15 UTC");
    }
}
