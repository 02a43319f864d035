//! The `mien` program: parse, run, print the error once, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    mien::cli::keep_memory();
    match mien::cli::main(std::env::args_os()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
