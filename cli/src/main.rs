//! The command `zensaibo`.

use zensaibo_core::progress::CancelToken;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let cancel = CancelToken::default();
    let on_signal = cancel.clone();
    // The first signal asks the run to stop, which leaves no half-written file; the second does not wait.
    let handler = move || {
        if on_signal.is_cancelled() {
            std::process::exit(zensaibo_cli::command::INTERRUPTED);
        }
        on_signal.cancel();
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        eprintln!("zensaibo: signals are not handled: {error}");
    }
    std::process::exit(zensaibo_cli::command::run(std::env::args_os(), &cancel));
}
