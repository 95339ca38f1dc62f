// The portable vector: a compiler vector of the instruction set's width, for float and double.
//
// Every file of this folder is compiled once per instruction set, each time in a namespace of
// its own (MLPCORE_ISA) so that the linker can never mix two builds of one function.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#if !defined(MLPCORE_ISA) || !defined(MLPCORE_VECTOR_BYTES) || !defined(MLPCORE_VECTOR_REGISTERS)
#error "kernels are compiled per instruction set; see CMakeLists.txt"
#endif

#define MLPCORE_INLINE inline __attribute__((always_inline))

namespace mlpcore::MLPCORE_ISA {

using index = std::ptrdiff_t;

template <class T> struct Simd;

template <> struct Simd<double> {
    using Int = std::int64_t;
    using Vector = double __attribute__((vector_size(MLPCORE_VECTOR_BYTES)));
    using InMemory = double __attribute__((vector_size(MLPCORE_VECTOR_BYTES), aligned(8)));
    using IntVector = std::int64_t __attribute__((vector_size(MLPCORE_VECTOR_BYTES)));
};

template <> struct Simd<float> {
    using Int = std::int32_t;
    using Vector = float __attribute__((vector_size(MLPCORE_VECTOR_BYTES)));
    using InMemory = float __attribute__((vector_size(MLPCORE_VECTOR_BYTES), aligned(4)));
    using IntVector = std::int32_t __attribute__((vector_size(MLPCORE_VECTOR_BYTES)));
};

template <class T> using Vec = typename Simd<T>::Vector;
template <class T> using IntVec = typename Simd<T>::IntVector;

template <class T> inline constexpr index lanes = MLPCORE_VECTOR_BYTES / sizeof(T);

// To both compilers a vector of numbers may lie where numbers do. Written with memcpy, a store
// could change anything, and each would be followed by loads of all pointers that are not in
// registers.
template <class T> MLPCORE_INLINE Vec<T> load(const T* p) {
    return *reinterpret_cast<const typename Simd<T>::InMemory*>(p);
}

template <class T> MLPCORE_INLINE void store(T* p, Vec<T> v) {
    *reinterpret_cast<typename Simd<T>::InMemory*>(p) = v;
}

// x - 0 and not x + 0: it is x for -0 too, so compilers drop the subtraction.
template <class T> MLPCORE_INLINE Vec<T> broadcast(T x) { return x - Vec<T>{}; }

// The lanes of `yes` where the mask is set, of `no` elsewhere; a NaN compares as false.
template <class T> MLPCORE_INLINE Vec<T> select(IntVec<T> mask, Vec<T> yes, Vec<T> no) {
    return mask ? yes : no;
}

// One instruction, of which GCC makes two where it is written as a conditional.
#if defined(__x86_64__) && !defined(__clang__)
#if MLPCORE_VECTOR_BYTES == 64
#define MLPCORE_EXTREME(which, type, a, b)                                                         \
    __builtin_ia32_##which##type##512_mask(a, b, b, -1, 4 /* the current rounding */)
#elif MLPCORE_VECTOR_BYTES == 32
#define MLPCORE_EXTREME(which, type, a, b) __builtin_ia32_##which##type##256(a, b)
#else
#define MLPCORE_EXTREME(which, type, a, b) __builtin_ia32_##which##type(a, b)
#endif
template <class T> MLPCORE_INLINE Vec<T> lesser_or_second(Vec<T> a, Vec<T> b) {
    if constexpr (sizeof(T) == 8) {
        return MLPCORE_EXTREME(min, pd, a, b);
    } else {
        return MLPCORE_EXTREME(min, ps, a, b);
    }
}
template <class T> MLPCORE_INLINE Vec<T> greater_or_second(Vec<T> a, Vec<T> b) {
    if constexpr (sizeof(T) == 8) {
        return MLPCORE_EXTREME(max, pd, a, b);
    } else {
        return MLPCORE_EXTREME(max, ps, a, b);
    }
}
#undef MLPCORE_EXTREME
#else
template <class T> MLPCORE_INLINE Vec<T> lesser_or_second(Vec<T> a, Vec<T> b) {
    return a < b ? a : b;
}
template <class T> MLPCORE_INLINE Vec<T> greater_or_second(Vec<T> a, Vec<T> b) {
    return a > b ? a : b;
}
#endif

// If either is a NaN, the result is a.
template <class T> MLPCORE_INLINE Vec<T> maximum(Vec<T> a, Vec<T> b) {
    return greater_or_second<T>(b, a);
}
template <class T> MLPCORE_INLINE Vec<T> minimum(Vec<T> a, Vec<T> b) {
    return lesser_or_second<T>(b, a);
}
template <class T> MLPCORE_INLINE Vec<T> absolute(Vec<T> a) {
    constexpr auto sign = static_cast<typename Simd<T>::Int>(
        sizeof(T) == 8 ? INT64_MIN : static_cast<std::int64_t>(INT32_MIN));
    return (Vec<T>)((IntVec<T>)a & ~(IntVec<T>{} + sign));
}
// A magnitude that is not negative, with that sign.
template <class T> MLPCORE_INLINE Vec<T> with_sign(Vec<T> magnitude, Vec<T> sign_of) {
    constexpr auto sign = static_cast<typename Simd<T>::Int>(
        sizeof(T) == 8 ? INT64_MIN : static_cast<std::int64_t>(INT32_MIN));
    return (Vec<T>)((IntVec<T>)magnitude | ((IntVec<T>)sign_of & (IntVec<T>{} + sign)));
}

// The lanes from `first` on; those before become 0.
template <class T> MLPCORE_INLINE Vec<T> lanes_from(index first, Vec<T> v) {
    IntVec<T> lane;
    for (int i = 0; i < lanes<T>; ++i) {
        lane[i] = static_cast<typename Simd<T>::Int>(i);
    }
    return select<T>(lane < static_cast<typename Simd<T>::Int>(first), Vec<T>{}, v);
}

// Written over an array because compilers have no square root of a vector, but vectorize this.
template <class T> MLPCORE_INLINE Vec<T> square_root(Vec<T> a) {
    T number[lanes<T>];
    __builtin_memcpy(number, &a, sizeof a);
    for (T& x : number) {
        x = sizeof(T) == 8 ? static_cast<T>(__builtin_sqrt(static_cast<double>(x)))
                           : static_cast<T>(__builtin_sqrtf(static_cast<float>(x)));
    }
    __builtin_memcpy(&a, number, sizeof a);
    return a;
}

// Whether a * b + c is rounded once.
#if defined(__FMA__) || defined(__aarch64__)
inline constexpr bool fuses = true;
#else
inline constexpr bool fuses = false;
#endif

// 1 / x for normal x of moderate size, to about an ulp. AVX-512 divides slowly, but estimates:
// there it is the estimate of 14 bits and a step (two for double) of Newton's or of higher order.
template <class T> MLPCORE_INLINE Vec<T> reciprocal(Vec<T> x) {
#if defined(__AVX512F__) && MLPCORE_VECTOR_BYTES == 64
    if constexpr (sizeof(T) == 8) {
        const Vec<T> r = (Vec<T>)__builtin_ia32_rcp14pd512_mask(x, x, -1);
        const Vec<T> e = T(1) - x * r;
        return r + r * (e + e * e);
    } else {
        const Vec<T> r = (Vec<T>)__builtin_ia32_rcp14ps512_mask(x, x, -1);
        return r + r * (T(1) - x * r);
    }
#else
    return T(1) / x;
#endif
}

template <class T, int... Lane>
MLPCORE_INLINE Vec<T> shuffle(Vec<T> x, Vec<T> y, std::integer_sequence<int, Lane...>) {
#if defined(__clang__)
    return __builtin_shufflevector(x, y, Lane...);
#else
    return __builtin_shuffle(x, y, IntVec<T>{Lane...});
#endif
}

namespace detail {
// One exchange of a butterfly at distance D (a power of two): the blocks of D lanes with even
// number, of x and then of y, come together in `even_blocks`; those with odd number in
// `odd_blocks`.
template <class T, int D, int... I>
MLPCORE_INLINE Vec<T> even_blocks(Vec<T> x, Vec<T> y, std::integer_sequence<int, I...>) {
    constexpr int L = lanes<T>;
    return shuffle<T>(x, y, std::integer_sequence<int, ((I & D) ? L + I - D : I)...>{});
}
template <class T, int D, int... I>
MLPCORE_INLINE Vec<T> odd_blocks(Vec<T> x, Vec<T> y, std::integer_sequence<int, I...>) {
    constexpr int L = lanes<T>;
    return shuffle<T>(x, y, std::integer_sequence<int, ((I & D) ? L + I : I + D)...>{});
}
template <class T> using AllLanes = std::make_integer_sequence<int, static_cast<int>(lanes<T>)>;

template <class T, int D> MLPCORE_INLINE void transpose_stage(Vec<T> (&r)[lanes<T>]) {
    if constexpr (D < lanes<T>) {
#pragma GCC unroll 16
        for (int i = 0; i < lanes<T>; ++i) {
            if ((i & D) == 0) {
                const Vec<T> x = r[i], y = r[i + D];
                r[i] = even_blocks<T, D>(x, y, AllLanes<T>{});
                r[i + D] = odd_blocks<T, D>(x, y, AllLanes<T>{});
            }
        }
        transpose_stage<T, 2 * D>(r);
    }
}

template <class T, int C, int D> MLPCORE_INLINE void sum_stage(Vec<T> (&r)[C]) {
    if constexpr (D < lanes<T>) {
        if constexpr (D < C) {
#pragma GCC unroll 16
            for (int i = 0; i < C; i += 2 * D) {
                const Vec<T> x = r[i], y = r[i + D];
                r[i] =
                    even_blocks<T, D>(x, y, AllLanes<T>{}) + odd_blocks<T, D>(x, y, AllLanes<T>{});
            }
        } else {
            r[0] += odd_blocks<T, D>(r[0], r[0], AllLanes<T>{});
        }
        sum_stage<T, C, 2 * D>(r);
    }
}
} // namespace detail

// Transposes lanes x lanes numbers held in registers.
template <class T> MLPCORE_INLINE void transpose(Vec<T> (&r)[lanes<T>]) {
    detail::transpose_stage<T, 1>(r);
}

// The sums over the lanes of C vectors (C a power of two up to the number of lanes): lane c < C
// of the result is the sum of r[c].
template <class T, int C> MLPCORE_INLINE Vec<T> sum_lanes(Vec<T> (&r)[C]) {
    detail::sum_stage<T, C, 1>(r);
    return r[0];
}

template <class T> MLPCORE_INLINE T sum(Vec<T> v) {
    Vec<T> r[1] = {v};
    return sum_lanes<T, 1>(r)[0];
}

} // namespace mlpcore::MLPCORE_ISA
