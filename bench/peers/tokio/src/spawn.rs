// SPDX-License-Identifier: MIT
//! Spawns a task that does nothing and joins it, one after the other.

use crate::bench::{Cost, Options, Stopwatch};

async fn trivial(value: u64) -> u64 {
    value
}

async fn round(count: usize) -> Cost {
    let watch = Stopwatch::start();
    for i in 0..count as u64 {
        assert_eq!(tokio::spawn(trivial(i)).await.unwrap(), i);
    }
    watch.stop(count)
}

pub async fn measure(options: Options) {
    let count = options.scaled(1_000_000);
    round(count / 10).await;
    options.print_cost(round(count).await);
}
