//! Counters of refusals.

use super::Refusal;

/// One counter for each refusal, in the order of `Refusal::ALL`, and one for malformed requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefusalCounts {
    counts: [u64; Refusal::ALL.len()],
    malformed: u64,
}

impl RefusalCounts {
    /// Counts one refusal.
    pub fn count(&mut self, refusal: Refusal) {
        self.counts[refusal as usize] += 1;
    }

    /// Counts one frame that was not a request.
    pub fn count_malformed(&mut self) {
        self.malformed += 1;
    }

    /// Adds the counts of another core.
    pub fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(sum, count)| *sum += count);
        self.malformed += other.malformed;
    }

    /// Every refusal with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Refusal, u64)> {
        Refusal::ALL.into_iter().zip(self.counts)
    }

    /// Frames that were not a request.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    /// All refusals together, malformed requests excluded.
    pub fn sum(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_a_count_of_its_own() {
        let mut counts = RefusalCounts::default();
        Refusal::ALL.into_iter().for_each(|refusal| counts.count(refusal));
        assert!(counts.iter().all(|(_, count)| count == 1), "{counts:?}");
        counts.count(Refusal::StorageFull);
        assert!(counts.iter().all(|(refusal, count)| count == 1 + u64::from(refusal == Refusal::StorageFull)));
        assert_eq!((counts.sum(), counts.malformed()), (Refusal::ALL.len() as u64 + 1, 0));
    }
}
