//! syncline-harness
