//! [`Queue`]: what waits for the engine, taken in turn from each client.

use std::collections::VecDeque;

use super::work::{Client, Job};

/// Jobs, in the order of their arrival for each client, the clients in turn. So a client with many jobs waits for its own,
/// and another's single one waits for at most one of each.
#[derive(Default)]
pub(crate) struct Queue {
    /// None is empty.
    clients: VecDeque<(Client, VecDeque<Job>)>,
}

impl Queue {
    /// Number of jobs.
    pub(crate) fn len(&self) -> usize {
        self.clients.iter().map(|(_, jobs)| jobs.len()).sum()
    }

    /// Number of jobs of a client.
    pub(crate) fn len_of(&self, client: Client) -> usize {
        self.clients.iter().find(|(of, _)| *of == client).map_or(0, |(_, jobs)| jobs.len())
    }

    /// All that wait.
    pub(crate) fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.clients.iter().flat_map(|(_, jobs)| jobs)
    }

    /// Appends a job to those of its client.
    pub(crate) fn push(&mut self, job: Job) {
        match self.clients.iter_mut().find(|(of, _)| *of == job.client) {
            Some((_, jobs)) => jobs.push_back(job),
            None => self.clients.push_back((job.client, VecDeque::from([job]))),
        }
    }

    /// Jobs that are taken before a further one of `client` is, if all clients have `ready` ones only.
    pub(crate) fn ahead(&self, client: Client) -> usize {
        let own = self.len_of(client);
        let others = self.clients.iter().filter(|(of, _)| *of != client);
        own + others.map(|(_, jobs)| jobs.len().min(own + 1)).sum::<usize>()
    }

    /// Takes the first job that is ready of the client whose turn it is; those of a client that are not ready let its later ones pass.
    pub(crate) fn take(&mut self, ready: impl Fn(&Job) -> bool) -> Option<Job> {
        let turn = self.clients.iter().position(|(_, jobs)| jobs.iter().any(&ready))?;
        let (client, mut jobs) = self.clients.remove(turn)?;
        let job = jobs.iter().position(&ready).and_then(|at| jobs.remove(at));
        if !jobs.is_empty() {
            self.clients.push_back((client, jobs));
        }
        job
    }

    /// Takes all jobs out that are like this.
    pub(crate) fn take_all(&mut self, like: impl Fn(&Job) -> bool) -> Vec<Job> {
        let mut taken = Vec::new();
        for (_, jobs) in &mut self.clients {
            for job in std::mem::take(jobs) {
                if like(&job) {
                    taken.push(job);
                } else {
                    jobs.push_back(job);
                }
            }
        }
        self.clients.retain(|(_, jobs)| !jobs.is_empty());
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::work::{Ask, FrameChoice};
    use std::time::Instant;

    fn job(client: Client, request: u32) -> Job {
        Job {
            serial: client * 100 + u64::from(request),
            client,
            owner: client,
            frame: FrameChoice::Latest,
            ask: Ask::Encode,
            arrived: Instant::now(),
            deadline: None,
            reply: Box::new(|_| {}),
        }
    }

    fn filled(jobs: &[(Client, u32)]) -> Queue {
        let mut queue = Queue::default();
        jobs.iter().for_each(|&(client, request)| queue.push(job(client, request)));
        queue
    }

    fn order(queue: &mut Queue, ready: impl Fn(&Job) -> bool + Copy) -> Vec<(Client, u32)> {
        std::iter::from_fn(|| queue.take(ready)).map(|job| (job.client, (job.serial % 100) as u32)).collect()
    }

    #[test]
    fn clients_take_turns() {
        let mut queue = filled(&[(1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (3, 1), (3, 2)]);
        assert_eq!((queue.len(), queue.len_of(1), queue.len_of(9)), (7, 4, 0));
        assert_eq!(order(&mut queue, |_| true), [(1, 1), (2, 1), (3, 1), (1, 2), (3, 2), (1, 3), (1, 4)]);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn what_is_not_ready_holds_up_nobody() {
        let mut queue = filled(&[(1, 1), (1, 2), (2, 1)]);
        assert_eq!(order(&mut queue, |job| job.serial != 101), [(1, 2), (2, 1)]);
        assert!(queue.jobs().all(|job| job.serial == 101));
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn ahead_of_a_further_job_are_its_own_and_one_round_of_the_others_for_each() {
        let queue = filled(&[(1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (2, 4), (3, 1)]);
        assert_eq!((queue.ahead(9), queue.ahead(1), queue.ahead(3)), (3, 2 + 3 + 1, 1 + 2 + 2));
    }

    #[test]
    fn jobs_are_taken_out_by_what_they_are() {
        let mut queue = filled(&[(1, 1), (2, 1), (1, 2)]);
        let taken = queue.take_all(|job| job.client == 1);
        assert_eq!(taken.iter().map(|job| job.serial).collect::<Vec<_>>(), [101, 102]);
        assert_eq!(order(&mut queue, |_| true), [(2, 1)]);
    }
}
