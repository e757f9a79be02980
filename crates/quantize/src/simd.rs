//! The instruction sets of the kernels, and float loops compiled once per level.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "functions for CPU features found at run time")
)]

use distance::Cpu;

/// A level of instructions. A value other than `Scalar` exists only where the CPU has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Simd {
    Scalar,
    #[cfg(target_arch = "aarch64")]
    Neon,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 with VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Simd {
    /// The best level of this machine that `OMENDB_SIMD` allows.
    pub(crate) fn current() -> Simd {
        Simd::of(Cpu::current())
    }

    /// All levels of this machine, for tests.
    #[cfg(test)]
    pub(crate) fn available() -> Vec<Simd> {
        let mut levels: Vec<Simd> = Cpu::available().into_iter().map(Simd::of).collect();
        levels.dedup();
        levels
    }

    fn of(cpu: Cpu) -> Simd {
        match cpu.or_below() {
            #[cfg(target_arch = "aarch64")]
            Cpu::Neon => Simd::Neon,
            #[cfg(target_arch = "x86_64")]
            Cpu::Avx2 => Simd::Avx2,
            #[cfg(target_arch = "x86_64")]
            Cpu::Avx512 if is_x86_feature_detected!("avx512vnni") => Simd::Avx512,
            // The kernels need VNNI, and CPUs with AVX-512 alone exist.
            #[cfg(target_arch = "x86_64")]
            Cpu::Avx512 => Simd::Avx2,
            _ => Simd::Scalar,
        }
    }

    /// Runs loops compiled for this level.
    ///
    /// Rust neither fuses nor reorders float arithmetic, so elementwise loops give the same bits at every level, and
    /// so do the sums of `lanes.rs`.
    #[inline]
    pub(crate) fn run<L: Loops>(self, loops: L) -> L::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Simd` of this kind exists only where the CPU has its features.
            Simd::Avx2 => unsafe { run_avx2(loops) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Simd` of this kind exists only where the CPU has its features.
            Simd::Avx512 => unsafe { run_avx512(loops) },
            _ => loops.run(),
        }
    }
}

/// Plain loops for the compiler to vectorize. `run` and its callees must be `#[inline(always)]`: only inside a function
/// with CPU features do they compile to its instructions.
pub(crate) trait Loops {
    type Output;
    fn run(self) -> Self::Output;
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn run_avx2<L: Loops>(loops: L) -> L::Output {
    loops.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn run_avx512<L: Loops>(loops: L) -> L::Output {
    loops.run()
}
