//! Requests that wait for a connection or for their answers.
//!
//! Invariant: a tag means one request of the current connection. The application's requests may all be repeated, so they
//! outlive a cut; the session's own do not.

use crate::model::Request;
use crate::wire::dialect::AnswerShape;
use std::collections::BTreeMap;

/// Typing has no response; tags of such requests beyond this number are forgotten.
const SILENT_MAX: usize = 1_000;

/// Whose a request is that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The application's, by its id.
    Application(u64),
    Login,
    Heartbeat,
    Send {
        client_id: String,
    },
    Sync {
        after: u64,
    },
    SyncNewest,
    Watch,
    /// Typing: there is no response.
    Silent,
}

struct Waiting {
    request: Request,
    due: u64,
    is_written: bool,
}

#[derive(Default)]
pub struct Requests {
    last_tag: u32,
    last_id: u64,
    written: BTreeMap<u32, (Asked, AnswerShape)>,
    waiting: BTreeMap<u64, Waiting>,
}

impl Requests {
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn ask(&mut self, request: Request, due: u64) -> u64 {
        self.last_id += 1;
        self.waiting.insert(self.last_id, Waiting { request, due, is_written: false });
        self.last_id
    }

    /// The tag of a request of the session's own.
    pub fn own(&mut self, asked: Asked, shape: AnswerShape) -> u32 {
        self.last_tag = if self.last_tag >= 0x7fff_ffff { 1 } else { self.last_tag + 1 };
        if asked == Asked::Silent && self.written.len() > SILENT_MAX {
            let oldest = self.written.iter().find(|(_, (asked, _))| *asked == Asked::Silent).map(|(tag, _)| *tag);
            oldest.and_then(|tag| self.written.remove(&tag));
        }
        self.written.insert(self.last_tag, (asked, shape));
        self.last_tag
    }

    pub fn shape_of(&self, tag: u32) -> Option<AnswerShape> {
        self.written.get(&tag).map(|(_, shape)| *shape)
    }

    /// The application's requests to write now.
    pub fn take(&mut self) -> Vec<(u32, Request)> {
        let due: Vec<u64> = self.waiting.iter().filter(|(_, it)| !it.is_written).map(|(id, _)| *id).collect();
        let mut taken = Vec::new();
        for id in due {
            let Some(waiting) = self.waiting.get_mut(&id) else { continue };
            waiting.is_written = true;
            let request = waiting.request.clone();
            let tag = self.own(Asked::Application(id), AnswerShape::of(&request));
            taken.push((tag, request));
        }
        taken
    }

    /// Whose the answered request was; `None` if nobody waits.
    pub fn answered(&mut self, tag: u32) -> Option<Asked> {
        let (asked, _) = self.written.remove(&tag)?;
        match asked {
            Asked::Application(id) => self.waiting.remove(&id).map(|_| asked),
            _ => Some(asked),
        }
    }

    /// The application's requests that have waited for too long.
    pub fn expire(&mut self, now: u64) -> Vec<u64> {
        let late: Vec<u64> = self.waiting.iter().filter(|(_, it)| now >= it.due).map(|(id, _)| *id).collect();
        for id in &late {
            self.waiting.remove(id);
        }
        late
    }

    pub fn deadline(&self) -> u64 {
        self.waiting.values().map(|it| it.due).min().unwrap_or(u64::MAX)
    }

    pub fn cut(&mut self) {
        self.written.clear();
        for it in self.waiting.values_mut() {
            it.is_written = false;
        }
    }

    pub fn drop_all(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.waiting).into_keys().collect()
    }
}
