// SPDX-License-Identifier: MIT
//! A pipelined Redis client manager: client tasks send requests with a oneshot into mpsc(CAPACITY); a writer task takes
//! all that wait and sends them with one write; a reader task matches the replies in order.
//!
//!     tokio-peer manager --port N [--clients 64] [--requests 1000000] [--value-bytes 64] [--capacity 1024] [--workers 1]
//!
//! The same workload as samples/redis-manager: each client reads and writes 16 keys of its own at random, half and half,
//! checks every value and notes the time of every request. Prints requests per second; the harness reads the CPU time
//! from the finished process.

use crate::bench::{runtime, Options};
use bytes::Bytes;
use std::io::Write;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

type Reply = Result<Option<Bytes>, String>;

enum Command {
    Get { key: Bytes },
    Set { key: Bytes, value: Bytes },
}

struct Request {
    command: Command,
    reply: oneshot::Sender<Reply>,
}

fn encode_parts(parts: &[&[u8]], out: &mut Vec<u8>) {
    write!(out, "*{}\r\n", parts.len()).unwrap();
    for part in parts {
        write!(out, "${}\r\n", part.len()).unwrap();
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
}

fn encode(command: &Command, out: &mut Vec<u8>) {
    match command {
        Command::Get { key } => encode_parts(&[b"GET", key], out),
        Command::Set { key, value } => encode_parts(&[b"SET", key, value], out),
    }
}

async fn write_requests(
    mut requests: mpsc::Receiver<Request>,
    mut socket: OwnedWriteHalf,
    waiting: mpsc::UnboundedSender<oneshot::Sender<Reply>>,
) {
    let mut out = Vec::with_capacity(64 * 1024);
    while let Some(first) = requests.recv().await {
        out.clear();
        let mut next = Some(first);
        while let Some(request) = next {
            encode(&request.command, &mut out);
            if waiting.send(request.reply).is_err() {
                return;
            }
            next = if out.len() < 60 * 1024 { requests.try_recv().ok() } else { None };
        }
        if socket.write_all(&out).await.is_err() {
            return;
        }
    }
}

/// One whole reply at the start of `bytes`, and its length; None if more must be read.
fn parse(bytes: &[u8]) -> Option<(Reply, usize)> {
    let end = bytes.windows(2).position(|w| w == b"\r\n")?;
    let line = &bytes[1..end];
    match bytes[0] {
        b'$' => {
            let length: i64 = std::str::from_utf8(line).ok()?.parse().ok()?;
            if length < 0 {
                return Some((Ok(None), end + 2));
            }
            let (from, to) = (end + 2, end + 2 + length as usize);
            if bytes.len() < to + 2 {
                return None;
            }
            Some((Ok(Some(Bytes::copy_from_slice(&bytes[from..to]))), to + 2))
        }
        b'+' | b':' => Some((Ok(None), end + 2)),
        _ => Some((Err(String::from_utf8_lossy(line).into_owned()), end + 2)),
    }
}

async fn read_replies(mut socket: OwnedReadHalf, mut waiting: mpsc::UnboundedReceiver<oneshot::Sender<Reply>>) {
    let mut buffer = vec![0u8; 64 * 1024];
    let (mut start, mut end) = (0, 0);
    loop {
        while let Some((reply, length)) = if start < end { parse(&buffer[start..end]) } else { None } {
            start += length;
            match waiting.recv().await {
                Some(caller) => drop(caller.send(reply)),
                None => return,
            }
        }
        buffer.copy_within(start..end, 0);
        end -= start;
        start = 0;
        match socket.read(&mut buffer[end..]).await {
            Ok(bytes) if bytes > 0 => end += bytes,
            _ => return,
        }
    }
}

async fn ask(manager: &mpsc::Sender<Request>, command: Command) -> Option<Bytes> {
    let (reply, answer) = oneshot::channel();
    if manager.send(Request { command, reply }).await.is_err() {
        panic!("manager gone");
    }
    answer.await.expect("reply lost").expect("server's error")
}

const KEYS: usize = 16;

struct Key {
    name: Bytes,
    id: u64,
    version: u64,
}

/// The value of a version: the first word says which it is, the others follow from it.
fn value_of(key: &Key, value_bytes: usize) -> Bytes {
    let first = key.id << 32 | key.version;
    let seed = first.wrapping_mul(0x9e3779b97f4a7c15);
    let mut value = Vec::with_capacity(value_bytes + 8);
    value.extend_from_slice(&first.to_ne_bytes());
    for i in 1..(value_bytes as u64 + 7) / 8 {
        value.extend_from_slice(&seed.wrapping_add(i.wrapping_mul(0xd1b54a32d192ed03)).to_ne_bytes());
    }
    value.truncate(value_bytes);
    value.into()
}

fn next_random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

async fn client(manager: mpsc::Sender<Request>, index: usize, requests: usize, value_bytes: usize) -> [u64; 64] {
    let name = |i: usize| Bytes::from(format!("bench:{index}:{i}"));
    let mut keys: Vec<Key> =
        (0..KEYS).map(|i| Key { name: name(i), id: (index * KEYS + i) as u64, version: 0 }).collect();
    let mut random = (index as u64).wrapping_mul(0x9e3779b97f4a7c15) | 1;
    let mut histogram = [0; 64];
    let mut now = Instant::now();
    for _ in 0..requests {
        let drawn = next_random(&mut random);
        let key = &mut keys[(drawn >> 32) as usize % KEYS];
        if drawn & 1 == 0 || key.version == 0 {
            key.version += 1;
            ask(&manager, Command::Set { key: key.name.clone(), value: value_of(key, value_bytes) }).await;
        } else {
            let found = ask(&manager, Command::Get { key: key.name.clone() }).await;
            assert_eq!(found, Some(value_of(key, value_bytes)));
        }
        let end = Instant::now();
        histogram[64 - ((end - now).as_nanos() as u64 | 1).leading_zeros() as usize] += 1;
        now = end;
    }
    histogram
}

async fn workload(options: Options) {
    let (clients, requests) = (options.number("--clients", 64), options.number("--requests", 1_000_000));
    let value_bytes = options.number("--value-bytes", 64);
    let capacity = options.number("--capacity", 1024);
    let socket = TcpStream::connect(("127.0.0.1", options.number("--port", 6379) as u16)).await.expect("connect");
    socket.set_nodelay(true).unwrap();
    let (read_half, write_half) = socket.into_split();
    let (manager, inbox) = mpsc::channel(capacity);
    let (tokens, waiting) = mpsc::unbounded_channel();
    tokio::spawn(write_requests(inbox, write_half, tokens));
    tokio::spawn(read_replies(read_half, waiting));
    let start = Instant::now();
    let tasks: Vec<_> =
        (0..clients).map(|i| tokio::spawn(client(manager.clone(), i, requests / clients, value_bytes))).collect();
    let mut answered = 0;
    for task in tasks {
        answered += task.await.unwrap().iter().sum::<u64>();
    }
    assert_eq!(answered as usize, requests / clients * clients);
    let done = (requests / clients * clients) as f64;
    println!("requests_per_second {:.0} 1/s", done / start.elapsed().as_secs_f64());
}

pub fn main(options: Options) {
    let runtime = runtime(options.workers);
    let task = runtime.spawn(workload(options));
    runtime.block_on(task).expect("benchmark failed");
    runtime.shutdown_background();
}
