//! Groups: messages on their way to members, members who leave, and the orders of the operator.

pub(super) mod admission;
#[cfg(test)]
mod admission_tests;
pub(super) mod changes;
#[cfg(test)]
pub(super) mod cost_tests;
pub(super) mod fan_out;
pub(super) mod joining;
#[cfg(test)]
mod joining_tests;
pub(super) mod leaving;
pub(super) mod load;
pub(super) mod member_orders;
pub(super) mod membership_changes;
pub(super) mod orders;
#[cfg(test)]
pub(super) mod orders_tests;
pub(super) mod requests;
#[cfg(test)]
mod requests_tests;
pub(super) mod rights;
pub(super) mod transients;
