//! What a run shows while it runs: bars on a terminal, plain lines elsewhere, nothing when quiet.

use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use zensaibo_core::progress::Progress;

use crate::measure::{StageRecord, bytes_text};
use crate::recipe::Hooks;

/// How much is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Nothing.
    Nothing,
    /// A line on standard error per finished stage.
    Lines,
    /// A bar for the running stage, on a terminal.
    Bars,
}

impl Show {
    /// Bars on a terminal, lines elsewhere, nothing when `quiet`.
    pub fn fitting(quiet: bool) -> Self {
        match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Self::Nothing,
            (false, true) => Self::Bars,
            (false, false) => Self::Lines,
        }
    }
}

/// Shows stages of a recipe and the progress of the algorithms inside them, on standard error.
pub struct Terminal {
    show: Show,
    bar: Mutex<Option<ProgressBar>>,
    stage: Mutex<String>,
}

impl Terminal {
    /// A reporter that shows as much as `show` says.
    pub fn new(show: Show) -> Arc<Self> {
        Arc::new(Self { show, bar: Mutex::default(), stage: Mutex::default() })
    }

    fn bar(&self) -> MutexGuard<'_, Option<ProgressBar>> {
        self.bar.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn stage(&self) -> MutexGuard<'_, String> {
        self.stage.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes the bar away, as before the last words of a run.
    pub fn clear(&self) {
        if let Some(bar) = self.bar().take() {
            bar.finish_and_clear();
        }
    }

    /// "neighbors", or "neighbors: search" where an algorithm names its own part.
    fn label(&self, part: &str) -> String {
        let stage = self.stage();
        if stage.is_empty() || *stage == part { part.to_string() } else { format!("{stage}: {part}") }
    }
}

fn style(total: u64) -> ProgressStyle {
    let template = if total > 0 {
        "{msg:<32} {bar:30.cyan/238} {percent:>3} %  {elapsed}"
    } else {
        "{msg:<32} {spinner}  {elapsed}"
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━━─")
}

impl Progress for Terminal {
    fn start(&self, part: &str, total: u64) {
        if self.show != Show::Bars {
            return;
        }
        let label = self.label(part);
        let mut bar = self.bar();
        if let Some(old) = bar.take() {
            old.finish_and_clear();
        }
        let new = ProgressBar::with_draw_target((total > 0).then_some(total), ProgressDrawTarget::stderr())
            .with_style(style(total));
        new.set_message(label);
        new.enable_steady_tick(Duration::from_millis(120));
        *bar = Some(new);
    }

    fn advance(&self, amount: u64) {
        if let Some(bar) = &*self.bar() {
            bar.inc(amount);
        }
    }

    fn finish(&self) {
        self.clear();
    }
}

impl Hooks for Terminal {
    fn started(&self, stage: &str) {
        *self.stage() = stage.to_string();
        self.start(stage, 0);
    }

    fn finished(&self, record: &StageRecord) {
        self.clear();
        self.stage().clear();
        if self.show != Show::Nothing {
            eprintln!("{}", line(record));
        }
    }
}

/// A finished stage in one line.
fn line(record: &StageRecord) -> String {
    format!(
        "{:<12}{:>8.2} s {:>8.2} CPU s {:>9} peak   {}",
        record.name,
        record.wall_seconds,
        record.cpu_seconds,
        bytes_text(record.peak_bytes),
        record.note
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_a_stage_cost() {
        let record = StageRecord {
            name: "leiden".into(),
            note: "8 clusters".into(),
            wall_seconds: 1.234,
            cpu_seconds: 2.0,
            peak_bytes: 812_000_000,
        };
        assert_eq!(line(&record), "leiden          1.23 s     2.00 CPU s    812 MB peak   8 clusters");
    }

    #[test]
    fn bars_open_and_close() {
        let terminal = Terminal::new(Show::Bars);
        terminal.started("umap");
        terminal.start("layout", 10);
        assert_eq!(terminal.label("layout"), "umap: layout");
        terminal.advance(5);
        assert!(terminal.bar().is_some());
        terminal.finish();
        assert!(terminal.bar().is_none());
        terminal.advance(1);
    }
}
