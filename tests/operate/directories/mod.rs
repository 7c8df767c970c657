//! Data directories: copied, put back, rebuilt from what is left, and owned by whom they should be.

mod backup;
mod older_copy;
mod ownership;
mod rebuild;
