//! syncline-integration
