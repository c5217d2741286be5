// SPDX-License-Identifier: MIT
//! One sender, N receivers of a watch: the cost of one change seen by one receiver. Each change is seen by all before
//! the next is made.

use crate::bench::{Cost, Options, Stopwatch};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use tokio::sync::{watch, Notify};

struct Behind {
    count: AtomicUsize,
    none: Notify,
}

async fn observe(mut values: watch::Receiver<u64>, behind: Arc<Behind>) -> u64 {
    let mut changes = 0;
    while values.changed().await.is_ok() {
        changes += 1;
        assert_eq!(*values.borrow_and_update(), changes);
        if behind.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            behind.none.notify_one();
        }
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
        behind.count.store(receivers, Ordering::Release);
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
