//! The program `wgbn`; what it does is in its library.

use std::process::ExitCode;

fn main() -> ExitCode {
    quiet_drivers();
    wgbn::main()
}

/// Mesa's layer for choosing a GPU asks for a Wayland session and complains on stderr where there
/// is none; without a session it has nothing to choose by.
fn quiet_drivers() {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: the first statement of `main`, before any other thread exists.
        #[allow(unsafe_code)]
        unsafe {
            std::env::set_var("NODEVICE_SELECT", "1");
        }
    }
}
