//! The agent with one more step of the schema, under a name of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    holdfast::store::migrations::know_next();
    holdfast::cli::main(std::env::args_os())
}
