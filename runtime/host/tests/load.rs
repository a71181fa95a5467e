//! Many at once, slow machines, and functions that are not here.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod guest;

use std::time::{Duration, Instant};

use guest::{Guest, answering, case, doing, host, load, merged};
use syncline_core::{FunctionVersion, HostFault, MergeFunctions as _};
use syncline_host::{Host, HostConfig, StartError};

/// Takes all of the default fuel, which is some tens of milliseconds.
const LOOP: &str = "(loop $l (br $l)) unreachable";

fn host_with(slots: u32, wall_clock_limit: Duration) -> Host {
    let config = HostConfig { slots, functions: 2, wall_clock_limit, ..HostConfig::default() };
    Host::new(config).unwrap()
}

#[test]
fn a_function_that_is_not_here_is_no_answer() {
    let host = host();
    let version = FunctionVersion::of(b"elsewhere");
    assert_eq!(host.merge(&version, &case().input()), Err(HostFault::NotHere(version)));
    let here = load(&host, &Guest::default());
    assert!(host.merge(&here, &case().input()).is_ok());
    host.remove(&here);
    assert_eq!(host.merge(&here, &case().input()), Err(HostFault::NotHere(here)));
}

#[test]
fn the_wall_clock_ends_a_call_wherever_it_is() {
    let host = host_with(1, Duration::from_millis(2));
    let fault = Err(HostFault::Backstop { limit_ms: 2 });
    let guests = [
        doing(LOOP),
        Guest { realloc: LOOP.into(), ..Guest::default() },
        Guest { post_return: "(loop $l (br $l))".into(), ..Guest::default() },
        Guest { start: Some("(loop $l (br $l))".into()), ..Guest::default() },
    ];
    for guest in guests {
        let version = load(&host, &guest);
        // More often than there are slots and stacks: what was stopped gives back all that it had.
        for _ in 0..20 {
            assert_eq!(host.merge(&version, &case().input()), fault, "{}", guest.merge);
        }
    }
    // The first call on a busy machine may take longer than this limit too.
    let echo = load(&host, &Guest::default());
    let answer = Ok(merged(r#"{"n":2}"#));
    assert!((0..200).any(|_| host.merge(&echo, &case().input()) == answer));
}

#[test]
fn more_calls_than_slots_wait_for_one_another() {
    let host = host_with(1, Duration::from_secs(60));
    let version = load(&host, &Guest::default());
    let slow = load(&host, &doing(LOOP));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let answer = host.merge(&version, &case().input()).unwrap();
                    assert_eq!(answer, merged(r#"{"n":2}"#));
                }
                assert_eq!(
                    host.merge(&slow, &case().input()).unwrap().unwrap_err().code(),
                    "out-of-fuel"
                );
            });
        }
    });
}

#[test]
fn a_call_that_finds_no_slot_in_its_time_is_no_answer() {
    let host = host_with(1, Duration::from_millis(20));
    let version = load(&host, &doing(LOOP));
    let faults: usize = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    (0..10).filter(|_| host.merge(&version, &case().input()).is_err()).count()
                })
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).sum()
    });
    assert!(faults > 0);
}

#[test]
fn threads_do_not_disturb_one_another() {
    let host = host();
    let functions: Vec<_> = (0..6)
        .map(|n| {
            let json = format!("{{\"n\":{n}}}");
            (load(&host, &answering(json.as_bytes())), merged(&json))
        })
        .collect();
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (host, functions) = (host.clone(), &functions);
            scope.spawn(move || {
                for call in 0..2_000 {
                    let (version, answer) = &functions[(call + thread) % functions.len()];
                    assert_eq!(host.merge(version, &case().input()).unwrap(), *answer);
                }
            });
        }
    });
}

#[test]
fn loading_at_once_and_while_others_call_is_fine() {
    let host = host();
    let busy = load(&host, &Guest::default());
    let component = answering(b"{\"late\":1}").component();
    let version = FunctionVersion::of(&component);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..20 {
                    host.load(version, &component).unwrap();
                    let _ = host.merge(&version, &case().input());
                    host.remove(&version);
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..2_000 {
                assert_eq!(host.merge(&busy, &case().input()).unwrap(), merged(r#"{"n":2}"#));
            }
        });
    });
}

#[test]
fn a_small_stack_of_the_caller_is_enough() {
    let host = host();
    let version = load(&host, &Guest::default());
    std::thread::Builder::new()
        .stack_size(128 << 10)
        .spawn(move || {
            assert_eq!(host.merge(&version, &case().input()).unwrap(), merged(r#"{"n":2}"#))
        })
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn slots_are_within_reason() {
    for slots in [0, 513, u32::MAX] {
        let config = HostConfig { slots, ..HostConfig::default() };
        assert!(matches!(Host::new(config), Err(StartError::Slots(n)) if n == slots));
    }
    for (slots, functions) in [(1, 0), (512, u32::MAX)] {
        let host = Host::new(HostConfig { slots, functions, ..HostConfig::default() }).unwrap();
        let version = load(&host, &Guest::default());
        let started = Instant::now();
        assert!(host.merge(&version, &case().input()).is_ok());
        assert!(started.elapsed() < Duration::from_secs(10));
    }
}
