//! F3, the command line: one subcommand, one file.

#![allow(clippy::disallowed_methods, clippy::disallowed_types)]
