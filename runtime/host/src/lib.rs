//! syncline-host
