// SPDX-License-Identifier: MIT
//! One sender, N receivers of a watch: the cost of one change seen by one receiver. Each change is seen by all before
//! the next is made.

use crate::bench::{Cost, Options, Stopwatch};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use tokio::sync::{watch, Notify};

/// How many receivers have not yet seen the change. There is one worker, so that counting needs no read-modify-write.
struct Behind {
    count: AtomicUsize,
    none: Notify,
}

impl Behind {
    fn one_less(&self) {
        let left = self.count.load(Ordering::Relaxed) - 1;
        self.count.store(left, Ordering::Relaxed);
        if left == 0 {
            self.none.notify_one();
        }
    }
}

async fn observe(mut values: watch::Receiver<u64>, behind: Arc<Behind>) -> u64 {
    let mut changes = 0;
    while values.changed().await.is_ok() {
        changes += 1;
        assert_eq!(*values.borrow_and_update(), changes);
        behind.one_less();
    }
    changes
}

async fn round(receivers: usize, changes: usize) -> Cost {
    let behind = Arc::new(Behind { count: AtomicUsize::new(0), none: Notify::new() });
    let (sender, receiver) = watch::channel(0);
    let tasks: Vec<_> = (0..receivers).map(|_| tokio::spawn(observe(receiver.clone(), behind.clone()))).collect();
    drop(receiver);
    // All are to be asleep in their first wait.
    tokio::task::yield_now().await;
    let watch = Stopwatch::start();
    for change in 1..=changes as u64 {
        behind.count.store(receivers, Ordering::Relaxed);
        sender.send(change).unwrap();
        behind.none.notified().await;
    }
    let cost = watch.stop(changes * receivers);
    drop(sender);
    for task in tasks {
        assert_eq!(task.await.unwrap(), changes as u64);
    }
    cost
}

pub async fn measure(options: Options, receivers: usize) {
    let changes = options.scaled(5_000_000) / receivers;
    round(receivers, (changes / 10).max(1)).await;
    options.print_cost(round(receivers, changes.max(1)).await);
}
