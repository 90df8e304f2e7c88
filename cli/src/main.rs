//! The command `zensaibo`.

use zensaibo_core::progress::CancelToken;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

// Of mimalloc, the allocator above.
unsafe extern "C" {
    fn mi_option_set(option: std::ffi::c_int, value: std::ffi::c_long);
}

/// `mi_option_purge_delay`: milliseconds after which free memory goes back to the system.
const PURGE_DELAY: std::ffi::c_int = 15;

/// Work on blocks frees and takes the same large buffers again and again. Between two blocks they stay ours: the system
/// would hand them out anew page by page, each cleared, which costs a fifth of the time.
fn keep_buffers() {
    if std::env::args_os().nth(1).is_some_and(|command| command == "detect" || command == "segment") {
        // SAFETY: no other thread runs yet, as the function asks.
        unsafe { mi_option_set(PURGE_DELAY, 3000) };
    }
}

fn main() {
    keep_buffers();
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
