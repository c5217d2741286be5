// SPDX-License-Identifier: MIT
//! Tasks that only yield. With a single one Tokio polls its driver at every yield, so 64 is the figure to compare with.

use crate::bench::{Cost, Options, Stopwatch};

async fn yield_often(count: usize) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

async fn round(tasks: usize, yields: usize) -> Cost {
    let watch = Stopwatch::start();
    let tasks_left: Vec<_> = (0..tasks).map(|_| tokio::spawn(yield_often(yields / tasks))).collect();
    for task in tasks_left {
        task.await.unwrap();
    }
    watch.stop(yields / tasks * tasks)
}

pub async fn measure(options: Options, tasks: usize) {
    let yields = options.scaled(if tasks == 1 { 2_000_000 } else { 10_000_000 });
    round(tasks, yields / 10).await;
    options.print_cost(round(tasks, yields).await);
}
