// SPDX-License-Identifier: MIT
//! Waiting for one of several channels: of two that always have a message, and of 64 of which one gets a message.

use crate::bench::{Cost, Options, Stopwatch};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::{mpsc, Notify};

/// select! over two receivers; the one that was taken from is filled again by a try_send.
async fn take_from_two(turns: usize) -> Cost {
    let (left, mut at_left) = mpsc::channel(32);
    let (right, mut at_right) = mpsc::channel(32);
    left.try_send(1u64).unwrap();
    right.try_send(1u64).unwrap();
    let watch = Stopwatch::start();
    let mut sum = 0;
    for _ in 0..turns {
        tokio::select! {
            Some(message) = at_left.recv() => {
                sum += message;
                left.try_send(1).unwrap();
            }
            Some(message) = at_right.recv() => {
                sum += message;
                right.try_send(1).unwrap();
            }
        }
    }
    let cost = watch.stop(turns);
    assert_eq!(sum, turns as u64);
    cost
}

pub async fn two(options: Options) {
    let turns = options.scaled(5_000_000);
    take_from_two(turns / 10).await;
    options.print_cost(take_from_two(turns).await);
}

/// Sends to a channel at random, then waits until that message has been taken.
async fn feed(senders: Vec<mpsc::Sender<u64>>, turns: usize, taken: Arc<Notify>) {
    let mut random = 1u64;
    for _ in 0..turns {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let sender = &senders[(random >> 33) as usize % senders.len()];
        sender.try_send(random).unwrap();
        taken.notified().await;
    }
}

/// All receivers are polled in one task until one has a message; the next turn begins with another of them.
async fn take_from_many(channels: usize, turns: usize) -> Cost {
    let (senders, mut receivers): (Vec<_>, Vec<_>) = (0..channels).map(|_| mpsc::channel(32)).unzip();
    let taken = Arc::new(Notify::new());
    let feeder = tokio::spawn(feed(senders, turns, taken.clone()));
    let watch = Stopwatch::start();
    for turn in 0..turns {
        let message = poll_fn(|context| {
            for i in 0..channels {
                if let Poll::Ready(message) = receivers[(turn + i) % channels].poll_recv(context) {
                    return Poll::Ready(message);
                }
            }
            Poll::Pending
        });
        assert!(message.await.is_some());
        taken.notify_one();
    }
    let cost = watch.stop(turns);
    feeder.await.unwrap();
    cost
}

pub async fn many(options: Options, channels: usize) {
    let turns = options.scaled(500_000);
    take_from_many(channels, turns / 10).await;
    options.print_cost(take_from_many(channels, turns).await);
}
