// SPDX-License-Identifier: MIT
//! Resident memory of what waits: actors that have answered one message, suspended tasks, open connections.

use crate::bench::{resident_bytes, Options};
use std::io::Write;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
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

pub async fn actors(options: Options) {
    let count = options.scaled(1_000_000);
    let mut senders: Vec<mpsc::Sender<Request>> = Vec::with_capacity(count);
    // The vector of handles is the caller's, not the actors': touch it before the first reading.
    unsafe {
        std::ptr::write_bytes(senders.as_mut_ptr() as *mut u8, 1, count * std::mem::size_of::<mpsc::Sender<Request>>())
    };
    let before = resident_bytes();
    for i in 0..count as u64 {
        let (sender, receiver) = mpsc::channel(32);
        tokio::spawn(adder(receiver));
        let (reply, answer) = oneshot::channel();
        if sender.send(Request { value: i, reply }).await.is_err() {
            panic!("actor gone");
        }
        assert_eq!(answer.await.unwrap(), i + 1);
        senders.push(sender);
    }
    options.print((resident_bytes() - before) / count as f64, "bytes");
    std::process::exit(0);
}

pub async fn tasks(options: Options) {
    let count = options.scaled(1_000_000);
    let before = resident_bytes();
    for _ in 0..count {
        tokio::spawn(tokio::time::sleep(Duration::from_secs(3600)));
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    options.print((resident_bytes() - before) / count as f64, "bytes");
    std::process::exit(0);
}

/// Prints "port N", then accepts --count connections, each with a task that waits to read into its buffer of 1 KiB.
pub async fn connections(options: Options) {
    let count = options.number("--count", 100_000);
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    println!("port {}", listener.local_addr().unwrap().port());
    std::io::stdout().flush().unwrap();
    let before = resident_bytes();
    for _ in 0..count {
        let accept = tokio::time::timeout(Duration::from_secs(60), listener.accept());
        let (mut stream, _) = accept.await.expect("a client within a minute").unwrap();
        tokio::spawn(async move {
            let mut buffer = [0u8; 1024];
            while let Ok(bytes) = stream.read(&mut buffer).await {
                if bytes == 0 || stream.write_all(&buffer[..bytes]).await.is_err() {
                    break;
                }
            }
        });
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    options.print((resident_bytes() - before) / count as f64, "bytes");
    std::process::exit(0);
}
