// SPDX-License-Identifier: MIT
//! What the measurements share: arguments, the runtime, the clock, memory figures, the printed line.

use std::future::Future;
use std::time::Instant;
use tokio::runtime::{Builder, Runtime};

#[derive(Clone)]
pub struct Options {
    pub name: String,
    pub workers: usize,
    pub scale: f64,
    /// All arguments, for the few measurements with options of their own.
    pub arguments: Vec<String>,
}

impl Options {
    pub fn from_arguments() -> Options {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let mut options =
            Options { name: arguments.first().cloned().unwrap_or_default(), workers: 1, scale: 1.0, arguments };
        options.workers = options.text("--workers", "1").parse().expect("--workers N");
        options.scale = options.text("--scale", "1").parse().expect("--scale F");
        options
    }

    pub fn text(&self, flag: &str, default: &str) -> String {
        let at = self.arguments.iter().position(|a| a == flag);
        at.and_then(|i| self.arguments.get(i + 1)).cloned().unwrap_or_else(|| default.to_string())
    }

    pub fn number(&self, flag: &str, default: usize) -> usize {
        self.text(flag, &default.to_string()).parse().unwrap_or_else(|_| panic!("{flag} N"))
    }

    pub fn scaled(&self, count: usize) -> usize {
        ((count as f64 * self.scale) as usize).max(1)
    }

    pub fn print_cost(&self, cost: Cost) {
        println!("{} {:.3} ns cpu={:.3}", self.name, cost.wall, cost.cpu);
    }

    pub fn print(&self, value: f64, unit: &str) {
        println!("{} {:.3} {}", self.name, value, unit);
    }
}

pub fn runtime(workers: usize) -> Runtime {
    let mut builder = if workers == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    if workers > 1 {
        builder.worker_threads(workers);
    }
    builder.enable_all().build().expect("runtime")
}

/// Runs `body` as a task of a new runtime and waits for its end.
pub fn run<F, B>(options: Options, body: B)
where
    B: FnOnce(Options) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = runtime(options.workers);
    let task = runtime.spawn(body(options));
    runtime.block_on(task).expect("benchmark failed");
    runtime.shutdown_background();
}

/// Wall time and CPU time of this process since the start.
pub struct Stopwatch {
    wall: Instant,
    cpu_ns: f64,
}

impl Stopwatch {
    pub fn start() -> Stopwatch {
        Stopwatch { cpu_ns: cpu_ns(), wall: Instant::now() }
    }

    pub fn stop(&self, operations: usize) -> Cost {
        let wall_ns = self.wall.elapsed().as_nanos() as f64;
        Cost { wall: wall_ns / operations as f64, cpu: (cpu_ns() - self.cpu_ns) / operations as f64 }
    }
}

/// Nanoseconds per operation.
pub struct Cost {
    wall: f64,
    pub cpu: f64,
}

fn cpu_ns() -> f64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut now) };
    now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
}

/// Resident bytes of this process.
pub fn resident_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("VmRSS");
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024.0
}

/// The value below which `percent` of 100 samples lie.
pub fn percentile(samples: &mut [f64], percent: usize) -> f64 {
    samples.sort_by(|a, b| a.partial_cmp(b).unwrap());
    samples[(samples.len() * percent / 100).min(samples.len() - 1)]
}
