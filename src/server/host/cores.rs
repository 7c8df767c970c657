//! The cores of this machine, and which shard runs on which.

use crate::server::StartError;
use crate::server::base::error::{ConfigurationError, HostError};

/// The core of each shard, and the cores that are left for other threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cores {
    pub of_shards: Vec<usize>,
    pub free: Vec<usize>,
}

/// The cores that this process may use, in order.
pub fn available() -> Result<Vec<usize>, StartError> {
    let cores: Vec<usize> = core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect();
    if cores.is_empty() {
        return Err(HostError::CoresUnknown.into());
    }
    Ok(cores)
}

/// The cores to use: those `wanted`, or if none is wanted, all `available` ones except the lowest `left_free`. At least
/// one is used, so that a profile fits any machine.
pub fn choose(available: &[usize], wanted: &[usize], left_free: usize) -> Result<Vec<usize>, StartError> {
    if wanted.is_empty() {
        let left_free = left_free.min(available.len().saturating_sub(1));
        return Ok(available[left_free..].to_vec());
    }
    if let Some(missing) = wanted.iter().find(|core| !available.contains(core)) {
        return Err(ConfigurationError::Core { core: *missing }.into());
    }
    Ok(wanted.to_vec())
}

/// The cores to begin with, where a quota allows fewer shards than there are cores: containers of one host begin at
/// different ones, by the name of each.
pub fn spread(mut chosen: Vec<usize>, granted: usize, name: &[u8]) -> Vec<usize> {
    if granted < chosen.len() {
        let first = xxhash_rust::xxh3::xxh3_64(name) % chosen.len() as u64;
        chosen.rotate_left(usize::try_from(first).expect("below the number of cores"));
    }
    chosen
}

/// Assigns cores to shards. If there are more shards than cores, shards share cores.
pub fn assign(shards: u16, chosen: &[usize], available: &[usize]) -> Cores {
    let of_shards: Vec<usize> = chosen.iter().copied().cycle().take(usize::from(shards)).collect();
    let free = available.iter().copied().filter(|core| !of_shards.contains(core)).collect();
    Cores { of_shards, free }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_shards_than_cores_wrap_around() {
        let cores = assign(5, &[2, 3], &[0, 1, 2, 3]);
        assert_eq!(cores, Cores { of_shards: vec![2, 3, 2, 3, 2], free: vec![0, 1] });
    }

    #[test]
    fn the_lowest_cores_are_left_free_but_never_all() {
        let chosen = |left_free| choose(&[0, 1, 2], &[], left_free).expect("there are cores");
        assert_eq!((chosen(0), chosen(1), chosen(9)), (vec![0, 1, 2], vec![1, 2], vec![2]));
        assert_eq!(choose(&[0, 1, 2], &[0], 1).expect("it is there"), [0], "cores that are named are used");
    }

    #[test]
    fn containers_with_a_quota_begin_at_cores_of_their_own() {
        let spread_by = |granted, name: &str| spread(vec![0, 1, 2, 3, 4, 5, 6, 7], granted, name.as_bytes());
        assert_eq!(spread_by(8, "a"), [0, 1, 2, 3, 4, 5, 6, 7], "all are used");
        let firsts: std::collections::BTreeSet<usize> =
            ["a", "b", "c", "d", "e"].map(|name| spread_by(2, name)[0]).into();
        assert!(firsts.len() > 2, "{firsts:?}");
    }

    #[test]
    fn a_core_that_is_not_ours_is_a_configuration_error() {
        let error = choose(&[0, 1], &[1, 7], 0).expect_err("there is no core 7");
        assert_eq!(error.exit_status(), 1);
        assert!(error.to_string().contains("core 7"), "{error}");
    }
}
