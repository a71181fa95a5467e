//! syncline-node
