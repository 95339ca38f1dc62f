// The output units and their canonical error functions: y, E_n, delta^L = dE_n/dz^L, the
// derivative dy/dz and the curvature d2E_n/dz2, each computed from the logits z.
//
//   linear    y = z             E_n = 1/2 sum_k (y_k - t_k)^2                        (PRML 5.11)
//   sigmoid   y = sigma(z)      E_n = -sum_k [t_k ln y_k + (1 - t_k) ln(1 - y_k)]    (PRML 5.23)
//   softmax   y_k = e^{z_k} / sum_j e^{z_j}    E_n = -sum_k t_k ln y_k               (PRML 5.24)
//
// With each of them delta^L = y - t (PRML 5.18), and d2E_n/dz2 = diag(s) - c u u^T where
// s = 1, y(1 - y), y, and u = y, c = 1 for softmax, c = 0 otherwise. Where the targets of softmax
// sum to q, which is near 1, it is delta^L = q y - t and q times that curvature; Gauss-Newton does
// not look at targets, so that there q = 1.
#pragma once

#include "elementary.hpp"
#include "tile.hpp"

namespace mlpcore::MLPCORE_ISA {

namespace detail {
// Softmax of one vector of samples, in place; returns ln sum_k e^{z_k - z_max}.
template <class T> MLPCORE_INLINE Vec<T> softmax(index k, T* z, index stride) {
    Vec<T> highest = load(z);
    for (index i = 1; i < k; ++i) {
        highest = maximum<T>(highest, load(z + i * stride));
    }
    // The sum is 1 and others, which count in its logarithm however small they are. A NaN is one.
    Vec<T> others = {}, highest_ones = {};
    for (index i = 0; i < k; ++i) {
        const Vec<T> e = exp_nonpositive<T>(load(z + i * stride) - highest);
        const IntVec<T> is_highest = e >= broadcast(T(1));
        store(z + i * stride, e);
        others += select<T>(is_highest, Vec<T>{}, e);
        highest_ones += select<T>(is_highest, broadcast(T(1)), Vec<T>{});
    }
    others += highest_ones - T(1);
    const Vec<T> total = T(1) + others, scale = T(1) / total;
    for (index i = 0; i < k; ++i) {
        store(z + i * stride, load(z + i * stride) * scale);
    }
    return select<T>(others < broadcast(T(1)), log1p_unit<T>(others), log_positive<T>(total));
}
} // namespace detail

// z becomes y.
template <class T> inline void output_units(Output output, index k, T* z, index stride) {
    switch (output) {
    case Output::linear:
        return;
    case Output::sigmoid:
        for (index i = 0; i < k * stride; i += lanes<T>) {
            store(z + i, sigmoid<T>(load(z + i)));
        }
        return;
    case Output::softmax:
        for (index s = 0; s < stride; s += lanes<T>) {
            detail::softmax<T>(k, z + s, stride);
        }
        return;
    }
}

namespace detail {
template <Output output, class T>
inline double error_and_delta_of(index k, T* z, T* t, T* weight, index stride) {
    double error = 0;
    Vec<T> errors = {}; // of float64: sums over vectors of float32 are made in float64
    for (index s = 0; s < stride; s += lanes<T>) {
        const Vec<T> g = load(weight + s);
        const IntVec<T> absent = g == Vec<T>{};
        const Vec<T> half = broadcast(T(0.5));
        Vec<T> e = {}, total_t = {}, others = {};
        if constexpr (output == Output::softmax) {
            // E_n = sum_k t_k (ln sum_j e^{z_j} - z_k), needs the logits before they become y.
            Vec<T> chosen = {}, highest = load(z + s);
            for (index i = 0; i < k; ++i) {
                highest = maximum<T>(highest, load(z + i * stride + s));
            }
            for (index i = 0; i < k; ++i) {
                const Vec<T> ti = load(t + i * stride + s);
                total_t += ti;
                chosen += ti * (highest - load(z + i * stride + s));
            }
            e = chosen + total_t * softmax<T>(k, z + s, stride);
            store(weight + s, g * total_t);
        }
        for (index i = 0; i < k; ++i) {
            const Vec<T> zi = load(z + i * stride + s), ti = load(t + i * stride + s);
            Vec<T> delta;
            if constexpr (output == Output::linear) {
                delta = zi - ti;
                e += T(0.5) * delta * delta;
            } else if constexpr (output == Output::sigmoid) {
                // max(z, 0) - t z + ln(1 + e^{-|z|}) without cancellation for t = 1.
                const Vec<T> u = exp_nonpositive<T>(-absolute<T>(zi));
                const IntVec<T> negative = zi < Vec<T>{};
                const Vec<T> miss = select<T>(negative, -ti, T(1) - ti);
                e += zi * miss + log1p_unit<T>(u);
                // 1 - y where that is the smaller, for y is 1 in every bit long before it is 0.
                const Vec<T> smaller = logistic_end<T>(-absolute<T>(zi), u).value;
                delta = select<T>(negative, smaller, -smaller) + miss;
                store(z + i * stride + s, logistic_end<T>(zi, u).value);
            } else {
                delta = total_t * zi - ti;
                others += select<T>(zi > half, Vec<T>{}, delta);
            }
            store(t + i * stride + s, select<T>(absent, Vec<T>{}, g * delta));
        }
        // All delta of a softmax sum to 0, so that of a y near 1 is as exact as the others.
        for (index i = 0; output == Output::softmax && i < k; ++i) {
            const IntVec<T> replaced = ~absent & (load(z + i * stride + s) > half);
            T* const delta = t + i * stride + s;
            store(delta, select<T>(replaced, -g * others, load(delta)));
        }
        const Vec<T> weighted = select<T>(absent, Vec<T>{}, g * e);
        if constexpr (sizeof(T) == sizeof(double)) {
            errors += weighted;
        } else {
            error += static_cast<double>(sum<T>(weighted));
        }
    }
    return error + static_cast<double>(sum<T>(errors));
}
} // namespace detail

// z becomes y, t becomes weight * delta^L, weight becomes that of the curvature; returns the sum
// over samples of weight * E_n. Padding, which has no weight, adds nothing where the sample that it
// repeats is not finite.
template <class T>
inline double error_and_delta(Output output, index k, T* z, T* t, T* weight, index stride) {
    switch (output) {
    case Output::linear:
        return detail::error_and_delta_of<Output::linear>(k, z, t, weight, stride);
    case Output::sigmoid:
        return detail::error_and_delta_of<Output::sigmoid>(k, z, t, weight, stride);
    case Output::softmax:
        return detail::error_and_delta_of<Output::softmax>(k, z, t, weight, stride);
    }
    __builtin_unreachable();
}

// Column k of dy/dz as a list of seeds for the output layer's units [first, end): row j - first
// of `seed` is dy_k/dz_j. All others are zero.
struct SeedRange {
    index first, end;
};
template <class T>
inline SeedRange output_derivative(Output output, index n_outputs, index k, const T* y, T* seed,
                                   index stride) {
    const T* const yk = y + k * stride;
    switch (output) {
    case Output::linear:
        for (index s = 0; s < stride; ++s) {
            seed[s] = 1;
        }
        return {k, k + 1};
    case Output::sigmoid:
        for (index s = 0; s < stride; ++s) {
            seed[s] = yk[s] * (T(1) - yk[s]);
        }
        return {k, k + 1};
    case Output::softmax:
        break;
    }
    for (index j = 0; j < n_outputs; ++j) {
        for (index s = 0; s < stride; ++s) {
            seed[j * stride + s] = yk[s] * ((j == k ? T(1) : T(0)) - y[j * stride + s]);
        }
    }
    return {0, n_outputs};
}

namespace detail {
template <int C, class T, class Rows, class Outputs>
MLPCORE_INLINE void push_vectors_through_softmax(index i, index k, const Rows& rows,
                                                 const Outputs& y) {
    Vec<T> mean[C] = {};
    for (index j = 0; j < k; ++j) {
        const T* const row = rows(j) + i;
#pragma GCC unroll 4
        for (int c = 0; c < C; ++c) {
            mean[c] += y(j, i + c * lanes<T>) * load(row + c * lanes<T>);
        }
    }
    for (index j = 0; j < k; ++j) {
        T* const row = rows(j) + i;
        Vec<T> dy[C];
#pragma GCC unroll 4
        for (int c = 0; c < C; ++c) {
            dy[c] = y(j, i + c * lanes<T>) * (load(row + c * lanes<T>) - mean[c]);
        }
#pragma GCC unroll 4
        for (int c = 0; c < C; ++c) {
            store(row + c * lanes<T>, dy[c]);
        }
    }
}
} // namespace detail

// A tangent dz_k/d. of a softmax becomes y_k (dz_k/d. - sum_j y_j dz_j/d.), in place: `length`
// numbers of each of k rows, where row j begins at rows(j) and y(j, i) is y_j for the vector at i.
template <class T, class Rows, class Outputs>
inline void push_through_softmax(index length, index k, const Rows& rows, const Outputs& y) {
    index i = 0;
    for (; i + 4 * lanes<T> <= length; i += 4 * lanes<T>) {
        detail::push_vectors_through_softmax<4, T>(i, k, rows, y);
    }
    for (; i < length; i += lanes<T>) {
        detail::push_vectors_through_softmax<1, T>(i, k, rows, y);
    }
}

// A tangent dz/d. becomes dy/d. = (dy/dz) dz/d., in place.
template <class T>
inline void push_through_output(Output output, index k, const T* y, T* tangent, index stride) {
    switch (output) {
    case Output::linear:
        return;
    case Output::sigmoid:
        for (index i = 0; i < k * stride; ++i) {
            tangent[i] *= y[i] * (T(1) - y[i]);
        }
        return;
    case Output::softmax:
        push_through_softmax<T>(
            stride, k, [&](index j) { return tangent + j * stride; },
            [&](index j, index s) { return load(y + j * stride + s); });
        return;
    }
}

// s of d2E_n/dz2 = diag(s) - c u u^T, and the diagonal of that, both times the weight of the
// sample.
template <class T>
inline void output_curvature(Output output, index k, const T* y, const T* weight, T* s_rows,
                             T* diagonal, index stride) {
    for (index s = 0; s < stride; s += lanes<T>) {
        const Vec<T> g = load(weight + s), half = broadcast(T(0.5));
        // 1 - y where y is near 1 (for one k at most) is the sum of the others.
        Vec<T> others = {};
        for (index i = 0; output == Output::softmax && i < k; ++i) {
            const Vec<T> yi = load(y + i * stride + s);
            others += select<T>(yi > half, Vec<T>{}, yi);
        }
        for (index i = 0; i < k; ++i) {
            const Vec<T> yi = load(y + i * stride + s);
            Vec<T> curvature = broadcast(T(1)), on_diagonal = curvature;
            if (output == Output::sigmoid) {
                curvature = on_diagonal = yi * (T(1) - yi);
            } else if (output == Output::softmax) {
                curvature = yi;
                on_diagonal = yi * select<T>(yi > half, others, T(1) - yi);
            }
            store(s_rows + i * stride + s, g * curvature);
            store(diagonal + i * stride + s, g * on_diagonal);
        }
    }
}

} // namespace mlpcore::MLPCORE_ISA
