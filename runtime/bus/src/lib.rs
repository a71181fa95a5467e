//! syncline-bus
