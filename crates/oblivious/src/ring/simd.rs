//! Vectors of sixteen 32-bit lanes: AVX-512, AVX2 and portable, chosen at run time and equal bit for bit.
//!
//! This is the only module with `unsafe`. Algorithms are written once, generic over [`Simd`]; a [`Task`] carries
//! them into a function compiled for the processor's features. A `Simd` value that needs features can only be
//! made by [`Kernel::available`], after the features were detected, so its methods are safe to call.
#![allow(
    unsafe_code,
    reason = "SIMD intrinsics; each use states why it is sound"
)]

mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::LazyLock;

/// Lanes of a row.
pub(crate) const LANES: usize = 16;

/// Sixteen residues: one coefficient of sixteen polynomials.
pub(crate) type Row = [u32; LANES];

/// A value that is multiplied onto all lanes, with floor(value · 2^32 / prime) for Shoup's reduction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Factor {
    pub(crate) value: u32,
    pub(crate) quotient: u32,
}

/// Sixteen lanes of u32, and of u64 for sums of products. All arithmetic wraps.
pub(crate) trait Simd: Copy {
    /// Sixteen u32.
    type Vector: Copy;
    /// Sixteen u64.
    type Wide: Copy;
    /// How many sums of products fit the registers at once.
    const TILE: usize;

    fn load(self, row: &Row) -> Self::Vector;
    fn store(self, vector: Self::Vector, row: &mut Row);
    /// Stores past the caches where possible. The task must call [`Simd::fence`] before it ends.
    fn stream(self, vector: Self::Vector, row: &mut Row);
    /// Makes streamed rows visible to other threads.
    fn fence(self);
    fn splat(self, value: u32) -> Self::Vector;
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn min(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Low halves of the products.
    fn mul_low(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// High halves of the products. `b` must be a splat.
    fn mul_high_splat(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn wide_zero(self) -> Self::Wide;
    /// `sum + a · b` in 64 bits per lane, for each b of a tile and the same a.
    fn multiply_add<const K: usize>(
        self,
        sums: [Self::Wide; K],
        a: Self::Vector,
        b: [u32; K],
    ) -> [Self::Wide; K];
    /// Low and high halves of the lanes.
    fn split(self, wide: Self::Wide) -> (Self::Vector, Self::Vector);
}

/// Work that runs with the features of a kernel.
pub(crate) trait Task {
    type Output;
    /// Must be `#[inline(always)]`, so that it is compiled for the features of the calling function.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2(x86::Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(x86::Avx512),
}

/// A set of processor instructions that the arithmetic can use. All give the same results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel(Level);

impl Kernel {
    /// All kernels that this processor can run, best first. The portable one is always there.
    #[must_use]
    pub fn available() -> Vec<Kernel> {
        let mut kernels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            kernels.extend(x86::Avx512::detect().map(|token| Kernel(Level::Avx512(token))));
            kernels.extend(x86::Avx2::detect().map(|token| Kernel(Level::Avx2(token))));
        }
        kernels.push(Kernel(Level::Portable));
        kernels
    }

    /// The best kernel of this processor.
    #[must_use]
    pub fn best() -> Kernel {
        static BEST: LazyLock<Kernel> = LazyLock::new(|| Kernel::available()[0]);
        *BEST
    }

    /// `avx512`, `avx2` or `portable`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            Level::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) => "avx512",
        }
    }

    pub(crate) fn run<T: Task>(self, task: T) -> T::Output {
        match self.0 {
            Level::Portable => task.run(portable::Portable),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(token) => token.run(task),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(token) => token.run(task),
        }
    }
}
