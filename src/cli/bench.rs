//! todo
use super::failure::Failure;
#[derive(clap::Args)]
pub struct Arguments {}
pub fn run(_a: &Arguments) -> Result<(), Failure> { Ok(()) }
