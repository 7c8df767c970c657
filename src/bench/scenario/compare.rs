//! Compares two configurations under the same load: the effect of a knob as a ratio of alternating rounds.
//!
//! A busy machine slows both sides down alike, so the ratio of one round says more than its figures. A difference
//! counts as an effect only if every round agrees on its direction.

use crate::bench::load::report::{Conditions, Messages, Report, Shape};
use crate::bench::load::settings::ComparedSettings;
use crate::bench::scenario::plan::{Scenario, ScenarioPlan};
use crate::terminal::failure::Failure;
use crate::terminal::print::print;
use serde::Serialize;
use std::ffi::OsString;
use std::fmt;

/// A smaller ratio does not count as an effect, even if all rounds agree.
const LEAST_EFFECT: f64 = 0.02;

/// Loads both sides in every round, alternately beginning with one and with the other.
pub fn run(scenario: &impl Scenario) -> Result<(), Failure> {
    let ScenarioPlan { options, comparison } = scenario.plan();
    let sides = [ComparedSettings::parse(&comparison.set)?, ComparedSettings::parse(&comparison.against)?];
    refuse_foreign_variables(std::env::vars_os().map(|(name, _)| name))?;
    for &dialect in options.dialects() {
        let mut rounds = Vec::new();
        for round in 0..comparison.rounds {
            let first = (round % 2) as usize;
            let one = scenario.measure(dialect, &sides[first])?;
            let other = scenario.measure(dialect, &sides[1 - first])?;
            if !(one.is_exact() && other.is_exact()) {
                return Err(Failure::new("not every message was delivered exactly once and in order"));
            }
            rounds.push(if first == 0 { [one, other] } else { [other, one] });
        }
        let found = ComparisonReport::new(&sides, &rounds);
        let json = || serde_json::to_string(&found).expect("a report is plain data");
        print(&if options.json { json() } else { found.to_string() })?;
    }
    Ok(())
}

/// Refuses environment variables that would silently apply to both sides.
fn refuse_foreign_variables(names: impl Iterator<Item = OsString>) -> Result<(), Failure> {
    let is_knob = |name: &str| name.starts_with("MUSHAN_") && name.contains("__");
    match names.filter_map(|name| name.into_string().ok()).find(|name| is_knob(name)) {
        Some(name) => {
            Err(Failure::new(format!("{name} is set: a comparison takes knobs from --set and --against only")))
        }
        None => Ok(()),
    }
}

/// The results of both sides for one measure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MeasuredEffect {
    measure: String,
    /// Medians over the rounds.
    a: f64,
    b: f64,
    /// A divided by B in each round: the median, the least and the greatest.
    ratio: f64,
    ratio_min: f64,
    ratio_max: f64,
    /// All rounds agree on the direction, and the median exceeds the least effect.
    is_measurable: bool,
}

impl MeasuredEffect {
    fn new(measure: String, pairs: &[[f64; 2]]) -> Self {
        let ratios: Vec<f64> = pairs.iter().map(|[a, b]| a / b).collect();
        let ratio = median(&ratios);
        let agree = ratios.iter().all(|&ratio| ratio > 1.0) || ratios.iter().all(|&ratio| ratio < 1.0);
        Self {
            measure,
            a: median(&pairs.iter().map(|pair| pair[0]).collect::<Vec<_>>()),
            b: median(&pairs.iter().map(|pair| pair[1]).collect::<Vec<_>>()),
            ratio,
            ratio_min: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            ratio_max: ratios.iter().copied().fold(0.0, f64::max),
            is_measurable: agree && (ratio - 1.0).abs() >= LEAST_EFFECT,
        }
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

#[derive(Debug, Serialize)]
struct ComparisonReport {
    scenario: &'static str,
    a: String,
    b: String,
    rounds: usize,
    conditions: Conditions,
    shape: Shape,
    effects: Vec<MeasuredEffect>,
}

impl ComparisonReport {
    fn new(sides: &[ComparedSettings; 2], rounds: &[[Report; 2]]) -> Self {
        let effects = measures(&rounds[0][0]).into_iter().enumerate().filter_map(|(index, (name, _))| {
            let value = |report: &Report| measures(report).get(index).and_then(|(_, value)| *value);
            let pairs = rounds.iter().map(|[a, b]| Some([value(a)?, value(b)?]));
            let pairs = pairs.collect::<Option<Vec<_>>>()?;
            // A value of 0 has no ratio.
            pairs.iter().flatten().all(|&value| value > 0.0).then(|| MeasuredEffect::new(name, &pairs))
        });
        Self {
            scenario: rounds[0][0].scenario,
            a: sides[0].to_string(),
            b: sides[1].to_string(),
            rounds: rounds.len(),
            conditions: rounds[0][0].conditions.clone(),
            shape: rounds[0][0].shape.clone(),
            effects: effects.collect(),
        }
    }
}

/// The measures that all reports of a scenario have, in the same order.
fn measures(report: &Report) -> Vec<(String, Option<f64>)> {
    type Measure = (&'static str, fn(&Messages) -> Option<f64>);
    const OF_MESSAGES: [Measure; 5] = [
        ("CPU per message, µs", |messages| messages.server_cpu_us_per_delivered),
        ("send to push p50, µs", |messages| Some(messages.send_to_push.p50_us)),
        ("send to push p99, µs", |messages| Some(messages.send_to_push.p99_us)),
        ("send to answer p99, µs", |messages| Some(messages.send_to_answer.p99_us)),
        ("delivered per second", |messages| Some(messages.delivered_per_s)),
    ];
    let of_messages =
        OF_MESSAGES.into_iter().map(|(name, value)| (name.to_owned(), report.messages.as_ref().and_then(value)));
    let beside = [
        ("records per sync".to_owned(), report.records_per_sync),
        ("bytes per connection".to_owned(), report.memory_bytes_per_connection),
    ];
    let figures = report.figures.iter().map(|it| (format!("{}, {}", it.name, it.unit), Some(it.value)));
    of_messages.chain(beside).chain(figures).collect()
}

impl fmt::Display for ComparisonReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "A: {}\nB: {}", self.a, self.b)?;
        writeln!(out, "{} {}; {} rounds of it, in turn", self.scenario, self.shape, self.rounds)?;
        writeln!(out, "{}, unless A or B says otherwise", self.conditions)?;
        let width = self.effects.iter().map(|effect| effect.measure.chars().count()).max().unwrap_or(0).max(24);
        write!(out, "{:<width$} {:>10} {:>10} {:>7}  rounds from to", "median", "A", "B", "A/B")?;
        for effect in &self.effects {
            let MeasuredEffect { measure, a, b, ratio, ratio_min, ratio_max, is_measurable } = effect;
            let verdict = if *is_measurable { "" } else { "  no measurable effect here" };
            write!(
                out,
                "\n{measure:<width$} {a:>10.2} {b:>10.2} {ratio:>7.3}  {ratio_min:.3} {ratio_max:.3}{verdict}"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(assignments: &[&str]) -> Result<ComparedSettings, Failure> {
        ComparedSettings::parse(&assignments.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn knobs_become_variables_and_a_profile_is_a_profile() {
        let settings = settings(&["server.spin_us=0", "profile=latency"]).expect("sound");
        assert_eq!(settings.environment(), [("MUSHAN_SERVER__SPIN_US".to_owned(), "0".to_owned())]);
        assert_eq!(settings.profile(), Some("latency"));
        assert_eq!(settings.to_string(), "server.spin_us=0 profile=latency");
    }

    #[test]
    fn what_no_server_would_start_with_is_refused_before_any_round() {
        assert!(settings(&["server.spin_us"]).expect_err("no value").sentence.contains("KEY=VALUE"));
        let unknown =
            settings(&["server.spin=1", "server.events_per_turn_max=0"]).expect_err("unknown, and out of range");
        assert_eq!(unknown.details.len(), 2, "{:?}", unknown.details);
        assert!(settings(&["profile=fast"]).is_err());
        let names = ["PATH", "MUSHAN_BENCH_SMOKE", "MUSHAN_SERVER__SPIN_US"].map(OsString::from);
        assert!(refuse_foreign_variables(names.into_iter()).is_err());
    }

    fn effect(pairs: &[[f64; 2]]) -> MeasuredEffect {
        MeasuredEffect::new("x".to_owned(), pairs)
    }

    #[test]
    fn an_effect_is_what_every_round_agrees_on() {
        let clear = effect(&[[9.0, 10.0], [18.0, 20.0], [8.0, 10.0]]);
        assert_eq!((clear.ratio, clear.is_measurable), (0.9, true));
        assert!(!effect(&[[9.0, 10.0], [11.0, 10.0], [9.0, 10.0]]).is_measurable, "they do not agree");
        assert!(!effect(&[[9.9, 10.0], [9.9, 10.0]]).is_measurable, "a trifle");
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
    }
}
