//! Calm: everything that is under way arrives, and then nothing is on its way anywhere.

use crate::client::{Client, Phase};
use crate::world::{Core, Pipe, Place, World};
use std::collections::VecDeque;

impl Core {
    /// Members wait for nothing either, not even for room.
    fn is_settled(&self) -> bool {
        let shard = self.turn.shard();
        shard.is_settled() && shard.fanning_out() == 0
    }
}

impl World {
    /// Whether nothing is on its way anywhere.
    pub fn is_quiet(&self) -> bool {
        let open = |pipe: &Pipe| pipe.place != Place::Nowhere;
        let has_heard = |(pipe, client): (&Pipe, &Client)| !pipe.server_closed || client.phase == Phase::Offline;
        self.lanes.values().all(VecDeque::is_empty)
            && self.migrating.is_empty()
            && self.cores.iter().all(|core| core.syncing.is_none() && core.is_settled())
            && self.cores.iter().all(|core| core.fetches.is_empty() && core.questions.is_empty())
            && self.pipes.iter().zip(&self.clients).all(has_heard)
            && !self.pipes.iter().any(|pipe| pipe.client_closed && open(pipe))
            && self.pipes.iter().all(|pipe| pipe.to_client.is_empty() && pipe.writing.is_none())
            && self.pipes.iter().all(|pipe| pipe.to_server.is_empty() || !open(pipe))
    }

    /// Lets everything that is under way arrive, and no client say anything of its own accord.
    pub fn calm(&mut self) {
        self.frozen = None;
        self.pipes.iter_mut().for_each(|pipe| pipe.slowness = 1);
        for round in 0..200_000 {
            self.note_moment();
            if round % 8 == 0 && self.is_quiet() {
                return;
            }
            match self.chance.below(8) {
                0 => self.deliver_to_server(),
                1 => self.deliver_to_client(),
                2 => self.finish_write(),
                3 => self.deliver_lane_messages(),
                4 => self.finish_sync(),
                5 => {
                    self.finish_fetch();
                    self.answer_question();
                }
                6 => self.go_on(),
                _ => {
                    self.move_on();
                    // Slowly: nobody is to be closed for idling while it waits for its turn.
                    let ms = self.chance.below(4) as u64;
                    self.pass(ms);
                    self.tick();
                }
            }
        }
        panic!("no calm: something is owed for ever\n{}", self.describe());
    }

    /// What each core and pipe is at, for a failure's message.
    pub fn describe(&self) -> String {
        let cores = self
            .cores
            .iter()
            .map(|core| format!("core: {:?} {:?}", core.turn.shard().unfinished(), core.turn.shard().stats()));
        let pipes = self.pipes.iter().enumerate().map(|(at, pipe)| {
            let Pipe { place, to_server, to_client, ending, departing, client_closed, server_closed, .. } = pipe;
            let (sent, unread) = (to_server.len(), to_client.len());
            format!("pipe {at}: {place:?}, {sent} and {unread} bytes, {ending} {departing:?} {client_closed} {server_closed}")
        });
        let lanes = self.lanes.iter().map(|(lane, messages)| format!("lane {lane:?}: {} parcels", messages.len()));
        cores.chain(lanes).chain(pipes).collect::<Vec<_>>().join("\n")
    }
}
