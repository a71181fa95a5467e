//! What a merge function is given, and the error it may answer with.

use std::fmt;

/// One conflict: two sides that changed the same row without having seen each other.
///
/// `T` is how the function looks at a row. See [`Row`](crate::Row) for what it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict<T> {
    /// The table that the row is in.
    pub table: String,
    /// The row's primary key.
    pub row_pk: String,
    /// The row exactly as it was with the changes that both sides have seen. `None` where there was
    /// no row, and always where the function's manifest says `needs_ancestor = false`.
    pub ancestor: Option<T>,
    /// The side with the lower (`hlc`, `region`).
    pub older: Side<T>,
    /// The side with the higher (`hlc`, `region`).
    pub newer: Side<T>,
}

/// One side of a [`Conflict`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side<T> {
    /// The region whose change is the newest on this side, with its `#incarnation` if above 1.
    pub region: String,
    /// That change's hybrid logical timestamp: 48 bits of milliseconds since 1970, then 16 bits of
    /// counter.
    pub hlc: u64,
    /// [`Operation::Delete`] where the image is `None`; otherwise the newest change's operation, or
    /// [`Operation::Update`] if that one was a delete.
    pub operation: Operation,
    /// The row as this side left it; `None` where this side deleted it.
    pub image: Option<T>,
}

/// What a side did to the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The row came to be.
    Insert,
    /// The row was there before.
    Update,
    /// The row is gone.
    Delete,
}

/// A merge function's own refusal.
///
/// The runtime then falls back to the conflict's newest change, in every region alike, and notes
/// the text in the conflict log. So the text is for the person who repairs the row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeError(String);

impl MergeError {
    /// An error with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, as the conflict log will hold it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MergeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for MergeError {}

impl From<String> for MergeError {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for MergeError {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<MergeError> for String {
    fn from(error: MergeError) -> Self {
        error.0
    }
}
