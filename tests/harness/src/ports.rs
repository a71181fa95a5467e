//! Ports that nobody listens on.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// Below the ports that systems give to outgoing connections, which would come and go.
const PORTS: std::ops::Range<u32> = 20_000..32_000;

/// The first of so many ports in a row that nobody listens on.
pub(crate) fn free_ports(count: usize) -> Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let room = PORTS.end - PORTS.start - count as u32;
    for _ in 0..room {
        // Processes that run at the same time start far from each other.
        let step = NEXT.fetch_add(count as u32, Ordering::Relaxed);
        let start = PORTS.start + std::process::id().wrapping_mul(641).wrapping_add(step) % room;
        let free = |port: u32| {
            u16::try_from(port)
                .is_ok_and(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        };
        if (start..start + count as u32).all(free) {
            return u16::try_from(start).context("ports have 16 bits");
        }
        // Look again from another place; the time between keeps two processes from racing.
        thread::sleep(Duration::from_millis(1));
    }
    bail!("there are no {count} free ports in a row from {} on", PORTS.start)
}
