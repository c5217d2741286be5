// SPDX-License-Identifier: MIT
//! P producers send 8-byte messages to one receiver through mpsc(CAPACITY).

use crate::bench::{Cost, Options, Stopwatch};
use tokio::sync::mpsc;

async fn produce(mailbox: mpsc::Sender<u64>, count: usize) {
    for _ in 0..count {
        mailbox.send(1).await.unwrap();
    }
}

async fn consume(mut mailbox: mpsc::Receiver<u64>) -> u64 {
    let mut sum = 0;
    while let Some(message) = mailbox.recv().await {
        sum += message;
    }
    sum
}

async fn round(producers: usize, capacity: usize, messages: usize) -> Cost {
    let each = messages / producers;
    let watch = Stopwatch::start();
    let (sender, receiver) = mpsc::channel(capacity);
    let consumer = tokio::spawn(consume(receiver));
    for _ in 0..producers {
        tokio::spawn(produce(sender.clone(), each));
    }
    drop(sender);
    assert_eq!(consumer.await.unwrap(), (each * producers) as u64);
    watch.stop(each * producers)
}

pub async fn measure(options: Options, producers: usize, capacity: usize) {
    let messages = options.scaled(5_000_000);
    round(producers, capacity, messages / 10).await;
    options.print_cost(round(producers, capacity, messages).await);
}
