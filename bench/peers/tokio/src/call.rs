// SPDX-License-Identifier: MIT
//! A request of 8 bytes to an actor task and its answer: mpsc(32) there, a oneshot back.

use crate::bench::{Cost, Options, Stopwatch};
use tokio::sync::{mpsc, oneshot};

struct Request {
    value: u64,
    reply: oneshot::Sender<u64>,
}

async fn adder(mut requests: mpsc::Receiver<Request>) {
    while let Some(request) = requests.recv().await {
        let _ = request.reply.send(request.value + 1);
    }
}

async fn client(adder: mpsc::Sender<Request>, calls: usize) {
    for i in 0..calls as u64 {
        let (reply, answer) = oneshot::channel();
        if adder.send(Request { value: i, reply }).await.is_err() {
            panic!("actor gone");
        }
        assert_eq!(answer.await.unwrap(), i + 1);
    }
}

async fn round(adder: &mpsc::Sender<Request>, clients: usize, calls: usize) -> Cost {
    let watch = Stopwatch::start();
    let tasks: Vec<_> = (0..clients).map(|_| tokio::spawn(client(adder.clone(), calls / clients))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    watch.stop(calls / clients * clients)
}

pub async fn measure(options: Options, clients: usize) {
    let (sender, receiver) = mpsc::channel(32);
    tokio::spawn(adder(receiver));
    let calls = options.scaled(2_000_000);
    round(&sender, clients, calls / 10).await;
    options.print_cost(round(&sender, clients, calls).await);
}
