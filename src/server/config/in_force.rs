//! The settings of a running server, for those who ask it.

use crate::server::config::knobs::KNOBS;
use crate::server::config::options::Options;

pub struct SettingInForce {
    pub key: &'static str,
    /// As it would stand in a TOML file.
    pub value: String,
    pub source: String,
    pub about: &'static str,
}

/// Every setting; a start may have changed values to fit the host.
pub fn settings_in_force(options: &Options) -> impl Iterator<Item = SettingInForce> + '_ {
    KNOBS.iter().enumerate().map(|(index, knob)| SettingInForce {
        key: knob.key,
        value: knob.shown(options),
        source: options.sources.get(index).cloned().unwrap_or_else(|| "default".to_owned()),
        about: knob.doc,
    })
}
