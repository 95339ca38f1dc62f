// Elementary functions on vectors: exp, log, log1p, tanh, the logistic sigmoid, softplus, the
// normal distribution function. Branch-free; NaN in, NaN out. The coefficients come from
// coefficients.py, the measured errors are in tests/test_elementary.py.
#pragma once

#include "coefficients.hpp"
#include "simd.hpp"

namespace mlpcore::MLPCORE_ISA {

// Numbers that depend on the type. `ln2_hi` has trailing zero bits, so that n * ln2_hi is exact
// (Cody and Waite, Software Manual for the Elementary Functions, 1980).
template <class T> struct Constants;

template <> struct Constants<double> {
    static constexpr double log2e = 0x1.71547652b82fep+0;
    static constexpr double ln2_hi = 0x1.62e42fefa0000p-1;
    static constexpr double ln2_lo = 0x1.cf79abc9e3b39p-40;
    static constexpr double round_magic = 0x1.8p52 + 1023;   // and the exponent's bias
    static constexpr double half_magic = 0x1.8p51 + 1023;    // the same for halves
    static constexpr double exp_low = -0x1.6232bdd7abcd2p+9; // ln of the smallest normal
    static constexpr double half_ln2 = 0x1.62e42fefa39efp-2;
    static constexpr double tanh_high = 20.0; // tanh rounds to 1 from 19.07
    static constexpr double inv_sqrt_2pi = 0x1.9884533d43651p-2;
    static constexpr int mantissa_bits = 52;
    static constexpr std::int64_t sqrt_half_bits = 0x3fe6a09e667f3bcd;
    static constexpr std::int64_t upper_half_mask = ~std::int64_t{0x7ffffff};
    static constexpr auto& exp_tail = coefficients::exp_tail_double;
    static constexpr auto& log_tail = coefficients::log_tail_double;
    static constexpr auto& coth_tail = coefficients::coth_tail_double;
    static constexpr auto& normal_tail = coefficients::normal_tail_double;
};

template <> struct Constants<float> {
    static constexpr float log2e = 0x1.715476p+0F;
    static constexpr float ln2_hi = 0x1.62e400p-1F;
    static constexpr float ln2_lo = 0x1.7f7d1cp-20F;
    static constexpr float round_magic = 0x1.8p23F + 127;
    static constexpr float half_magic = 0x1.8p22F + 127;
    static constexpr float exp_low = -0x1.5d589ep+6F;
    static constexpr float half_ln2 = 0x1.62e430p-2F;
    static constexpr float tanh_high = 10.0F; // tanh rounds to 1 from 9.02
    static constexpr float inv_sqrt_2pi = 0x1.988454p-2F;
    static constexpr int mantissa_bits = 23;
    static constexpr std::int32_t sqrt_half_bits = 0x3f3504f3;
    static constexpr std::int32_t upper_half_mask = ~std::int32_t{0xfff};
    static constexpr auto& exp_tail = coefficients::exp_tail_float;
    static constexpr auto& log_tail = coefficients::log_tail_float;
    static constexpr auto& coth_tail = coefficients::coth_tail_float;
    static constexpr auto& normal_tail = coefficients::normal_tail_float;
};

// The sum of c_i x^(i - First) over i >= First. Even and odd powers apart: two chains of half the
// length, for a core waits four cycles for each link of a chain but could begin two a cycle.
template <int First, class T, int N>
MLPCORE_INLINE Vec<T> polynomial_from(Vec<T> x, const T (&coefficient)[N]) {
    const Vec<T> square = x * x;
    constexpr int degree = N - 1 - First, last_even = First + degree / 2 * 2,
                  last_odd = First + (degree - 1) / 2 * 2 + 1;
    Vec<T> even = broadcast(coefficient[last_even]), odd = broadcast(coefficient[last_odd]);
#pragma GCC unroll 32
    for (int i = last_even - 2; i >= First; i -= 2) {
        even = even * square + coefficient[i];
    }
#pragma GCC unroll 32
    for (int i = last_odd - 2; i > First; i -= 2) {
        odd = odd * square + coefficient[i];
    }
    return odd * x + even;
}
template <class T, int N>
MLPCORE_INLINE Vec<T> polynomial(Vec<T> x, const T (&coefficient)[N]) {
    return polynomial_from<0, T>(x, coefficient);
}
// The same in one chain: fewer operations, where others run beside it.
template <class T, int N> MLPCORE_INLINE Vec<T> horner(Vec<T> x, const T (&coefficient)[N]) {
    Vec<T> sum = broadcast(coefficient[N - 1]);
#pragma GCC unroll 32
    for (int i = N - 2; i >= 0; --i) {
        sum = sum * x + coefficient[i];
    }
    return sum;
}

// The number with the lower half of its significant bits cleared; the square of that is exact.
template <class T> MLPCORE_INLINE Vec<T> upper_half(Vec<T> x) {
    return (Vec<T>)((IntVec<T>)x & Constants<T>::upper_half_mask);
}

// 2^n * (1 + expm1_r) = exp(x), |r| <= ln(2)/2.
template <class T> struct ReducedExp {
    Vec<T> two_to_n;
    Vec<T> expm1_r;
};

// Adding the magic number to x / ln(2) rounds it to an integer n and leaves that in the low bits,
// with the bias of the exponent: a shift makes 2^n of them. Then exp(high - low) is what is left.
template <class T>
MLPCORE_INLINE ReducedExp<T> exp_of_rest(Vec<T> shifted, Vec<T> high, Vec<T> low) {
    using C = Constants<T>;
    const Vec<T> r = high - low;
    const Vec<T> rounding_of_r = (high - r) - low;
    const Vec<T> expm1_r = r + (r * r * polynomial<T>(r, C::exp_tail) + rounding_of_r);
    return {(Vec<T>)((IntVec<T>)shifted << C::mantissa_bits), expm1_r};
}

// x must lie where 2^n is a normal number (or be a NaN).
template <class T> MLPCORE_INLINE ReducedExp<T> reduced_exp(Vec<T> x) {
    using C = Constants<T>;
    const Vec<T> shifted = x * C::log2e + C::round_magic;
    const Vec<T> n = shifted - C::round_magic;
    return exp_of_rest<T>(shifted, x - n * C::ln2_hi, n * C::ln2_lo);
}

// The same of x - less, whose rounding would be magnified by its size; `less` is small beside x,
// or both are.
template <class T> MLPCORE_INLINE ReducedExp<T> reduced_exp(Vec<T> x, Vec<T> less) {
    using C = Constants<T>;
    const Vec<T> shifted = (x - less) * C::log2e + C::round_magic;
    const Vec<T> n = shifted - C::round_magic;
    return exp_of_rest<T>(shifted, x - n * C::ln2_hi, n * C::ln2_lo + less);
}

// exp(x) for x <= 0. Results below the smallest normal number are 0.
template <class T> MLPCORE_INLINE Vec<T> exp_nonpositive(Vec<T> x) {
    using C = Constants<T>;
    const IntVec<T> underflow = x < broadcast(C::exp_low);
    const ReducedExp<T> e = reduced_exp<T>(select<T>(underflow, broadcast(C::exp_low), x));
    return select<T>(underflow, Vec<T>{}, e.two_to_n + e.two_to_n * e.expm1_r);
}

// exp(x) - 1 for x <= 0, accurate near 0.
template <class T> MLPCORE_INLINE Vec<T> expm1_nonpositive(Vec<T> x) {
    using C = Constants<T>;
    // Below -2 * tanh_high the result is -1 in every bit.
    const ReducedExp<T> e = reduced_exp<T>(maximum<T>(x, broadcast(T(-2) * C::tanh_high)));
    return e.two_to_n * e.expm1_r + (e.two_to_n - T(1));
}

namespace detail {
// log(2^e (1 + f)) with 1 + f in [sqrt(1/2), sqrt(2)].
template <class T> MLPCORE_INLINE Vec<T> log_reduced(Vec<T> f, Vec<T> e) {
    using C = Constants<T>;
    const Vec<T> s = f / (f + T(2));
    const Vec<T> z = s * s;
    const Vec<T> tail = z * polynomial<T>(z, C::log_tail);
    const Vec<T> half_square = T(0.5) * f * f;
    return e * C::ln2_hi - ((half_square - (s * (half_square + tail) + e * C::ln2_lo)) - f);
}
} // namespace detail

// log(1 + u) for 0 <= u <= 1.
template <class T> MLPCORE_INLINE Vec<T> log1p_unit(Vec<T> u) {
    const IntVec<T> large = u > broadcast(T(0.41421356237309503));
    const Vec<T> f = select<T>(large, T(0.5) * u - T(0.5), u);
    return detail::log_reduced<T>(f, select<T>(large, broadcast(T(1)), Vec<T>{}));
}

// log(x) for finite, normal x > 0; infinity and NaN come back as they are.
template <class T> MLPCORE_INLINE Vec<T> log_positive(Vec<T> x) {
    using C = Constants<T>;
    const IntVec<T> offset = (IntVec<T>)x - C::sqrt_half_bits;
    const IntVec<T> e = offset >> C::mantissa_bits;
    const Vec<T> m = (Vec<T>)((IntVec<T>)x - (e << C::mantissa_bits));
    const Vec<T> y = detail::log_reduced<T>(m - T(1), __builtin_convertvector(e, Vec<T>));
    return select<T>(x < broadcast(T(__builtin_inf())), y, x);
}

// A denominator a + b with what its rounding lost, and its reciprocal to about an ulp. With fused
// multiply-adds the quotient is rounded but once; without, the rest of a product can't be had, and
// a division is the better quotient to begin with.
template <class T> struct Denominator {
    Vec<T> sum, lost, inverse;
    // |a| >= |b|.
    static MLPCORE_INLINE Denominator of(T a, Vec<T> b) {
        const Vec<T> sum = a + b;
        return {sum, (a - sum) + b, reciprocal<T>(sum)};
    }
    MLPCORE_INLINE Vec<T> divides(Vec<T> numerator) const {
        if constexpr (!fuses) {
            const Vec<T> q = numerator / sum;
            return q - q * lost * inverse;
        }
        const Vec<T> q = numerator * inverse;
        const Vec<T> rest = (numerator - q * sum) - q * lost;
        return q + rest * inverse;
    }
};

// With |x| = n ln(2)/2 + r and q = r / tanh(r), by the addition theorem,
//
//   tanh |x| = (A q + B r) / (B q + A r),   A = 2^n - 1,   B = 2^n + 1,
//
// both exact in every n that matters. For n = 0 that is r / q, where r is exact; so n = 0 goes up
// to |x| = 0.26, past where tanh is 1/4, the lower end of a binade and the worst place for
// roundings: |x| / (ln(2)/2) is rounded to halves, then the half is dropped. The denominator is the
// numerator plus 2 (q - r): the nearer to 1, the less the numerator's rounding counts.
//
// In two halves, for loops that have the first of one vector beside the second of another.
template <class T> struct HalfTanh {
    Vec<T> r, q, shifted; // n, and the bias of the exponent, in the low bits of `shifted`
};
template <class T> MLPCORE_INLINE HalfTanh<T> tanh_begin(Vec<T> x) {
    using C = Constants<T>;
    const Vec<T> size = minimum<T>(absolute<T>(x), broadcast(C::tanh_high));
    const Vec<T> halves = size * (T(2) * C::log2e) + C::half_magic;
    const Vec<T> shifted = (Vec<T>)((IntVec<T>)halves & ~(IntVec<T>{} + 1));
    const Vec<T> r = size - (shifted - C::half_magic) * C::half_ln2;
    const Vec<T> square = r * r;
    return {r, square * horner<T>(square, C::coth_tail) + T(1), shifted};
}
template <class T> MLPCORE_INLINE Vec<T> tanh_end(Vec<T> x, const HalfTanh<T>& half) {
    const auto [r, q, shifted] = half;
    const Vec<T> two_to_n = (Vec<T>)((IntVec<T>)shifted << (Constants<T>::mantissa_bits - 1));
    const Vec<T> numerator = r * (two_to_n + T(1)) + q * (two_to_n - T(1));
    const Vec<T> denominator = numerator + T(2) * (q - r);
    return with_sign<T>(numerator / denominator, x);
}
template <class T> MLPCORE_INLINE Vec<T> tanh(Vec<T> x) { return tanh_end<T>(x, tanh_begin<T>(x)); }

// 1 / (1 + exp(-x)), and the slope of that; in two halves as well.
template <class T> struct Logistic {
    Vec<T> value, slope;
};
template <class T> MLPCORE_INLINE Vec<T> logistic_begin(Vec<T> x) {
    return exp_nonpositive<T>(-absolute<T>(x));
}
template <class T> MLPCORE_INLINE Logistic<T> logistic_end(Vec<T> x, Vec<T> e) {
    const auto d = Denominator<T>::of(T(1), e);
    return {d.divides(select<T>(x < Vec<T>{}, e, broadcast(T(1)))), e * d.inverse * d.inverse};
}
template <class T> MLPCORE_INLINE Vec<T> sigmoid(Vec<T> x) {
    return logistic_end<T>(x, logistic_begin<T>(x)).value;
}

// log(1 + exp(x)), where e = exp(-|x|) is known.
template <class T> MLPCORE_INLINE Vec<T> softplus(Vec<T> x, Vec<T> e) {
    return maximum<T>(x, Vec<T>{}) + log1p_unit<T>(e);
}

// The standard normal distribution: density and distribution function, both with small relative
// error in the tails. Phi(-x) = exp(-x^2/2) p(x) / (1 + x) with a p that is nearly constant, so
// that its argument's rounding hardly counts; that of each further step is carried along until the
// last.
template <class T> struct Normal {
    Vec<T> density;
    Vec<T> distribution;
};

template <class T> MLPCORE_INLINE Normal<T> normal(Vec<T> x) {
    using C = Constants<T>;
    const Vec<T> size = minimum<T>(absolute<T>(x), broadcast(T(sizeof(T) == 8 ? 40.0 : 16.0)));
    // x^2/2 in two parts, the first exact.
    const Vec<T> head = upper_half<T>(size);
    const Vec<T> exponent = T(-0.5) * head * head;
    const Vec<T> less = T(0.5) * (size - head) * (size + head);
    const IntVec<T> underflow = exponent < broadcast(C::exp_low);
    const ReducedExp<T> e =
        reduced_exp<T>(select<T>(underflow, broadcast(C::exp_low), exponent), less);
    const Vec<T> two_to_n = select<T>(underflow, Vec<T>{}, e.two_to_n);

    const Vec<T> q = (size - T(4)) / (size + T(4));
    const Vec<T> variation = q * polynomial_from<1, T>(q, C::normal_tail);
    const Vec<T> p = C::normal_tail[0] + variation;
    const Vec<T> p_lost = variation - (p - C::normal_tail[0]);
    Vec<T> growth = p * e.expm1_r + p_lost, rest = {};
    if constexpr (!fuses) { // it is rounded once more, but for the product of the halves: exact
        const Vec<T> p_head = upper_half<T>(p), r_head = upper_half<T>(e.expm1_r);
        growth = p_head * r_head;
        rest = p_head * (e.expm1_r - r_head) + (p - p_head) * e.expm1_r + p_lost;
    }
    const Vec<T> numerator = p + growth;
    Vec<T> numerator_lost = growth - (numerator - p);
    if constexpr (!fuses) {
        numerator_lost += rest;
    }
    const Vec<T> denominator = size + T(1);
    const Vec<T> denominator_head = upper_half<T>(denominator);
    const Vec<T> denominator_rest = (T(1) - denominator_head) + size;
    const Vec<T> inverse = reciprocal<T>(denominator);
    // With half the bits in each factor the products are exact, without fused multiply-add too.
    const Vec<T> quotient = upper_half<T>(numerator * inverse);
    const Vec<T> remainder =
        ((numerator - quotient * denominator_head) - quotient * denominator_rest) + numerator_lost;
    const Vec<T> tail = two_to_n * (quotient + remainder * inverse);
    return {two_to_n * (C::inv_sqrt_2pi * e.expm1_r + C::inv_sqrt_2pi),
            select<T>(x > Vec<T>{}, T(1) - tail, tail)};
}

} // namespace mlpcore::MLPCORE_ISA
