// SPDX-License-Identifier: MIT
//! One sender, N receivers through broadcast(1024); the cost of one value at one receiver. The sender publishes a burst
//! and then waits until every receiver has had all of it, so that nobody lags. A burst of 1 wakes all for each value.

use crate::bench::{Cost, Options, Stopwatch};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use tokio::sync::{broadcast, Notify};

/// How many receivers have not yet had the burst. There is one worker, so that counting needs no read-modify-write.
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

async fn receive(mut values: broadcast::Receiver<u64>, burst: u64, behind: Arc<Behind>) -> u64 {
    let mut sum = 0;
    while let Ok(value) = values.recv().await {
        sum += 1;
        // The last value of a burst.
        if value % burst == burst - 1 {
            behind.one_less();
        }
    }
    sum
}

async fn round(receivers: usize, burst: usize, bursts: usize) -> Cost {
    let behind = Arc::new(Behind { count: AtomicUsize::new(0), none: Notify::new() });
    let (sender, _) = broadcast::channel(1024);
    let tasks: Vec<_> =
        (0..receivers).map(|_| tokio::spawn(receive(sender.subscribe(), burst as u64, behind.clone()))).collect();
    // All are to be asleep in their first receive.
    tokio::task::yield_now().await;
    let watch = Stopwatch::start();
    let mut value = 0;
    for _ in 0..bursts {
        behind.count.store(receivers, Ordering::Relaxed);
        for _ in 0..burst {
            sender.send(value).unwrap();
            value += 1;
        }
        behind.none.notified().await;
    }
    let cost = watch.stop(bursts * burst * receivers);
    drop(sender);
    for task in tasks {
        assert_eq!(task.await.unwrap(), value);
    }
    cost
}

pub async fn measure(options: Options, receivers: usize, burst: usize) {
    let bursts = options.scaled(5_000_000) / receivers / burst;
    round(receivers, burst, (bursts / 10).max(1)).await;
    options.print_cost(round(receivers, burst, bursts.max(1)).await);
}
