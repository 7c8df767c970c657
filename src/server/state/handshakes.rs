//! The share of a turn that TLS handshakes may take: a storm of logins does not hold up the sessions that are open.
//!
//! Invariant: in each turn at least one handshake goes on.

use std::time::{Duration, Instant};

/// A signature takes 0.1 ms with an elliptic curve and 1 ms with RSA, so a turn ends within the share and one more.
const SHARE: Duration = Duration::from_millis(2);

/// The time that handshakes took in one turn.
#[derive(Debug, Default)]
pub struct HandshakeShare {
    turn: u64,
    spent: Duration,
}

impl HandshakeShare {
    /// Whether further handshakes must wait for a later turn.
    pub fn is_spent(&self, turn: u64) -> bool {
        self.turn == turn && self.spent >= SHARE
    }

    /// Adds the time since `began`, if a step of a handshake began then.
    pub fn spend(&mut self, turn: u64, began: Option<Instant>) {
        let Some(began) = began else { return };
        if self.turn != turn {
            (self.turn, self.spent) = (turn, Duration::ZERO);
        }
        self.spent += began.elapsed();
    }
}
