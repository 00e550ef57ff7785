//! The agent with one more step of the schema (feature `test-migration`), under a name of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    holdfast::cli::main(std::env::args_os())
}
