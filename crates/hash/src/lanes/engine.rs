//! Which machine code hashes how many streams.

use super::{Blocks, Rows};
#[cfg(target_arch = "x86_64")]
use super::{avx2::Avx2, avx512::Avx512, sha_ni::ShaNi};

/// The machine code that hashes. A value of it exists only where this machine can run it.
///
/// Which of its codes an engine takes depends on how many streams there are; [`Engine::best`] knows
/// them all, the others exist to be compared with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Engine {
    #[cfg(target_arch = "x86_64")]
    sha: Option<ShaNi>,
    #[cfg(target_arch = "x86_64")]
    vectors: Option<Vectors>,
}

#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vectors {
    Eight(Avx2),
    Sixteen(Avx512),
}

/// Code that takes several streams ahead in step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    #[cfg(target_arch = "x86_64")]
    Sha(ShaNi),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// Eight lanes with the instructions of AVX-512.
    #[cfg(target_arch = "x86_64")]
    Narrow(Avx512),
    #[cfg(target_arch = "x86_64")]
    Wide(Avx512),
}

#[cfg(target_arch = "x86_64")]
impl Engine {
    /// Everything that this machine has.
    pub fn best() -> Self {
        let sixteen = Avx512::detect().map(Vectors::Sixteen);
        Self {
            sha: ShaNi::detect(),
            vectors: sixteen.or_else(|| Avx2::detect().map(Vectors::Eight)),
        }
    }

    /// Every engine that this machine has, each once: one stream after the other by the kept crates
    /// first, the best last.
    pub fn all() -> Vec<Self> {
        let vectors = [
            None,
            Avx2::detect().map(Vectors::Eight),
            Avx512::detect().map(Vectors::Sixteen),
        ];
        let mut all: Vec<Self> = Vec::new();
        for sha in [None, ShaNi::detect()] {
            for vectors in vectors {
                let engine = Self { sha, vectors };
                if !all.contains(&engine) {
                    all.push(engine);
                }
            }
        }
        all
    }

    /// A name for reports.
    pub fn name(self) -> &'static str {
        match (self.vectors, self.sha) {
            (None, None) => "one by one",
            (None, Some(_)) => "SHA-NI",
            (Some(Vectors::Eight(_)), None) => "AVX2",
            (Some(Vectors::Eight(_)), Some(_)) => "AVX2 and SHA-NI",
            (Some(Vectors::Sixteen(_)), None) => "AVX-512",
            (Some(Vectors::Sixteen(_)), Some(_)) => "AVX-512 and SHA-NI",
        }
    }

    /// How many streams it pays to give it at once.
    pub fn lanes(self) -> usize {
        match (self.vectors, self.sha) {
            (Some(Vectors::Sixteen(_)), _) => 16,
            (Some(Vectors::Eight(_)), _) => 8,
            (None, Some(_)) => 4,
            (None, None) => 1,
        }
    }

    /// The code for SHA-1 of `live` streams; none if one after the other is as fast.
    ///
    /// Nanoseconds for a block of each stream, on a Zen 4: one stream 34, two interleaved 41, four 58;
    /// eight lanes of AVX2 132, of AVX-512 90; sixteen 155. Intel's SHA unit gains less from
    /// interleaving, so that lanes win earlier there. Without SHA-NI one stream takes as long as
    /// eight lanes of AVX2.
    pub(super) fn sha1(self, live: usize) -> Option<Code> {
        let kind = match (self.vectors, self.sha) {
            _ if live < 2 => return None,
            (Some(Vectors::Sixteen(code)), _) if live > 8 => Kind::Wide(code),
            (Some(Vectors::Sixteen(code)), None) => Kind::Narrow(code),
            (Some(Vectors::Sixteen(code)), Some(_)) if live > 5 => Kind::Narrow(code),
            (Some(Vectors::Eight(code)), None) => Kind::Avx2(code),
            (Some(Vectors::Eight(code)), Some(_)) if live > 6 => Kind::Avx2(code),
            (_, Some(code)) => Kind::Sha(code),
            (None, None) => return None,
        };
        Some(Code(kind))
    }

    /// The code for SHA-256 of `live` streams; none if one after the other is as fast.
    ///
    /// The same nanoseconds: one 36, two 42, four 74; eight lanes of AVX2 295, of AVX-512 170; sixteen
    /// 295. So AVX2 is of no use beside SHA-NI, and AVX-512 only when its lanes are full; on Intel it
    /// is twice as fast as the SHA unit then.
    pub(super) fn sha256(self, live: usize) -> Option<Code> {
        let kind = match (self.vectors, self.sha) {
            _ if live < 2 => return None,
            (Some(Vectors::Sixteen(code)), Some(_)) if live > 12 => Kind::Wide(code),
            (Some(Vectors::Sixteen(code)), None) if live > 8 => Kind::Wide(code),
            (Some(Vectors::Sixteen(code)), None) => Kind::Narrow(code),
            (Some(Vectors::Eight(code)), None) => Kind::Avx2(code),
            (_, Some(code)) => Kind::Sha(code),
            (None, None) => return None,
        };
        Some(Code(kind))
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Engine {
    /// Everything that this machine has.
    pub fn best() -> Self {
        Self {}
    }

    /// Every engine that this machine has: one stream after the other by the kept crates.
    pub fn all() -> Vec<Self> {
        vec![Self {}]
    }

    /// A name for reports.
    pub fn name(self) -> &'static str {
        "one by one"
    }

    /// How many streams it pays to give it at once.
    pub fn lanes(self) -> usize {
        1
    }

    pub(super) fn sha1(self, _live: usize) -> Option<Code> {
        None
    }

    pub(super) fn sha256(self, _live: usize) -> Option<Code> {
        None
    }
}

impl Code {
    /// SHA-1 of the next `count` blocks of each of the first `live` lanes.
    pub(super) fn run_sha1(
        self,
        live: usize,
        rows: &mut Rows<5>,
        blocks: &Blocks<'_>,
        count: usize,
    ) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Sha(code) => code.sha1(live, rows, blocks, count),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(code) => code.sha1(rows, blocks, count),
            #[cfg(target_arch = "x86_64")]
            Kind::Narrow(code) => code.sha1_eight(rows, blocks, count),
            #[cfg(target_arch = "x86_64")]
            Kind::Wide(code) => code.sha1_sixteen(rows, blocks, count),
        }
    }

    /// SHA-256 of the next `count` blocks of each of the first `live` lanes.
    pub(super) fn run_sha256(
        self,
        live: usize,
        rows: &mut Rows<8>,
        blocks: &Blocks<'_>,
        count: usize,
    ) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Sha(code) => code.sha256(live, rows, blocks, count),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(code) => code.sha256(rows, blocks, count),
            #[cfg(target_arch = "x86_64")]
            Kind::Narrow(code) => code.sha256_eight(rows, blocks, count),
            #[cfg(target_arch = "x86_64")]
            Kind::Wide(code) => code.sha256_sixteen(rows, blocks, count),
        }
    }
}
