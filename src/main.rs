//! The `mien` program: parse, run, print the error once, exit code.

use std::process::ExitCode;

use mien::memory::{self, LineAligned};

#[global_allocator]
static ALLOCATOR: LineAligned = LineAligned;

fn main() -> ExitCode {
    // SAFETY: there is no other thread yet.
    unsafe { memory::keep_pages() };
    match mien::cli::main(std::env::args_os()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
