//! Detects the CPU's instruction sets, and lowers them on request.

use std::sync::OnceLock;

/// A level of CPU features, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cpu {
    /// Plain Rust: every machine.
    Scalar,
    /// aarch64: NEON.
    Neon,
    /// x86-64: AVX2, FMA and F16C.
    Avx2,
    /// x86-64: AVX-512 F, BW, DQ and VL. Kernels that need VNNI check for it as well.
    Avx512,
}

impl Cpu {
    const ALL: [Cpu; 4] = [Cpu::Scalar, Cpu::Neon, Cpu::Avx2, Cpu::Avx512];

    /// The best level of this machine, lowered by the environment variable `OMENDB_SIMD`
    /// (`scalar`, `neon`, `avx2` or `avx512`), which is read once.
    ///
    /// A level missing on this machine is lowered to the best one below it; an unknown word means `scalar`, so that a typo
    /// shows up as slow code, not as untested code.
    #[must_use]
    pub fn current() -> Cpu {
        static CURRENT: OnceLock<Cpu> = OnceLock::new();
        *CURRENT.get_or_init(|| match std::env::var("OMENDB_SIMD") {
            Ok(name) => Cpu::named(&name).or_below(),
            Err(_) => Cpu::Avx512.or_below(),
        })
    }

    /// The levels of this machine, weakest first.
    #[must_use]
    pub fn available() -> Vec<Cpu> {
        Cpu::ALL
            .into_iter()
            .filter(|cpu| cpu.is_available())
            .collect()
    }

    /// As `OMENDB_SIMD` spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Cpu::Scalar => "scalar",
            Cpu::Neon => "neon",
            Cpu::Avx2 => "avx2",
            Cpu::Avx512 => "avx512",
        }
    }

    /// True if this machine can run code of this level.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Cpu::Scalar => true,
            #[cfg(target_arch = "aarch64")]
            Cpu::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            #[cfg(target_arch = "x86_64")]
            Cpu::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("f16c")
            }
            #[cfg(target_arch = "x86_64")]
            Cpu::Avx512 => {
                Cpu::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[allow(
                unreachable_patterns,
                reason = "the arms above depend on the architecture"
            )]
            _ => false,
        }
    }

    /// This level, or the best available one below it.
    #[must_use]
    pub fn or_below(self) -> Cpu {
        let below = Cpu::ALL.into_iter().rev().filter(|cpu| *cpu <= self);
        below
            .into_iter()
            .find(|cpu| cpu.is_available())
            .unwrap_or(Cpu::Scalar)
    }

    fn named(name: &str) -> Cpu {
        Cpu::ALL
            .into_iter()
            .find(|cpu| cpu.name() == name)
            .unwrap_or(Cpu::Scalar)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_means_scalar() {
        assert_eq!(Cpu::named("avx1024"), Cpu::Scalar);
        assert_eq!(Cpu::named(""), Cpu::Scalar);
    }

    #[test]
    fn every_level_is_named_as_it_is_parsed() {
        for cpu in Cpu::ALL {
            assert_eq!(Cpu::named(cpu.name()), cpu);
        }
    }

    #[test]
    fn lowering_never_raises_and_lands_on_an_available_level() {
        for cpu in Cpu::ALL {
            assert!(cpu.or_below() <= cpu);
            assert!(cpu.or_below().is_available());
        }
    }

    #[test]
    fn current_is_available() {
        assert!(Cpu::available().contains(&Cpu::current()));
    }
}
