// SPDX-License-Identifier: MIT
//! Mutex, semaphore and notify without contention: what the fast path costs one task that is never made to wait.

use crate::bench::{Options, Stopwatch};
use std::future::Future;
use std::hint::black_box;
use tokio::sync::{Mutex, Notify, Semaphore};

async fn measure_pairs<F, R>(options: Options, round: R)
where
    R: Fn(usize) -> F,
    F: Future<Output = ()>,
{
    let pairs = options.scaled(10_000_000);
    round(pairs / 10).await;
    let watch = Stopwatch::start();
    round(pairs).await;
    options.print_cost(watch.stop(pairs));
}

/// Lock and unlock.
pub async fn mutex(options: Options) {
    let mutex = &Mutex::new(0u64);
    measure_pairs(options, |pairs| async move {
        for _ in 0..pairs {
            *black_box(mutex).lock().await += 1;
        }
    })
    .await;
}

/// Acquire one permit and release it.
pub async fn semaphore(options: Options) {
    let semaphore = &Semaphore::new(1);
    measure_pairs(options, |pairs| async move {
        for _ in 0..pairs {
            drop(black_box(semaphore).acquire().await.unwrap());
        }
    })
    .await;
}

/// Store the permit and take it.
pub async fn notify(options: Options) {
    let notify = &Notify::new();
    measure_pairs(options, |pairs| async move {
        for _ in 0..pairs {
            black_box(notify).notify_one();
            notify.notified().await;
        }
    })
    .await;
}
