//! todo
use super::failure::Failure;
use super::sources::ConfigurationFlags;
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    configuration: ConfigurationFlags,
}
pub fn run(_a: &Arguments) -> Result<(), Failure> { Ok(()) }
