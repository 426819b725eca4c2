//! How often a second a target's whole check of a permit can be made on one core: order, push, number, request and two
//! approvals, six signatures in all, three of them the permit's; then roles, withdrawals and times. Prints JSON.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot set its scene should stop there")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

#[path = "../tests/attacks/world.rs"]
#[expect(dead_code, reason = "the attacks need more of the scene than this")]
mod world;

fn main() {
    let attempt = world::Attempt::new(world::whole());
    let (began, mut checks) = (Instant::now(), 0u64);
    while began.elapsed() < Duration::from_secs(3) {
        for _ in 0..100 {
            assert!(black_box(&attempt).run().is_ok());
        }
        checks += 100;
    }
    let per_second = checks as f64 / began.elapsed().as_secs_f64();
    println!("{{\"permit\":{{\"per_second\":{per_second:.0},\"signatures\":6}}}}");
}
