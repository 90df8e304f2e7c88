//! The command line, as a function of its arguments.
//!
//! Results go to standard output, progress and errors to standard error. Exit codes: 0 done, 2 bad usage or
//! options, 3 bad input, 4 a result that cannot be trusted, 130 interrupted, 1 anything else (a full disk, a
//! defect of zensaibo).

mod atlas;
mod cells;
mod cluster;
mod concat;
mod config;
mod convert;
mod count;
mod detect;
mod inspect;
mod map;
mod merge;
mod options;
mod register;
mod run_blocks;
mod segment;
mod space;
mod stitch;
mod subset;
mod track;
mod volume;

use std::ffi::OsString;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use clap::{Parser, Subcommand};
use zensaibo_core::progress::CancelToken;
use zensaibo_core::{Error, Result};

/// Exit code after an interruption.
pub const INTERRUPTED: i32 = 130;

/// Single-cell omics, from raw counts to annotated clusters; cells in tissue; cells in volumes of cleared tissue, and in atlases.
#[derive(Debug, Parser)]
#[command(
    name = "zensaibo",
    version,
    max_term_width = 100,
    after_help = "Examples:\n  \
        zensaibo inspect counts.h5ad\n  \
        zensaibo cluster filtered_feature_bc_matrix/ -o out.h5ad --report report.html\n  \
        zensaibo config cluster > cluster.toml\n  \
        zensaibo cluster counts.h5ad -o out.h5ad --config cluster.toml --set leiden.resolution=0.5\n  \
        zensaibo convert filtered_feature_bc_matrix.h5 counts.h5ad\n  \
        zensaibo space cells.h5ad -o out.h5ad --cluster cell_type --report space.html\n  \
        zensaibo map spatial.h5ad --reference cells.h5ad -o typed.h5ad --report map.html\n  \
        zensaibo concat first.h5ad second.h5ad -o all.h5ad\n  \
        zensaibo subset all.h5ad -o liver.h5ad --obs tissue=liver\n  \
        zensaibo convert planes/ brain.ome.zarr --spacing 5,2,2\n  \
        zensaibo detect brain.ome.zarr --soma-diameter 16 -o cells.parquet --report cells.html\n  \
        zensaibo cells signal.tif --background autofluorescence.tif --spacing 5,2,2 --orientation psl \\\n      \
            --atlas allen_mouse_25um/ -o brain/\n\n\
        Exit codes: 0 done, 2 bad usage or options, 3 bad input, 4 a result that cannot be trusted,\n\
        130 interrupted, 1 anything else."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Inspect(inspect::Args),
    Convert(convert::Args),
    Concat(concat::Args),
    Subset(subset::Args),
    Config(config::Args),
    Cluster(Box<cluster::Args>),
    Space(Box<space::Args>),
    Map(Box<map::Args>),
    Detect(Box<detect::Args>),
    Segment(Box<segment::Args>),
    Stitch(Box<stitch::Args>),
    Track(Box<track::Args>),
    Register(Box<register::Args>),
    Count(Box<count::Args>),
    Cells(Box<cells::Args>),
    RunBlocks(Box<run_blocks::Args>),
    Merge(Box<merge::Args>),
}

/// Runs the command line `args` (the program's name first) and returns the exit code. Stops soon after
/// `cancel` is set. Never panics.
pub fn run<T: Into<OsString> + Clone>(args: impl IntoIterator<Item = T>, cancel: &CancelToken) -> i32 {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come as "errors" that belong on standard output.
            let code = if error.use_stderr() { 2 } else { 0 };
            return if error.print().is_ok() { code } else { 1 };
        }
    };
    // For what looks at an input before there is a computation, which may wait for a server.
    cancel.adopt();
    let outcome = catch_unwind(AssertUnwindSafe(|| match &cli.command {
        Command::Inspect(args) => inspect::run(args, cancel),
        Command::Convert(args) => convert::run(args, cancel),
        Command::Concat(args) => concat::run(args, cancel),
        Command::Subset(args) => subset::run(args, cancel),
        Command::Config(args) => config::run(args, cancel),
        Command::Cluster(args) => cluster::run(args, cancel),
        Command::Space(args) => space::run(args, cancel),
        Command::Map(args) => map::run(args, cancel),
        Command::Detect(args) => detect::run(args, cancel),
        Command::Segment(args) => segment::run(args, cancel),
        Command::Stitch(args) => stitch::run(args, cancel),
        Command::Track(args) => track::run(args, cancel),
        Command::Register(args) => register::run(args, cancel),
        Command::Count(args) => count::run(args, cancel),
        Command::Cells(args) => cells::run(args, cancel),
        Command::RunBlocks(args) => run_blocks::run(args, cancel),
        Command::Merge(args) => merge::run(args, cancel),
    }));
    let outcome = outcome.unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().cloned();
        let message = message.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(Error::Internal(message.unwrap_or_else(|| "a panic without a message".into())))
    });
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("zensaibo: {error}");
            exit_code(&error)
        }
    }
}

/// The exit code that says who must act.
fn exit_code(error: &Error) -> i32 {
    match error {
        Error::Parameter { .. } => 2,
        Error::Data { .. } | Error::Key { .. } | Error::Format { .. } | Error::Limit { .. } => 3,
        // What could not be read is bad input; a disk that is full is not.
        Error::Io { action, .. } => {
            if action.starts_with("read") || action.starts_with("open") {
                3
            } else {
                1
            }
        }
        Error::NotConverged { .. } | Error::NotTrustworthy { .. } => 4,
        Error::Interrupted => INTERRUPTED,
        // Met and answered where passes are shared; here it is as good as a defect.
        Error::PartDone | Error::Internal(_) => 1,
    }
}

/// Writes to standard output. A reader that went away (`| head`) ends the command in peace.
///
/// # Errors
/// [`Error::Io`] when standard output refuses for another reason.
fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::io("standard output", "write", error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
