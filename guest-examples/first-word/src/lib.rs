//! Who spoke first is right: the older side wins, whatever it did.

use syncline_sdk::{Conflict, MergeError, Raw, merge_function};

/// Takes the older side as it is; where it deleted the row, the row is gone.
///
/// # Errors
/// Never.
#[merge_function]
pub fn merge(c: Conflict<Raw<'_>>) -> Result<Option<Raw<'_>>, MergeError> {
    Ok(c.older.image)
}
