// SPDX-License-Identifier: MIT
//! 1,000 tasks in a ring pass one token on; the cost of one hop. A token of 0 comes to its end.

use crate::bench::{Options, Stopwatch};
use tokio::sync::mpsc;

const MEMBERS: usize = 1000;

async fn member(mut mailbox: mpsc::Receiver<u64>, next: mpsc::Sender<u64>, done: mpsc::Sender<()>) {
    while let Some(token) = mailbox.recv().await {
        if token == 0 {
            done.send(()).await.unwrap();
        } else {
            next.send(token - 1).await.unwrap();
        }
    }
}

pub async fn measure(options: Options) {
    let (done, mut finished) = mpsc::channel(1);
    let (mut senders, mut receivers) = (Vec::new(), Vec::new());
    for _ in 0..MEMBERS {
        let (sender, receiver) = mpsc::channel::<u64>(32);
        senders.push(sender);
        receivers.push(receiver);
    }
    for (i, receiver) in receivers.into_iter().enumerate() {
        tokio::spawn(member(receiver, senders[(i + 1) % MEMBERS].clone(), done.clone()));
    }
    let hops = options.scaled(2_000_000) as u64;
    senders[0].send(hops / 10).await.unwrap();
    finished.recv().await.unwrap();
    let watch = Stopwatch::start();
    senders[0].send(hops).await.unwrap();
    finished.recv().await.unwrap();
    options.print_cost(watch.stop(hops as usize));
}
