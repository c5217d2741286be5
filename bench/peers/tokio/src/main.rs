// SPDX-License-Identifier: MIT
//! tokio-peer: the work of Troupe's benchmarks, done by Tokio.
//!
//!     tokio-peer NAME [--workers N] [--scale F]
//!
//! prints "NAME VALUE UNIT". One worker is the current-thread runtime, more are the multi-thread one. The measuring
//! code is itself spawned, so that with several workers it runs on a worker and not on the thread that waits outside.
//! Each measurement is preceded by a shorter warm-up of the same work.

mod bench;
mod call;
mod idle;
mod latency;
mod mailbox;
mod manager;
mod ring;
mod spawn;
mod steal;
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
