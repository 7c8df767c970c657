//! Connections: byte queues between clients and cores, in pieces and at moments that chance likes.

use crate::client::Phase;
use crate::world::{Pipe, Place, World};
use mushan::server::turn::LinkKey;

impl World {
    /// A new connection, accepted by whichever core the kernel likes.
    pub fn connect(&mut self, at: usize) {
        let is_free = self.pipes[at].place == Place::Nowhere && !self.is_moving(at);
        if !is_free || !self.is_ready() || self.clients[at].is_retired {
            return;
        }
        if self.clients[at].is_barred || self.operator.may_judge && self.chance.one_in(4) {
            self.clients[at].take_token(self.now.wall, &self.ledger);
        }
        let core = self.chance.below(self.cores.len());
        let key = self.cores[core].turn.accept(self.now);
        self.cores[core].pipes.insert(key, at);
        let to_server = self.clients[at].connect(self.ledger.moment).into();
        let slowness = *self.chance.pick(&[1, 1, 1, 10, 200]);
        let (place, now_ms) = (Place::At(core, key), self.clocks.elapsed_ms);
        let (since_ms, heard_ms) = (now_ms, now_ms);
        self.pipes[at] = Pipe { to_server, place, slowness, since_ms, heard_ms, ..Pipe::default() };
        self.carry_out(core);
    }

    pub fn is_moving(&self, at: usize) -> bool {
        self.migrating.iter().any(|(_, pipe, _)| *pipe == at)
    }

    pub fn hang_up(&mut self, at: usize) {
        self.pipes[at].client_closed = true;
        self.clients[at].disconnected();
    }

    /// Another client of the same device goes on.
    pub fn retire(&mut self, at: usize) {
        self.clients[at].is_retired = true;
        if self.clients[at].phase != Phase::Offline {
            self.hang_up(at);
        }
    }

    pub fn deliver_to_server(&mut self) {
        let (at, bytes_max) = (self.chance.below(self.pipes.len()), *self.chance.pick(&[1, 7, 100, 2_048]));
        let bytes_max = self.chance.between(1, bytes_max);
        self.hear_from(at, bytes_max);
    }

    pub fn hear_from(&mut self, at: usize, bytes_max: usize) {
        let pipe = &mut self.pipes[at];
        let Place::At(core, key) = pipe.place else { return };
        if pipe.to_server.is_empty() {
            if pipe.client_closed && !pipe.ending {
                self.cores[core].turn.hung_up(self.now, key);
                self.carry_out(core);
            }
            return;
        }
        if pipe.ending || !self.cores[core].turn.wants_read(key) {
            return;
        }
        let take = pipe.to_server.len().min(bytes_max);
        let mut bytes: Vec<u8> = pipe.to_server.drain(..take).collect();
        pipe.heard_ms = self.clocks.elapsed_ms;
        self.cores[core].turn.received(self.now, key, &mut bytes);
        self.carry_out(core);
    }

    pub fn deliver_to_client(&mut self) {
        let at = self.chance.below(self.pipes.len());
        self.tell(at);
    }

    pub fn tell(&mut self, at: usize) {
        let pipe = &mut self.pipes[at];
        if pipe.to_client.is_empty() {
            if pipe.server_closed && self.clients[at].phase != Phase::Offline {
                self.clients[at].disconnected();
            }
            return;
        }
        let take = self.chance.between(1, pipe.to_client.len().min(4_096));
        let bytes: Vec<u8> = pipe.to_client.drain(..take).collect();
        if pipe.client_closed {
            return;
        }
        let said = self.clients[at].receive(&bytes, &mut self.ledger, &mut self.chance);
        self.pipes[at].to_server.extend(said);
    }

    pub fn finish_write(&mut self) {
        let at = self.chance.below(self.pipes.len());
        self.write_out(at);
    }

    pub fn write_out(&mut self, at: usize) {
        let slowness = self.pipes[at].slowness.max(1);
        if self.pipes[at].writing.is_none() || !self.chance.one_in(slowness) {
            return;
        }
        let Some(mut bytes) = self.pipes[at].writing.take() else { return };
        let Place::At(core, key) = self.pipes[at].place else { unreachable!("a write is waited for") };
        // A socket that is full takes a part.
        let is_whole = slowness == 1 || self.chance.one_in(2);
        let written = if is_whole { bytes.len() } else { self.chance.between(1, bytes.len()) };
        let rest = bytes.split_off(written);
        self.pipes[at].to_client.extend(&bytes);
        self.pipes[at].writing = Some(rest).filter(|rest| !rest.is_empty());
        self.cores[core].turn.wrote(self.now, key, written);
        self.carry_out(core);
        self.write(core, key);
        self.leave(core, key);
    }

    /// Somebody's socket has taken nothing for too long.
    pub fn stall(&mut self) {
        let at = self.chance.below(self.pipes.len());
        let Place::At(core, key) = self.pipes[at].place else { return };
        if self.pipes[at].writing.is_none() || self.pipes[at].slowness < 100 {
            return;
        }
        self.ledger.count("sockets that stalled");
        self.clients[at].has_stalled = true;
        self.cores[core].turn.stalled(self.now, key);
        self.carry_out(core);
    }

    /// Starts a write, if there is something to write and none is in flight.
    pub fn write(&mut self, core: usize, key: LinkKey) {
        let Some(at) = self.cores[core].pipes.get(&key) else { return };
        let pipe = &mut self.pipes[*at];
        if pipe.writing.is_some() || self.cores[core].turn.outbox_bytes(key) == 0 {
            return;
        }
        pipe.writing = Some(self.cores[core].turn.drain_outbox(key, Vec::new()));
    }

    /// A link that has ended or departs does so once nothing of it is in flight.
    pub fn leave(&mut self, core: usize, key: LinkKey) {
        let Some(at) = self.cores[core].pipes.get(&key).copied() else { return };
        let pipe = &mut self.pipes[at];
        if pipe.writing.is_some() {
            return;
        }
        if pipe.ending {
            return self.close(core, key);
        }
        let Some(to) = pipe.departing.take() else { return };
        pipe.place = Place::Nowhere;
        self.cores[core].pipes.remove(&key);
        self.handed_over += 1;
        self.migrating.push_back((usize::from(to.0), at, self.cores[core].turn.detach(key)));
    }

    pub fn close(&mut self, core: usize, key: LinkKey) {
        let at = self.cores[core].pipes.remove(&key).expect("a link has a pipe");
        let pipe = &mut self.pipes[at];
        (pipe.server_closed, pipe.place, pipe.writing) = (true, Place::Nowhere, None);
        self.cores[core].turn.release(key);
    }

    pub fn move_on(&mut self) {
        let Some((core, at, migrating)) = self.migrating.pop_front() else { return };
        let key = self.cores[core].turn.adopt(self.now, migrating);
        self.cores[core].pipes.insert(key, at);
        self.pipes[at].place = Place::At(core, key);
        self.carry_out(core);
    }

    pub fn say(&mut self, at: usize, bytes: Vec<u8>) {
        self.pipes[at].to_server.extend(bytes);
    }
}
