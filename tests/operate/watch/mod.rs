//! What those see who watch a server: measurements, and whatever is refused.

mod measurements;
mod refused;
