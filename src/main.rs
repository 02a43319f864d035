//! The `mien` program; all of it is [`mien::cli::main`].

use std::process::ExitCode;

use mien::memory::{self, LineAligned};

#[global_allocator]
static ALLOCATOR: LineAligned = LineAligned;

fn main() -> ExitCode {
    // SAFETY: there is no other thread yet.
    unsafe { memory::keep_pages() };
    mien::cli::main(std::env::args_os())
}
