//! How a deployment is to go over its targets, where that is to be otherwise than the charter says.

use crate::{
    failure::{Failure, OrMisused},
    invocation::duration,
};
use trust::{names::printable, rollout::RolloutTerms};

/// Options of the verbs that bring a build to targets.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Care {
    /// How many targets change at a time: a number, 25%, all
    #[arg(long, value_name = "SHARE")]
    pub at_once: Option<String>,
    /// How many targets change first, before all others
    #[arg(long, value_name = "NUMBER")]
    pub canary: Option<u32>,
    /// How long canaries, and every ring, must be well before the next begin: 10m, 2h
    #[arg(long, value_name = "DURATION")]
    pub bake: Option<String>,
    /// Anything else of the charter's rollout: min_healthy=80%, failure_budget=2, progress_minutes=20, on_failure=pause,
    /// advance=hand, rings=ring=early,rest. May be repeated
    #[arg(long = "rollout", value_name = "KEY=VALUE")]
    pub terms: Vec<String>,
}

impl Care {
    /// What is said, for the order.
    pub fn terms(&self) -> Result<RolloutTerms, Failure> {
        let mut terms = serde_json::Map::new();
        for pair in &self.terms {
            let Some((name, value)) = pair.split_once('=') else {
                return Err(Failure::misused(format!("'{}' is not KEY=VALUE", printable(pair))));
            };
            if !RolloutTerms::NAMES.contains(&name) {
                let known = RolloutTerms::NAMES.join(", ");
                return Err(Failure::misused(format!("a rollout has no '{}'; it has {known}", printable(name))));
            }
            let value = match value.parse::<u32>() {
                _ if name == "rings" => value.split(',').collect(),
                Ok(number) => number.into(),
                Err(_) => value.into(),
            };
            terms.insert(name.into(), value);
        }
        let mut terms: RolloutTerms =
            serde_json::from_value(terms.into()).map_err(|error| Failure::misused(format!("--rollout: {error}")))?;
        if let Some(share) = &self.at_once {
            terms.at_once = Some(share.parse().or_misused()?);
        }
        terms.canary = self.canary.or(terms.canary);
        if let Some(bake) = &self.bake {
            let seconds = duration(bake)?.as_secs();
            let minutes = seconds / 60;
            if seconds % 60 != 0 {
                let (bake, whole) = (printable(bake), minutes + 1);
                return Err(Failure::misused(format!("rings bake whole minutes, and {bake} is none: --bake {whole}m")));
            }
            terms.bake_minutes = Some(u32::try_from(minutes).or_misused()?);
        }
        Ok(terms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trust::rollout::{Advance, Ring, Share};

    #[test]
    fn flags_and_pairs_say_the_same() {
        let care = Care {
            at_once: Some("25%".into()),
            canary: Some(2),
            bake: Some("2m".into()),
            terms: ["rings=ring=early,rest", "advance=hand", "failure_budget=2"].map(String::from).to_vec(),
        };
        let terms = care.terms().unwrap();
        assert_eq!((terms.at_once, terms.canary, terms.bake_minutes), (Some(Share::Percent(25)), Some(2), Some(2)));
        assert_eq!((terms.advance, terms.failure_budget), (Some(Advance::Hand), Some(Share::Count(2))));
        assert_eq!(terms.rings.unwrap()[1], Ring::Rest);
        assert!(Care::default().terms().unwrap().is_empty());
        let bake = |bake: &str| Care { bake: Some(bake.into()), ..Care::default() }.terms();
        assert_eq!(bake("120s").unwrap().bake_minutes, Some(2));
        assert!(bake("90s").unwrap_err().problem.message.ends_with("90s is none: --bake 2m"));
        for (wrong, expected) in [
            ("waves=3", "a rollout has no 'waves'; it has at_once"),
            ("advance=soon", "unknown variant `soon`"),
            ("canary", "not KEY=VALUE"),
            ("at_once=200%", "1% to 100%"),
        ] {
            let care = Care { terms: vec![wrong.into()], ..Care::default() };
            let message = care.terms().unwrap_err().problem.message;
            assert!(message.contains(expected), "{message}");
        }
    }
}
