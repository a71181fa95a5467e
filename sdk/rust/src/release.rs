//! What the host calls once it has read an answer, where the allocator can use the memory again.

use std::ptr;

use crate::component::AbiAnswer;

/// Gives back what [`call`](crate::component::call) answered with.
///
/// # Safety
/// `answer` is from there, and nobody reads it any more.
pub unsafe fn release(answer: *mut AbiAnswer) {
    // SAFETY: as the caller promises: the answer is a box.
    let (start, length) = match unsafe { *Box::from_raw(answer) } {
        [0, 0, ..] => return,
        [0, _, start, length] | [_, start, length, _] => (start, length),
    };
    let bytes =
        ptr::slice_from_raw_parts_mut(ptr::with_exposed_provenance_mut::<u8>(start), length);
    // SAFETY: as above: these are the bytes of the box that was lowered into the answer.
    drop(unsafe { Box::from_raw(bytes) });
}

/// Exports [`release`]. Empty where memory is never given back.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_post_merge {
    () => {
        #[unsafe(export_name = "cabi_post_merge")]
        unsafe extern "C" fn post_entry(answer: *mut $crate::component::AbiAnswer) {
            // SAFETY: the host calls this, with what `merge` returned, once it has read it.
            unsafe { $crate::component::release(answer) }
        }
    };
}
