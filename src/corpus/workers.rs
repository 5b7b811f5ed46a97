//! Work shared out: several threads, each taking the next piece when it is done with its last.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Does `work` for every item in `jobs` threads, or as many as the system allows, in order of starting; nothing is started any more once `stop` says so or
/// a piece has failed. Gives the first error, and otherwise the results in the items' order; none for those not started.
///
/// # Errors
/// The first one of `work`, after the pieces that were running have ended.
pub fn share<Item: Sync, Done: Send, Error: Send>(
    items: &[Item],
    jobs: usize,
    stop: &(dyn Fn() -> bool + Sync),
    work: &(dyn Fn(&Item) -> Result<Done, Error> + Sync),
) -> Result<Vec<Option<Done>>, Error> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
    let done: Vec<Mutex<Option<Done>>> = items.iter().map(|_| Mutex::new(None)).collect();
    let worker = || {
        while !stop() && failed.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { break };
            match work(item) {
                Ok(result) => *done[index].lock().unwrap_or_else(PoisonError::into_inner) = Some(result),
                Err(error) => {
                    failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..jobs.clamp(1, items.len().max(1)) {
            if std::thread::Builder::new().spawn_scoped(scope, worker).is_err() {
                break;
            }
        }
        worker();
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(done.into_iter().map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_done_once_and_comes_back_in_order() {
        let items: Vec<usize> = (0..100).collect();
        let done = share(&items, 7, &|| false, &|item| Ok::<_, ()>(item * 2)).unwrap();
        assert_eq!(done, (0..100).map(|item| Some(item * 2)).collect::<Vec<_>>());
    }

    #[test]
    fn after_an_error_or_a_stop_nothing_more_is_started() {
        let items: Vec<usize> = (0..100).collect();
        let started = AtomicUsize::new(0);
        let work = |item: &usize| {
            started.fetch_add(1, Ordering::Relaxed);
            if *item == 3 { Err("third") } else { Ok(()) }
        };
        assert_eq!(share(&items, 1, &|| false, &work), Err("third"));
        assert_eq!(started.swap(0, Ordering::Relaxed), 4);
        let stop = || started.load(Ordering::Relaxed) >= 2;
        assert_eq!(share(&items, 1, &stop, &work).unwrap().iter().flatten().count(), 2);
    }
}
