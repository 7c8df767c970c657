//! The parts that every scenario has: its options, its comparison, and its measurement.

use crate::bench::load::options::LoadOptions;
use crate::bench::load::report::Report;
use crate::bench::load::settings::ComparedSettings;
use crate::bench::load::template::LoadDialect;
use crate::terminal::failure::Failure;

/// A load that is measured once for each protocol.
pub trait Scenario {
    fn plan(&self) -> &ScenarioPlan;
    /// Measures on a server with these settings.
    fn measure(&self, dialect: LoadDialect, settings: &ComparedSettings) -> Result<Report, Failure>;
}

/// The flags of every scenario, beside its own.
#[derive(clap::Args)]
pub struct ScenarioPlan {
    #[command(flatten)]
    pub options: LoadOptions,
    #[command(flatten)]
    pub comparison: Comparison,
}

#[derive(clap::Args, Clone, Debug)]
pub struct Comparison {
    /// Compare: knobs of side A, or profile=NAME
    #[arg(long, value_name = "KEY=VALUE", conflicts_with_all = ["url", "smoke", "chart", "report"])]
    pub set: Vec<String>,
    /// Compare: knobs of side B [default: those of --profile]
    #[arg(long, value_name = "KEY=VALUE", requires = "set")]
    pub against: Vec<String>,
    /// Compare: rounds, each loading both sides for --seconds
    #[arg(long, value_name = "N", default_value_t = 5, requires = "set", value_parser = clap::value_parser!(u32).range(2..=1_000))]
    pub rounds: u32,
}

impl Comparison {
    pub fn is_wanted(&self) -> bool {
        !self.set.is_empty()
    }
}
