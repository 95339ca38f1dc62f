// Operations on flat vectors of weights: for the checks, the reductions and the optimizers.
#pragma once

#include "mlpcore/kernels.hpp"
#include "simd.hpp"

namespace mlpcore::MLPCORE_ISA {

// Calls vector(i) for whole vectors and scalar(i) for what is left.
template <class T, class OnVector, class OnScalar>
MLPCORE_INLINE void for_each(index n, const OnVector& on_vector, const OnScalar& on_scalar) {
    index i = 0;
    for (; i + lanes<T> <= n; i += lanes<T>) {
        on_vector(i);
    }
    for (; i < n; ++i) {
        on_scalar(i);
    }
}

template <class T> inline index first_nonfinite(index n, const T* x) {
    constexpr int chains = 4; // a flag waits for its last addition
    constexpr index block = 16 * chains * lanes<T>;
    // x - x is 0, or NaN for a NaN and for an infinity.
    const auto all_finite = [x](index from, index end) {
        Vec<T> flags[chains] = {};
        T last = 0;
        index i = from;
        for (; i + chains * lanes<T> <= end; i += chains * lanes<T>) {
#pragma GCC unroll 4
            for (int c = 0; c < chains; ++c) {
                const Vec<T> v = load(x + i + c * lanes<T>);
                flags[c] += v - v;
            }
        }
        for (; i + lanes<T> <= end; i += lanes<T>) {
            const Vec<T> v = load(x + i);
            flags[0] += v - v;
        }
        for (; i < end; ++i) {
            last += x[i] - x[i];
        }
        return sum<T>(flags[0] + flags[1] + flags[2] + flags[3]) + last == 0;
    };
    for (index from = 0; from < n; from += block) {
        const index end = n - from < block ? n : from + block;
        if (!all_finite(from, end)) {
            for (index i = from; i < end; ++i) {
                if (!(x[i] - x[i] == 0)) {
                    return i;
                }
            }
        }
    }
    return n;
}

template <class T> inline void accumulate(index n, const T* x, T* total) {
    for_each<T>(
        n, [&](index i) { store(total + i, load(total + i) + load(x + i)); },
        [&](index i) { total[i] += x[i]; });
}

template <class T> inline double dot(index n, const T* x, const T* y) {
    constexpr int chains = 4;                      // a sum waits for its last addition
    constexpr index block = 4 * chains * lanes<T>; // sums of a block in T, of blocks in double
    double total = 0;
    index i = 0;
    while (i + lanes<T> <= n) {
        const index end = n - i < block ? n : i + block;
        Vec<T> part[chains] = {};
        for (; i + chains * lanes<T> <= end; i += chains * lanes<T>) {
#pragma GCC unroll 4
            for (int c = 0; c < chains; ++c) {
                part[c] += load(x + i + c * lanes<T>) * load(y + i + c * lanes<T>);
            }
        }
        for (; i + lanes<T> <= end; i += lanes<T>) {
            part[0] += load(x + i) * load(y + i);
        }
        total += static_cast<double>(sum<T>((part[0] + part[1]) + (part[2] + part[3])));
    }
    for (; i < n; ++i) {
        total += static_cast<double>(x[i]) * static_cast<double>(y[i]);
    }
    return total;
}

template <class T> inline void axpy(index n, T a, const T* x, T* y) {
    for_each<T>(
        n, [&](index i) { store(y + i, load(y + i) + a * load(x + i)); },
        [&](index i) { y[i] += a * x[i]; });
}

// v = momentum v - learning_rate g, w += v (Polyak, 1964; PRML 5.41 with momentum).
template <class T>
inline void momentum_step(index n, T learning_rate, T momentum, const T* g, T* v, T* w) {
    for_each<T>(
        n,
        [&](index i) {
            const Vec<T> step = momentum * load(v + i) - learning_rate * load(g + i);
            store(v + i, step);
            store(w + i, load(w + i) + step);
        },
        [&](index i) {
            v[i] = momentum * v[i] - learning_rate * g[i];
            w[i] += v[i];
        });
}

// Adam (Kingma and Ba, 2015, Algorithm 1); bias1 and bias2 are 1 - beta^t.
template <class T>
inline void adam_step(index n, const AdamStep<T>& c, const T* g, T* mean, T* mean_square, T* w) {
    const T step = c.learning_rate / c.bias1;
    const T scale = T(1) / c.bias2;
    const auto update = [&](auto gi, auto& m, auto& v) {
        m = c.beta1 * m + (T(1) - c.beta1) * gi;
        v = c.beta2 * v + (T(1) - c.beta2) * gi * gi;
    };
    for_each<T>(
        n,
        [&](index i) {
            Vec<T> m = load(mean + i), v = load(mean_square + i);
            update(load(g + i), m, v);
            store(mean + i, m);
            store(mean_square + i, v);
            const Vec<T> root = square_root<T>(scale * v);
            store(w + i, load(w + i) - step * m / (root + c.epsilon));
        },
        [&](index i) {
            update(g[i], mean[i], mean_square[i]);
            const Vec<T> root = square_root<T>(broadcast(scale * mean_square[i]));
            w[i] -= step * mean[i] / (root[0] + c.epsilon);
        });
}

} // namespace mlpcore::MLPCORE_ISA
