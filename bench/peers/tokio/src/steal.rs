// SPDX-License-Identifier: MIT
//! 1,000 actors, 20 us of work each: how many times faster are two workers than one?

use crate::bench::{percentile, runtime, Options};
use std::arch::asm;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

fn work(turns: u64) {
    let mut x = turns | 1;
    for _ in 0..turns {
        x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        // Opaque to the compiler, as in steal.c.
        unsafe { asm!("/* {0} */", inout(reg) x) };
    }
}

/// How many turns of `work` take 20 us here.
fn calibrate() -> u64 {
    let mut best = f64::INFINITY;
    for _ in 0..50 {
        let start = Instant::now();
        work(10_000);
        best = best.min(start.elapsed().as_nanos() as f64 / 10_000.0);
    }
    (20_000.0 / best) as u64
}

async fn actor(mut requests: mpsc::Receiver<oneshot::Sender<()>>, turns: u64) {
    while let Some(reply) = requests.recv().await {
        work(turns);
        let _ = reply.send(());
    }
}

async fn rounds(turns: u64, count: usize) -> Vec<f64> {
    let mut actors = Vec::new();
    for _ in 0..1000 {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(actor(receiver, turns));
        actors.push(sender);
    }
    let mut seconds = Vec::new();
    for _ in 0..count {
        let start = Instant::now();
        let mut answers = Vec::new();
        for actor in &actors {
            let (reply, answer) = oneshot::channel();
            actor.send(reply).await.unwrap();
            answers.push(answer);
        }
        for answer in answers {
            answer.await.unwrap();
        }
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds
}

/// The two runtimes take turns; the figure compares the medians of their rounds.
pub fn measure(options: Options) {
    let turns = calibrate();
    let mut seconds = [Vec::new(), Vec::new()];
    for _ in 0..5 {
        for workers in [1, 2] {
            let runtime = runtime(workers);
            let task = runtime.spawn(rounds(turns, 20));
            seconds[workers - 1].extend(runtime.block_on(task).unwrap());
        }
    }
    let (one, two) = (percentile(&mut seconds[0], 50), percentile(&mut seconds[1], 50));
    options.print(one / two, "times");
}
