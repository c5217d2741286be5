// SPDX-License-Identifier: MIT
//! tokio-peer: the work of Troupe's benchmarks, done by Tokio.
//!
//!     tokio-peer NAME [--workers N] [--scale F]
//!
//! prints "NAME VALUE UNIT". One worker is the current-thread runtime, more are the multi-thread one. The measuring
//! code is itself spawned, so that with several workers it runs on a worker and not on the thread that waits outside.
//! Each measurement is preceded by a shorter warm-up of the same work.

mod bench;
mod broadcast;
mod call;
mod idle;
mod latency;
mod mailbox;
mod manager;
mod ring;
mod select;
mod spawn;
mod steal;
mod sync;
mod timer;
mod watch;
mod yields;

use bench::Options;

fn main() {
    let options = Options::from_arguments();
    let name = options.name.clone();
    let workers = options.workers;
    match name.trim_end_matches("_2w") {
        "call_handler" | "call_loop" => bench::run(options, |o| call::measure(o, 1)),
        "call_64" => bench::run(options, |o| call::measure(o, 64)),
        "mailbox_1_32" => bench::run(options, |o| mailbox::measure(o, 1, 32)),
        "mailbox_8_32" => bench::run(options, |o| mailbox::measure(o, 8, 32)),
        "mpsc_1_32" => bench::run(options, |o| mailbox::measure(o, 1, 32)),
        "mpsc_1_1024" => bench::run(options, |o| mailbox::measure(o, 1, 1024)),
        "mpsc_8_32" => bench::run(options, |o| mailbox::measure(o, 8, 32)),
        "mpsc_8_1024" => bench::run(options, |o| mailbox::measure(o, 8, 1024)),
        "mpsc_full_1" => bench::run(options, |o| mailbox::measure(o, 5, 1)),
        "mpsc_full_100" => bench::run(options, |o| mailbox::measure(o, 5, 100)),
        "broadcast_16" => bench::run(options, |o| broadcast::measure(o, 16, 1)),
        "broadcast_1000" => bench::run(options, |o| broadcast::measure(o, 1000, 1)),
        "broadcast_16_burst" => bench::run(options, |o| broadcast::measure(o, 16, 512)),
        "broadcast_1000_burst" => bench::run(options, |o| broadcast::measure(o, 1000, 512)),
        "watch_16" => bench::run(options, |o| watch::measure(o, 16)),
        "mutex" => bench::run(options, sync::mutex),
        "semaphore" => bench::run(options, sync::semaphore),
        "notify" => bench::run(options, sync::notify),
        "timer_cpu" => bench::run(options, timer::cpu),
        "timer_bytes" => bench::run(options, timer::bytes),
        "deadline_arm" => bench::run(options, timer::deadline_arm),
        "deadline_yield" => bench::run(options, timer::deadline_yield),
        "select_2" => bench::run(options, select::two),
        "select_64" => bench::run(options, |o| select::many(o, 64)),
        "spawn_join" => bench::run(options, spawn::measure),
        "ring_handlers" | "ring_loops" => bench::run(options, ring::measure),
        "yield" => bench::run(options, |o| yields::measure(o, 64)),
        "yield_1" => bench::run(options, |o| yields::measure(o, 1)),
        "idle_actor_bytes" => bench::run(options, idle::actors),
        "suspended_task_bytes" => bench::run(options, idle::tasks),
        "idle_connections" => bench::run(options, idle::connections),
        "timer_latency_p99" => bench::run(options, latency::timer),
        "socket_latency_p99" => bench::run(options, latency::socket),
        "hog_start_p99" => bench::run(options, latency::hog),
        "steal_speedup" => steal::measure(options),
        "manager" => manager::main(options),
        _ => {
            eprintln!("tokio-peer: no benchmark named {name} (workers {workers})");
            std::process::exit(2);
        }
    }
}
