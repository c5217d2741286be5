// SPDX-License-Identifier: MIT
//! How late things happen beside tasks that never rest: a timer and a socket beside a ping-pong, a start beside a hog.

use crate::bench::{percentile, Options};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// Two ping-pong pairs per worker, until `stop`.
fn start_ping_pong(workers: usize, stop: &Arc<AtomicBool>) {
    for _ in 0..2 * workers {
        let (to_b, mut at_b) = mpsc::channel::<u64>(32);
        let (to_a, mut at_a) = mpsc::channel::<u64>(32);
        let stop = stop.clone();
        tokio::spawn(async move {
            while let Some(ball) = at_b.recv().await {
                if to_a.send(ball).await.is_err() {
                    break;
                }
            }
        });
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) && to_b.send(1).await.is_ok() {
                at_a.recv().await;
            }
        });
    }
}

pub async fn timer(options: Options) {
    let stop = Arc::new(AtomicBool::new(false));
    start_ping_pong(options.workers, &stop);
    let mut late = Vec::new();
    for _ in 0..options.scaled(400) {
        let due = Instant::now() + Duration::from_millis(3);
        tokio::time::sleep_until(due.into()).await;
        late.push(due.elapsed().as_nanos() as f64 / 1e6);
    }
    stop.store(true, Ordering::Relaxed);
    options.print(percentile(&mut late, 99), "ms");
}

pub async fn socket(options: Options) {
    let stop = Arc::new(AtomicBool::new(false));
    start_ping_pong(options.workers, &stop);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = options.scaled(400);
    let epoch = Instant::now();
    let writer = std::thread::spawn(move || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        for _ in 0..count {
            std::thread::sleep(Duration::from_millis(3));
            stream.write_all(&(epoch.elapsed().as_nanos() as u64).to_ne_bytes()).unwrap();
        }
    });
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut late = Vec::new();
    let mut stamp = [0u8; 8];
    while stream.read_exact(&mut stamp).await.is_ok() {
        late.push((epoch.elapsed().as_nanos() as u64 - u64::from_ne_bytes(stamp)) as f64 / 1e6);
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    options.print(percentile(&mut late, 99), "ms");
}

/// A task makes another ready, then keeps its worker for 10 ms: how long until the other starts?
pub async fn hog(options: Options) {
    let mut late = Vec::new();
    for round in 0..options.scaled(100) {
        if round % 2 == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let hog = tokio::spawn(async {
            let ready = Instant::now();
            let beside = tokio::spawn(async move { ready.elapsed() });
            while ready.elapsed() < Duration::from_millis(10) {}
            beside.await.unwrap()
        });
        late.push(hog.await.unwrap().as_nanos() as f64 / 1e6);
    }
    options.print(percentile(&mut late, 99), "ms");
}
