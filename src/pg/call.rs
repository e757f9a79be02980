//! SQL functions, each inside a [`boundary`](super::boundary()). Distances have little else between Postgres and the Rust
//! function: the wrapper of `pg_extern`, mainly its switch of the memory context, takes a third as long as the distance of two
//! vectors of 384 dimensions.
#![expect(unsafe_code, reason = "reads the arguments of a call")]

use pgrx::FromDatum;
use pgrx::callconv::{ArgAbi, Args, CallCx, FcInfo, RetAbi};
use pgrx::pg_sys::{self, Datum, FunctionCallInfo, Pg_finfo_record};

use super::soft;

/// A C function of calling convention 1.
pub(crate) type Function = unsafe extern "C-unwind" fn(FunctionCallInfo) -> Datum;

/// The record of the calling convention of a [`Function`].
pub(crate) static VERSION_1: Pg_finfo_record = Pg_finfo_record { api_version: 1 };

/// Exports the `pg_finfo_` function of a [`Function`]: it returns [`VERSION_1`].
macro_rules! describe {
    ($name:expr) => {
        #[unsafe(export_name = concat!("pg_finfo_", $name))]
        extern "C" fn describe() -> &'static pgrx::pg_sys::Pg_finfo_record {
            &$crate::pg::call::VERSION_1
        }
    };
}
pub(crate) use describe;

/// Returns the C function that reads literals of a type; `None` if it is not written in C.
pub(crate) fn input_function_of(oid: pg_sys::Oid) -> Option<Function> {
    let (mut function, mut parameter) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
    let mut info = pg_sys::FmgrInfo::default();
    // SAFETY: reads the catalogs; a type without an input function is an ERROR.
    unsafe {
        pg_sys::getTypeInputInfo(oid, &raw mut function, &raw mut parameter);
        pg_sys::fmgr_info(function, &raw mut info);
    }
    info.fn_addr
}

/// Exports a Rust function to SQL as `NAME_wrapper`. Our SQL declares it with the arguments of the Rust function, and STRICT unless
/// each of them is an `Option`.
macro_rules! sql_function {
    ($name:ident) => {
        $crate::pg::call::sql_function!($name, $crate::pg::call::run);
    };
    ($name:ident, $run:path) => {
        #[allow(unsafe_code, reason = "exported and called by Postgres")]
        const _: () = {
            #[unsafe(export_name = concat!(stringify!($name), "_wrapper"))]
            unsafe extern "C-unwind" fn wrapper(
                call: pgrx::pg_sys::FunctionCallInfo,
            ) -> pgrx::pg_sys::Datum {
                // SAFETY: Postgres calls it as our SQL declares it.
                $crate::pg::boundary(|| unsafe { $run(call, $name) })
            }

            $crate::pg::call::describe!(concat!(stringify!($name), "_wrapper"));
        };
    };
}
pub(crate) use sql_function;

/// As `sql_function`, for the input function of a type: its caller may ask for a soft error instead of an ERROR.
macro_rules! input_function {
    ($name:ident) => {
        $crate::pg::call::sql_function!($name, $crate::pg::call::run_input);
    };
}
pub(crate) use input_function;

/// A Rust function callable from SQL: pgrx can convert its arguments and its result.
pub(crate) trait SqlFunction<'fcx, Arguments> {
    type Returned: RetAbi;

    /// # Safety
    /// The arguments are of these types and not NULL.
    unsafe fn call(self, arguments: Args<'_, 'fcx>) -> Self::Returned;
}

macro_rules! sql_functions_of {
    ($($argument:ident)*) => {
        impl<'fcx, F, R, $($argument),*> SqlFunction<'fcx, ($($argument,)*)> for F
        where
            F: FnOnce($($argument),*) -> R,
            R: RetAbi,
            $($argument: ArgAbi<'fcx>,)*
        {
            type Returned = R;

            #[allow(unused_mut, unused_variables, reason = "a function need not have arguments")]
            unsafe fn call(self, mut arguments: Args<'_, 'fcx>) -> R {
                // SAFETY: the caller's promise.
                self($(unsafe { argument::<$argument>(&mut arguments) }),*)
            }
        }
    };
}

sql_functions_of!();
sql_functions_of!(A);
sql_functions_of!(A B);
sql_functions_of!(A B C);
sql_functions_of!(A B C D);
sql_functions_of!(A B C D E G H);

/// # Safety
/// The next argument is of this type and not NULL.
unsafe fn argument<'fcx, A: ArgAbi<'fcx>>(arguments: &mut Args<'_, 'fcx>) -> A {
    // SAFETY: the caller's promise.
    unsafe { arguments.next_arg_unchecked() }.expect("as many arguments as declared")
}

/// Runs a function for one call; Postgres calls a function that returns a set once per row.
///
/// # Safety
/// The call's arguments are of the function's types and not NULL.
pub(crate) unsafe fn run<'fcx, Arguments, F: SqlFunction<'fcx, Arguments>>(
    call: FunctionCallInfo,
    function: F,
) -> Datum {
    // SAFETY: the caller's promise. Rows of a set live in the memory context made for the set.
    unsafe {
        let mut call = FcInfo::from_ptr(call);
        let returned = match F::Returned::check_and_prepare(&mut call) {
            CallCx::WrappedFn(context) => {
                let outer = pg_sys::MemoryContextSwitchTo(context);
                let returned = function.call(call.args()).to_ret();
                pg_sys::MemoryContextSwitchTo(outer);
                returned
            }
            CallCx::RestoreCx => F::Returned::ret_from_fcx(&mut call),
        };
        F::Returned::box_ret_in(&mut call, returned).sans_lifetime()
    }
}

/// Runs an input function for one call; see [`soft`].
///
/// # Safety
/// As for [`run`].
pub(crate) unsafe fn run_input<'fcx, Arguments, F: SqlFunction<'fcx, Arguments>>(
    call: FunctionCallInfo,
    function: F,
) -> Datum {
    // SAFETY: the caller's promise.
    unsafe { soft::input(call, || run(call, function)) }
}

/// Exports SQL functions, as `NAME_wrapper`: each returns an `f64` for two values of one type, both not NULL.
macro_rules! distance_functions {
    ($type:ty: $($name:ident = $distance:expr;)*) => {
        $(const _: () = {
            #[unsafe(export_name = concat!(stringify!($name), "_wrapper"))]
            unsafe extern "C-unwind" fn wrapper(
                call: pgrx::pg_sys::FunctionCallInfo,
            ) -> pgrx::pg_sys::Datum {
                $crate::pg::boundary(|| {
                    // SAFETY: our SQL declares two arguments of the type, and STRICT.
                    let (a, b) = unsafe { $crate::pg::call::two_arguments::<$type>(call) };
                    let distance: fn(&$type, &$type) -> f64 = $distance;
                    $crate::pg::call::float8(distance(&a, &b))
                })
            }

            $crate::pg::call::describe!(concat!(stringify!($name), "_wrapper"));
        };)*
    };
}
pub(crate) use distance_functions;

/// The arguments of a call with two arguments.
///
/// # Safety
/// Both are of the SQL type of `T`. The results are not used after the call.
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
