//! One folder per architecture: loads and folds, no loops.
#![expect(
    unsafe_code,
    reason = "SIMD intrinsics and the choice of a function by CPU"
)]

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use crate::bit;
use crate::cpu::Cpu;
use crate::dense::{self, Distance};
use crate::lanes::Stored;

type One = fn(&[u8], &[u8]) -> f64;

/// The instance of a distance function of dense vectors for a CPU level; scalar for a level of another architecture.
pub(crate) fn pick<D: Distance, S: Stored>(cpu: Cpu) -> One {
    // SAFETY: `f32` lanes need no CPU features.
    let scalar: One = |a, b| unsafe { dense::distance::<D, S, f32>(a, b) };
    match cpu {
        cpu if !cpu.is_available() => scalar,
        #[cfg(target_arch = "aarch64")]
        Cpu::Neon => available(aarch64::neon::distance::<D, S>),
        #[cfg(target_arch = "x86_64")]
        Cpu::Avx2 => available(x86_64::avx2::distance::<D, S>),
        #[cfg(target_arch = "x86_64")]
        Cpu::Avx512 => available(x86_64::avx512::distance::<D, S>),
        _ => scalar,
    }
}

/// The instance of a distance function of bit strings. The compiler knows the popcount instructions; it only needs permission to
/// use them, except NEON's, which are always allowed.
pub(crate) fn pick_bits<D: bit::Distance>(cpu: Cpu) -> One {
    match cpu {
        #[cfg(target_arch = "x86_64")]
        Cpu::Avx512 if cpu.is_available() && is_x86_feature_detected!("avx512vpopcntdq") => {
            available(x86_64::avx512::bit_distance::<D>)
        }
        #[cfg(target_arch = "x86_64")]
        Cpu::Avx2 | Cpu::Avx512 if cpu.is_available() && is_x86_feature_detected!("popcnt") => {
            available(x86_64::avx2::bit_distance::<D>)
        }
        _ => bit::distance::<D>,
    }
}

/// Erases the CPU features from a function's type after checking the CPU: a wrapper would cost a call.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn available(one: unsafe fn(&[u8], &[u8]) -> f64) -> One {
    // SAFETY: `unsafe fn` and `fn` pointers have one representation, and these functions are unsafe for nothing but
    // their CPU features, which the callers have just found.
    unsafe { std::mem::transmute::<unsafe fn(&[u8], &[u8]) -> f64, One>(one) }
}
