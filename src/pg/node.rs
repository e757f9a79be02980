//! The planner's lists.
#![expect(unsafe_code, reason = "reads the planner's nodes")]

use pgrx::pg_sys;

/// The pointers in a list, in order; `NIL` has none.
///
/// # Safety
/// The list is `NIL`, or a valid list of pointers to `T` that does not change meanwhile.
pub(crate) unsafe fn items<T>(list: *mut pg_sys::List) -> impl Iterator<Item = *mut T> {
    // SAFETY: the caller's promise; NIL has no elements.
    let length = unsafe { list.as_ref() }.map_or(0, |list| list.length);
    (0..usize::try_from(length).expect("a length")).map(move |at| {
        // SAFETY: the list has an element at this place, which is a pointer.
        unsafe { (*(*list).elements.add(at)).ptr_value.cast::<T>() }
    })
}
