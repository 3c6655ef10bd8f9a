//! [`Memory`]: what the service remembers of a client between its connections, so that a request that is sent again is not done again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::work::Found;

/// Answers of one client that are kept.
const ANSWERS: usize = 8;
/// Bytes of answers' bodies of one client that are kept; the last answer always is.
const BYTES: usize = 1 << 20;
/// How long a client that is not connected is remembered.
const REMEMBERED: Duration = Duration::from_secs(600);

/// An answer that can be sent again, as a whole or in part, and refined. `H` is what its first packet says.
#[derive(Clone)]
pub(crate) struct KeptAnswer<H> {
    /// The client's number for it.
    pub(crate) request: u32,
    /// A checksum of what was asked: the same number with another question is a new request.
    pub(crate) asked: u32,
    pub(crate) head: H,
    pub(crate) body: Arc<[u8]>,
    /// What can be refined; nothing where the answer was a picture. (The frame is not held: it is large.)
    pub(crate) mask: Option<Found>,
}

/// The answers of one client, the newest last.
pub(crate) struct Memory<H> {
    answers: VecDeque<KeptAnswer<H>>,
}

impl<H> Memory<H> {
    /// The answer to a request, if it is kept.
    pub(crate) fn find(&self, request: u32) -> Option<&KeptAnswer<H>> {
        self.answers.iter().rev().find(|kept| kept.request == request)
    }

    /// Forgets the answer to a request.
    pub(crate) fn forget(&mut self, request: u32) {
        self.answers.retain(|kept| kept.request != request);
    }

    /// Keeps an answer instead of an older one.
    pub(crate) fn keep(&mut self, answer: KeptAnswer<H>) {
        self.answers.retain(|kept| kept.request != answer.request);
        self.answers.push_back(answer);
        let bytes = |answers: &VecDeque<KeptAnswer<H>>| answers.iter().map(|kept| kept.body.len()).sum::<usize>();
        while self.answers.len() > ANSWERS || (self.answers.len() > 1 && bytes(&self.answers) > BYTES) {
            self.answers.pop_front();
        }
    }
}

struct Remembered<H> {
    client: u64,
    seen: Instant,
    memory: Arc<Mutex<Memory<H>>>,
}

/// The memories of all clients, by the number that each has given itself.
pub(crate) struct Memories<H> {
    most: usize,
    clients: Mutex<Vec<Remembered<H>>>,
}

impl<H> Memories<H> {
    /// Remembers at most so many clients.
    pub(crate) fn new(most: usize) -> Self {
        Memories { most, clients: Mutex::default() }
    }

    /// The memory of a client; those who are gone for long are forgotten, given to `forget`.
    pub(crate) fn of(&self, client: u64, mut forget: impl FnMut(u64)) -> Arc<Mutex<Memory<H>>> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        // Who is connected holds a clone.
        clients.retain(|known| {
            let keep =
                known.client == client || known.seen.elapsed() < REMEMBERED || Arc::strong_count(&known.memory) > 1;
            if !keep {
                forget(known.client);
            }
            keep
        });
        if let Some(at) = clients.iter().position(|known| known.client == client) {
            clients[at].seen = Instant::now();
            return clients[at].memory.clone();
        }
        if clients.len() >= self.most {
            let gone = |known: &&Remembered<H>| Arc::strong_count(&known.memory) == 1;
            let oldest = clients.iter().filter(gone).min_by_key(|known| known.seen).map(|known| known.client);
            if let Some(oldest) = oldest {
                clients.retain(|known| known.client != oldest);
                forget(oldest);
            }
        }
        let memory = Arc::new(Mutex::new(Memory { answers: VecDeque::new() }));
        clients.push(Remembered { client, seen: Instant::now(), memory: memory.clone() });
        memory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(request: u32, bytes: usize) -> KeptAnswer<()> {
        KeptAnswer { request, asked: request, head: (), body: vec![0; bytes].into(), mask: None }
    }

    #[test]
    fn the_newest_answers_are_kept_within_a_limit() {
        let mut memory = Memory { answers: VecDeque::new() };
        (1..=20).for_each(|request| memory.keep(answer(request, 10)));
        assert!(memory.find(12).is_none() && memory.find(13).is_some());
        memory.keep(answer(13, 20));
        assert_eq!((memory.answers.len(), memory.find(13).unwrap().body.len()), (ANSWERS, 20));
        memory.keep(answer(99, 2 * BYTES));
        assert_eq!(memory.answers.len(), 1);
    }

    #[test]
    fn a_client_that_comes_back_is_known_and_who_is_gone_makes_room() {
        let memories = Memories::new(2);
        let mut forgotten = Vec::new();
        memories.of(1, |_| {}).lock().unwrap().keep(answer(5, 1));
        assert!(memories.of(1, |_| {}).lock().unwrap().find(5).is_some());
        let connected = memories.of(2, |_| {});
        memories.of(3, |gone| forgotten.push(gone));
        assert_eq!(forgotten, [1]);
        memories.of(4, |gone| forgotten.push(gone));
        assert_eq!(forgotten, [1, 3]);
        connected.lock().unwrap().keep(answer(6, 1));
        assert!(memories.of(2, |_| {}).lock().unwrap().find(6).is_some());
    }
}
