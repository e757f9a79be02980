//! Functions of SQL that Postgres calls with little in between. What `pg_extern` puts there, a change of the memory context above
//! all, takes a third as long as the distance of two vectors of 384 dimensions.
#![expect(unsafe_code, reason = "reads the arguments of a call")]

use pgrx::FromDatum;
use pgrx::pg_sys::{Datum, FunctionCallInfo, Pg_finfo_record};

/// A C function of calling convention 1.
pub(crate) type Function = unsafe extern "C-unwind" fn(FunctionCallInfo) -> Datum;

/// The record by which Postgres knows how to call a [`Function`].
pub(crate) static VERSION_1: Pg_finfo_record = Pg_finfo_record { api_version: 1 };

/// Exports what says that the function of a name is a [`Function`].
macro_rules! describe {
    ($name:expr) => {
        #[unsafe(export_name = concat!("pg_finfo_", $name))]
        extern "C" fn describe() -> &'static pgrx::pg_sys::Pg_finfo_record {
            &$crate::pg::call::VERSION_1
        }
    };
}
pub(crate) use describe;

/// Functions of SQL that make an `f64` of two values of one type, none of them NULL. `NAME_wrapper` is what SQL calls, as with
/// `pg_extern`.
macro_rules! distance_functions {
    ($type:ty: $($name:ident = $distance:expr;)*) => {
        $(const _: () = {
            #[unsafe(export_name = concat!(stringify!($name), "_wrapper"))]
            #[pgrx::pg_guard]
            unsafe extern "C-unwind" fn wrapper(
                call: pgrx::pg_sys::FunctionCallInfo,
            ) -> pgrx::pg_sys::Datum {
                // SAFETY: our SQL declares two arguments of the type, and STRICT.
                let (a, b) = unsafe { $crate::pg::call::two_arguments::<$type>(call) };
                let distance: fn(&$type, &$type) -> f64 = $distance;
                $crate::pg::call::float8(distance(&a, &b))
            }

            $crate::pg::call::describe!(concat!(stringify!($name), "_wrapper"));
        };)*
    };
}
pub(crate) use distance_functions;

/// The arguments of a call with two.
///
/// # Safety
/// Both are of the SQL type of `T`. What is made of them is gone when the call ends.
#[inline]
pub(crate) unsafe fn two_arguments<T: FromDatum>(call: FunctionCallInfo) -> (T, T) {
    // SAFETY: the caller vouches for number and type.
    unsafe {
        let arguments = (*call).args.as_slice(2);
        let value = |at: usize| {
            let argument = &arguments[at];
            T::from_datum(argument.value, argument.isnull).expect("declared strict")
        };
        (value(0), value(1))
    }
}

/// A `float8` as Postgres passes it (`Float8GetDatum` where a `Datum` has eight bytes).
#[inline]
pub(crate) fn float8(value: f64) -> Datum {
    Datum::from(value.to_bits())
}
