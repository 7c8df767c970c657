//! Settings of the server under load.

use crate::server::config::{Config, Sources};
use crate::terminal::failure::Failure;
use std::fmt;

const PROFILE: &str = "profile";

/// Knobs with other values than in the profile, as given on the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComparedSettings(Vec<(String, String)>);

impl ComparedSettings {
    pub fn parse(assignments: &[String]) -> Result<Self, Failure> {
        let parse = |text: &String| match text.split_once('=') {
            Some((key, value)) => Ok((key.trim().to_owned(), value.trim().to_owned())),
            None => Err(Failure::new(format!("\"{text}\": expected KEY=VALUE, for example server.spin_us=0"))),
        };
        let settings = Self(assignments.iter().map(parse).collect::<Result<_, _>>()?);
        let sources = Sources {
            profile: settings.profile().map(str::to_owned),
            environment: settings.environment().into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            ..Sources::default()
        };
        Config::read(&sources)?;
        Ok(settings)
    }

    pub fn profile(&self) -> Option<&str> {
        self.0.iter().rfind(|(key, _)| key == PROFILE).map(|(_, name)| name.as_str())
    }

    /// As environment variables for the server.
    pub fn environment(&self) -> Vec<(String, String)> {
        let knobs = self.0.iter().filter(|(key, _)| key != PROFILE);
        let variable = |key: &str| format!("MUSHAN_{}", key.to_ascii_uppercase().replace('.', "__"));
        knobs.map(|(key, value)| (variable(key), value.clone())).collect()
    }
}

impl fmt::Display for ComparedSettings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return out.write_str("the profile");
        }
        let assignments: Vec<String> = self.0.iter().map(|(key, value)| format!("{key}={value}")).collect();
        out.write_str(&assignments.join(" "))
    }
}
