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
    static constexpr double round_magic = 0x1.8p52;
    static constexpr double exp_low = -0x1.6232bdd7abcd2p+9; // ln of the smallest normal
    static constexpr double tanh_high = 20.0;                // tanh rounds to 1 from 19.07
    static constexpr double inv_sqrt_2pi = 0x1.9884533d43651p-2;
    static constexpr int mantissa_bits = 52;
    static constexpr std::int64_t bias = 1023;
    static constexpr std::int64_t sqrt_half_bits = 0x3fe6a09e667f3bcd;
    static constexpr std::int64_t upper_half_mask = ~std::int64_t{0x7ffffff};
    static constexpr auto& exp_tail = coefficients::exp_tail_double;
    static constexpr auto& exp = coefficients::exp_double;
    static constexpr auto& tanh_tail = coefficients::tanh_tail_double;
    static constexpr auto& log_tail = coefficients::log_tail_double;
    static constexpr auto& erfcx = coefficients::erfcx_double;
};

template <> struct Constants<float> {
    static constexpr float log2e = 0x1.715476p+0F;
    static constexpr float ln2_hi = 0x1.62e400p-1F;
    static constexpr float ln2_lo = 0x1.7f7d1cp-20F;
    static constexpr float round_magic = 0x1.8p23F;
    static constexpr float exp_low = -0x1.5d589ep+6F;
    static constexpr float tanh_high = 10.0F; // tanh rounds to 1 from 9.02
    static constexpr float inv_sqrt_2pi = 0x1.988454p-2F;
    static constexpr int mantissa_bits = 23;
    static constexpr std::int32_t bias = 127;
    static constexpr std::int32_t sqrt_half_bits = 0x3f3504f3;
    static constexpr std::int32_t upper_half_mask = ~std::int32_t{0xfff};
    static constexpr auto& exp_tail = coefficients::exp_tail_float;
    static constexpr auto& exp = coefficients::exp_float;
    static constexpr auto& tanh_tail = coefficients::tanh_tail_float;
    static constexpr auto& log_tail = coefficients::log_tail_float;
    static constexpr auto& erfcx = coefficients::erfcx_float;
};

template <class T, int N>
MLPCORE_INLINE Vec<T> polynomial(Vec<T> x, const T (&coefficient)[N]) {
    Vec<T> y = broadcast(coefficient[N - 1]);
#pragma GCC unroll 32
    for (int i = N - 2; i >= 0; --i) {
        y = y * x + coefficient[i];
    }
    return y;
}

// 2^n * (1 + expm1_r) = exp(x), |r| <= ln(2)/2.
template <class T> struct ReducedExp {
    Vec<T> two_to_n;
    Vec<T> expm1_r;
};

// x must lie where 2^n is a normal number (or be a NaN).
template <class T> MLPCORE_INLINE ReducedExp<T> reduced_exp(Vec<T> x) {
    using C = Constants<T>;
    // Adding 1.5 * 2^mantissa_bits rounds to an integer and leaves it in the low bits.
    const Vec<T> shifted = x * C::log2e + C::round_magic;
    const Vec<T> n = shifted - C::round_magic;
    const Vec<T> high = x - n * C::ln2_hi;
    const Vec<T> low = n * C::ln2_lo;
    const Vec<T> r = high - low;
    const Vec<T> rounding_of_r = (high - r) - low;
    const Vec<T> expm1_r = r + (r * r * polynomial<T>(r, C::exp_tail) + rounding_of_r);
    const IntVec<T> n_bits = (IntVec<T>)shifted - (IntVec<T>)broadcast(C::round_magic);
    return {(Vec<T>)((n_bits + C::bias) << C::mantissa_bits), expm1_r};
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

// A denominator a + b with what its rounding lost, and its reciprocal to about an ulp. The quotient
// is rounded but once where there is a fused multiply-add.
template <class T> struct Denominator {
    Vec<T> sum, lost, inverse;
    // |a| >= |b|.
    static MLPCORE_INLINE Denominator of(T a, Vec<T> b) {
        const Vec<T> sum = a + b;
        return {sum, (a - sum) + b, reciprocal<T>(sum)};
    }
    MLPCORE_INLINE Vec<T> divides(Vec<T> numerator) const {
        const Vec<T> q = numerator * inverse;
        const Vec<T> rest = (numerator - q * sum) - q * lost;
        return q + rest * inverse;
    }
};

// Up to 0.55 an odd polynomial; beyond, where tanh is above 1/2 and 1 - tanh below, 1 - 2 E / (1 +
// E) with E = exp(-2 |x|).
template <class T> MLPCORE_INLINE Vec<T> tanh(Vec<T> x) {
    using C = Constants<T>;
    const Vec<T> size = absolute<T>(x), square = x * x;
    const Vec<T> small = size + size * square * polynomial<T>(square, C::tanh_tail);
    const Vec<T> y = maximum<T>(T(-2) * size, broadcast(T(-2) * C::tanh_high));
    const Vec<T> shifted = y * C::log2e + C::round_magic;
    const Vec<T> n = shifted - C::round_magic;
    const Vec<T> r = (y - n * C::ln2_hi) - n * C::ln2_lo;
    const IntVec<T> n_bits = (IntVec<T>)shifted - (IntVec<T>)broadcast(C::round_magic);
    const Vec<T> two_e =
        (Vec<T>)((n_bits + (C::bias + 1)) << C::mantissa_bits) * polynomial<T>(r, C::exp);
    const Vec<T> large = T(1) - two_e / (T(0.5) * two_e + T(1));
    return copy_sign<T>(select<T>(size > broadcast(T(0.55)), large, small), x);
}

// 1 / (1 + exp(-x)), and the slope of that.
template <class T> struct Logistic {
    Vec<T> value, slope;
};
template <class T> MLPCORE_INLINE Logistic<T> logistic(Vec<T> x) {
    const Vec<T> e = exp_nonpositive<T>(-absolute<T>(x));
    const auto d = Denominator<T>::of(T(1), e);
    return {d.divides(select<T>(x < Vec<T>{}, e, broadcast(T(1)))), e * d.inverse * d.inverse};
}
template <class T> MLPCORE_INLINE Vec<T> sigmoid(Vec<T> x) { return logistic<T>(x).value; }

// log(1 + exp(x)).
template <class T> MLPCORE_INLINE Vec<T> softplus(Vec<T> x) {
    return maximum<T>(x, Vec<T>{}) + log1p_unit<T>(exp_nonpositive<T>(-absolute<T>(x)));
}

// The standard normal distribution: density and distribution function, both with small relative
// error in the tails. Phi(-|x|) = phi(x) sqrt(pi/2) erfcx(|x|/sqrt(2)).
template <class T> struct Normal {
    Vec<T> density;
    Vec<T> distribution;
};

template <class T> MLPCORE_INLINE Normal<T> normal(Vec<T> x) {
    using C = Constants<T>;
    // x^2/2 in two parts, the first exact: otherwise its rounding is magnified by x^2/2.
    const Vec<T> size = minimum<T>(absolute<T>(x), broadcast(T(sizeof(T) == 8 ? 40.0 : 16.0)));
    const Vec<T> head = (Vec<T>)((IntVec<T>)size & C::upper_half_mask);
    const Vec<T> rest = T(0.5) * (size - head) * (size + head);
    const Vec<T> correction =
        T(1) - rest * (T(1) - rest * (T(0.5) - rest * (T(1.0 / 6) - rest * T(1.0 / 24))));
    const Vec<T> gauss = exp_nonpositive<T>(T(-0.5) * head * head) * correction;
    const Vec<T> t = T(0.70710678118654752440) * size;
    const Vec<T> erfcx = polynomial<T>((t - T(4)) / (t + T(4)), C::erfcx) / (T(1) + T(2) * t);
    const Vec<T> tail = T(0.5) * gauss * erfcx;
    return {C::inv_sqrt_2pi * gauss, select<T>(x > Vec<T>{}, T(1) - tail, tail)};
}

} // namespace mlpcore::MLPCORE_ISA
