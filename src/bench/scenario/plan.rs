//! What every scenario tells: its options, what it compares, and how it is measured.

use crate::bench::load::options::LoadOptions;
use crate::bench::load::report::Report;
use crate::bench::load::settings::ComparedSettings;
use crate::bench::load::template::LoadDialect;
use crate::terminal::failure::Failure;

/// A load that is measured once per protocol.
pub trait Scenario {
    fn plan(&self) -> &ScenarioPlan;
    /// On a server of ours with these settings.
    fn measure(&self, dialect: LoadDialect, settings: &ComparedSettings) -> Result<Report, Failure>;
}

/// What every scenario is asked for, beside its own flags.
#[derive(clap::Args)]
pub struct ScenarioPlan {
    #[command(flatten)]
    pub options: LoadOptions,
    #[command(flatten)]
    pub comparison: Comparison,
}

#[derive(clap::Args, Clone, Debug)]
pub struct Comparison {
    /// Compare: the knobs of side A, or profile=NAME
    #[arg(long, value_name = "KEY=VALUE", conflicts_with_all = ["url", "smoke", "chart", "report"])]
    pub set: Vec<String>,
    /// Compare: the knobs of side B [default: what --profile has]
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
