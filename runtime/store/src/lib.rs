//! syncline-store
