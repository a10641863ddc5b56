//! AVX-512 and AVX2 for x86-64.

use std::arch::x86_64::*;

use super::{Row, Simd, Task};

/// Proof that the processor has AVX-512 F, BW, DQ and VL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Avx512(());

/// Proof that the processor has AVX2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Avx2(());

impl Avx512 {
    pub(super) fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        found.then_some(Avx512(()))
    }

    pub(super) fn run<T: Task>(self, task: T) -> T::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
        fn inner<T: Task>(simd: Avx512, task: T) -> T::Output {
            task.run(simd)
        }
        // SAFETY: `self` exists only if `detect` found all the features.
        unsafe { inner(self, task) }
    }
}

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Avx2(()))
    }

    pub(super) fn run<T: Task>(self, task: T) -> T::Output {
        #[target_feature(enable = "avx2")]
        fn inner<T: Task>(simd: Avx2, task: T) -> T::Output {
            task.run(simd)
        }
        // SAFETY: `self` exists only if `detect` found AVX2.
        unsafe { inner(self, task) }
    }
}

// SAFETY of every block in this implementation: `self` proves the features; loads and stores go through
// references to sixteen u32, which are 64 readable or writable bytes, without an assumption on alignment
// unless the line itself checked it. Streamed rows are fenced by the task before it returns; a panic before that unwinds through
// the locked instructions of the thread pool, which order them as well.
impl Simd for Avx512 {
    type Vector = __m512i;
    /// Sums of the even lanes and of the odd lanes.
    type Wide = (__m512i, __m512i);
    const TILE: usize = 8;

    #[inline(always)]
    fn load(self, row: &Row) -> __m512i {
        unsafe { _mm512_loadu_si512(row.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store(self, vector: __m512i, row: &mut Row) {
        unsafe { _mm512_storeu_si512(row.as_mut_ptr().cast(), vector) }
    }

    #[inline(always)]
    fn stream(self, vector: __m512i, row: &mut Row) {
        let target: *mut __m512i = row.as_mut_ptr().cast();
        if target.is_aligned() {
            unsafe { _mm512_stream_si512(target, vector) }
        } else {
            self.store(vector, row);
        }
    }

    #[inline(always)]
    fn fence(self) {
        unsafe { _mm_sfence() }
    }

    #[inline(always)]
    fn splat(self, value: u32) -> __m512i {
        unsafe { _mm512_set1_epi32(value as i32) }
    }

    #[inline(always)]
    fn add(self, a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_add_epi32(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_sub_epi32(a, b) }
    }

    #[inline(always)]
    fn min(self, a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_min_epu32(a, b) }
    }

    #[inline(always)]
    fn mul_low(self, a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_mullo_epi32(a, b) }
    }

    #[inline(always)]
    fn mul_high_splat(self, a: __m512i, b: __m512i) -> __m512i {
        unsafe {
            let even = _mm512_mul_epu32(a, b);
            let odd = _mm512_mul_epu32(_mm512_srli_epi64::<32>(a), b);
            // Even lanes take the high half of `even`, odd lanes keep the high half of `odd`.
            _mm512_mask_shuffle_epi32::<0b11_11_01_01>(odd, 0x5555, even)
        }
    }

    #[inline(always)]
    fn wide_zero(self) -> Self::Wide {
        unsafe { (_mm512_setzero_si512(), _mm512_setzero_si512()) }
    }

    #[inline(always)]
    fn multiply_add<const K: usize>(
        self,
        mut sums: [Self::Wide; K],
        a: __m512i,
        b: [u32; K],
    ) -> [Self::Wide; K] {
        unsafe {
            let odd = _mm512_srli_epi64::<32>(a);
            for (sum, b) in sums.iter_mut().zip(b) {
                let b = _mm512_set1_epi32(b as i32);
                sum.0 = _mm512_add_epi64(sum.0, _mm512_mul_epu32(a, b));
                sum.1 = _mm512_add_epi64(sum.1, _mm512_mul_epu32(odd, b));
            }
            sums
        }
    }

    #[inline(always)]
    fn split(self, (even, odd): Self::Wide) -> (__m512i, __m512i) {
        unsafe {
            let low = _mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64::<32>(odd));
            let high = _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64::<32>(even), odd);
            (low, high)
        }
    }
}

/// Applies an intrinsic of two arguments to both halves.
macro_rules! halves {
    ($f:ident, $a:expr, $b:expr) => {
        [$f($a[0], $b[0]), $f($a[1], $b[1])]
    };
}

// SAFETY of every block: as above, with two halves of eight lanes; helpers are functions and not closures, which would not be
// compiled for the features.
impl Simd for Avx2 {
    type Vector = [__m256i; 2];
    /// Even and odd lanes of the first half, then of the second.
    type Wide = [__m256i; 4];
    const TILE: usize = 2;

    #[inline(always)]
    fn load(self, row: &Row) -> [__m256i; 2] {
        let source: *const __m256i = row.as_ptr().cast();
        unsafe {
            [
                _mm256_loadu_si256(source),
                _mm256_loadu_si256(source.add(1)),
            ]
        }
    }

    #[inline(always)]
    fn store(self, vector: [__m256i; 2], row: &mut Row) {
        let target: *mut __m256i = row.as_mut_ptr().cast();
        unsafe {
            _mm256_storeu_si256(target, vector[0]);
            _mm256_storeu_si256(target.add(1), vector[1]);
        }
    }

    #[inline(always)]
    fn stream(self, vector: [__m256i; 2], row: &mut Row) {
        let target: *mut __m256i = row.as_mut_ptr().cast();
        if target.is_aligned() {
            unsafe {
                _mm256_stream_si256(target, vector[0]);
                _mm256_stream_si256(target.add(1), vector[1]);
            }
        } else {
            self.store(vector, row);
        }
    }

    #[inline(always)]
    fn fence(self) {
        unsafe { _mm_sfence() }
    }

    #[inline(always)]
    fn splat(self, value: u32) -> [__m256i; 2] {
        unsafe { [_mm256_set1_epi32(value as i32); 2] }
    }

    #[inline(always)]
    fn add(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        unsafe { halves!(_mm256_add_epi32, a, b) }
    }

    #[inline(always)]
    fn sub(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        unsafe { halves!(_mm256_sub_epi32, a, b) }
    }

    #[inline(always)]
    fn min(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        unsafe { halves!(_mm256_min_epu32, a, b) }
    }

    #[inline(always)]
    fn mul_low(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        unsafe { halves!(_mm256_mullo_epi32, a, b) }
    }

    #[inline(always)]
    fn mul_high_splat(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        #[inline(always)]
        fn half(a: __m256i, b: __m256i) -> __m256i {
            unsafe {
                let even = _mm256_mul_epu32(a, b);
                let odd = _mm256_mul_epu32(_mm256_srli_epi64::<32>(a), b);
                _mm256_blend_epi32::<0xAA>(_mm256_srli_epi64::<32>(even), odd)
            }
        }
        [half(a[0], b[0]), half(a[1], b[1])]
    }

    #[inline(always)]
    fn wide_zero(self) -> [__m256i; 4] {
        unsafe { [_mm256_setzero_si256(); 4] }
    }

    #[inline(always)]
    fn multiply_add<const K: usize>(
        self,
        mut sums: [[__m256i; 4]; K],
        a: [__m256i; 2],
        b: [u32; K],
    ) -> [[__m256i; 4]; K] {
        unsafe {
            let operands = [
                a[0],
                _mm256_srli_epi64::<32>(a[0]),
                a[1],
                _mm256_srli_epi64::<32>(a[1]),
            ];
            for (sum, b) in sums.iter_mut().zip(b) {
                let b = _mm256_set1_epi32(b as i32);
                for (part, operand) in sum.iter_mut().zip(operands) {
                    *part = _mm256_add_epi64(*part, _mm256_mul_epu32(operand, b));
                }
            }
            sums
        }
    }

    #[inline(always)]
    fn split(self, wide: [__m256i; 4]) -> ([__m256i; 2], [__m256i; 2]) {
        #[inline(always)]
        fn half(even: __m256i, odd: __m256i) -> (__m256i, __m256i) {
            unsafe {
                let low = _mm256_blend_epi32::<0xAA>(even, _mm256_slli_epi64::<32>(odd));
                let high = _mm256_blend_epi32::<0xAA>(_mm256_srli_epi64::<32>(even), odd);
                (low, high)
            }
        }
        let (first, second) = (half(wide[0], wide[1]), half(wide[2], wide[3]));
        ([first.0, second.0], [first.1, second.1])
    }
}
