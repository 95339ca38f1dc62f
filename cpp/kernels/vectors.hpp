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
    constexpr index block = 16 * lanes<T>;
    for (index from = 0; from < n; from += block) {
        const index count = n - from < block ? n - from : block;
        // x - x is 0, or NaN for a NaN and for an infinity.
        Vec<T> flag = {};
        T last = 0;
        for_each<T>(
            count,
            [&](index i) {
                const Vec<T> v = load(x + from + i);
                flag += v - v;
            },
            [&](index i) { last += x[from + i] - x[from + i]; });
        if (!(sum<T>(flag) + last == 0)) {
            for (index i = from; i < from + count; ++i) {
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
    constexpr index block = 16 * lanes<T>; // sums of a block in T, of blocks in double
    double total = 0;
    for (index from = 0; from < n; from += block) {
        const index count = n - from < block ? n - from : block;
        Vec<T> part = {};
        for_each<T>(
            count, [&](index i) { part += load(x + from + i) * load(y + from + i); },
            [&](index i) {
                total += static_cast<double>(x[from + i]) * static_cast<double>(y[from + i]);
            });
        total += static_cast<double>(sum<T>(part));
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
