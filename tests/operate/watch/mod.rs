//! What those see who watch a server: measurements, logs, traces, and whatever is refused;
//! and the commands that look after a server.

mod care;
mod dashboard;
mod logs;
mod measurements;
mod refused;
mod spans;
mod top;
