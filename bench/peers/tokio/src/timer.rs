// SPDX-License-Identifier: MIT
//! A million timers that fire, and deadlines that do not.

use crate::bench::{resident_bytes, Cost, Options, Stopwatch};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{sleep_until, timeout, Instant};

struct Pending {
    count: AtomicUsize,
    none: Notify,
}

/// One timer: in Tokio a task that sleeps is the way to have something happen later that nobody waits for.
async fn happen(due: Instant, pending: Arc<Pending>) {
    sleep_until(due).await;
    if pending.count.fetch_sub(1, Ordering::AcqRel) == 1 {
        pending.none.notify_one();
    }
}

/// Creates timers that fall due one after the other, each microsecond one, beginning in `lead`.
async fn create(count: usize, lead: Duration) -> Arc<Pending> {
    let pending = Arc::new(Pending { count: AtomicUsize::new(count), none: Notify::new() });
    let begin = Instant::now() + lead;
    for i in 0..count as u64 {
        tokio::spawn(happen(begin + Duration::from_micros(i), pending.clone()));
    }
    // Each task is to have armed its timer.
    yield_now().await;
    pending
}

async fn fire(count: usize) -> Cost {
    let watch = Stopwatch::start();
    create(count, Duration::from_secs(1)).await.none.notified().await;
    watch.stop(count)
}

/// CPU time to create a timer and let it fire. The wall time is mostly that of waiting.
pub async fn cpu(options: Options) {
    let count = options.scaled(1_000_000);
    // Warm is memory that has once held as many.
    fire(count).await;
    let cost = fire(count).await;
    options.print(cost.cpu, "ns");
}

/// Memory of a timer that has yet to fire.
pub async fn bytes(options: Options) {
    let count = options.scaled(1_000_000);
    let before = resident_bytes();
    let _pending = create(count, Duration::from_secs(3600)).await;
    options.print((resident_bytes() - before) / count as f64, "bytes");
    std::process::exit(0);
}

/// Two tasks wake one another; each waits under a deadline of a second.
async fn wake_one_another(ours: Arc<Notify>, theirs: Arc<Notify>, waits: usize) {
    for _ in 0..waits {
        theirs.notify_one();
        timeout(Duration::from_secs(1), ours.notified()).await.unwrap();
    }
    theirs.notify_one();
}

async fn round(waits: usize) -> Cost {
    let (left, right) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let watch = Stopwatch::start();
    let other = tokio::spawn(wake_one_another(left.clone(), right.clone(), waits / 2));
    wake_one_another(right, left, waits / 2).await;
    other.await.unwrap();
    watch.stop(waits / 2 * 2)
}

pub async fn deadline_arm(options: Options) {
    let waits = options.scaled(2_000_000);
    round(waits / 10).await;
    options.print_cost(round(waits).await);
}

async fn yield_under_deadline(count: usize) {
    for _ in 0..count {
        timeout(Duration::from_secs(1), yield_now()).await.unwrap();
    }
}

async fn yield_in_tasks(tasks: usize, each: usize) -> Cost {
    let watch = Stopwatch::start();
    let tasks_left: Vec<_> = (0..tasks).map(|_| tokio::spawn(yield_under_deadline(each))).collect();
    for task in tasks_left {
        task.await.unwrap();
    }
    watch.stop(tasks * each)
}

pub async fn deadline_yield(options: Options) {
    let each = options.scaled(2_000_000) / 64;
    yield_in_tasks(64, each / 10).await;
    options.print_cost(yield_in_tasks(64, each).await);
}
