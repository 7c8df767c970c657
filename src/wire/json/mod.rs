//! JSON as the codec reads and writes it, and message keys.

pub(super) mod message_key;
pub(super) mod plain_bytes;
pub(super) mod scan;
pub(super) mod survey;
pub(super) mod text;
pub(super) mod value;
