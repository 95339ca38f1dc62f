// The steps of a blocked Cholesky factorization A = U^T U (Golub and Van Loan, Matrix Computations,
// 2013, section 4.2), right-looking, in the upper triangle of A, and the solution of A x = b. Rows
// stand `stride` apart, a multiple of the lanes, and there are as many, those from n on zero. Work
// is done in whole vectors: what is below the diagonal may be written, and is zero in the vectors
// that the diagonal crosses once a row of U is done.
#pragma once

#include "product.hpp"

namespace mlpcore::MLPCORE_ISA {

// Rows first ... end - 1 of U, from what earlier updates left of A; inverse_k = 1 / U_kk. Returns
// the first row whose pivot is not positive, or `end`.
template <class T>
inline index cholesky_panel(index first, index end, T* a, index stride, T* inverse) {
    constexpr index L = lanes<T>;
    for (index k = first; k < end; ++k) {
        T* const row = a + k * stride;
        const T pivot = row[k];
        if (!(pivot > 0 && pivot - pivot == 0)) {
            return k;
        }
        // The next pivot waits for this division, but for no square root.
        const T inverse_pivot = T(1) / pivot;
        for (index i = k + 1; i < end; ++i) {
            const Vec<T> factor = broadcast(row[i] * inverse_pivot);
            T* const to = a + i * stride;
            for (index c = i / L * L; c < stride; c += L) {
                store(to + c, load(to + c) - factor * load(row + c));
            }
        }
        const Vec<T> scale = square_root<T>(broadcast(inverse_pivot));
        inverse[k] = scale[0];
        index c = k / L * L;
        store(row + c, lanes_from<T>(k - c, scale * load(row + c)));
        for (c += L; c < stride; c += L) {
            store(row + c, scale * load(row + c));
        }
    }
    return end;
}

namespace detail {
template <class T> struct Subtract {
    T* c;
    index stride;
    MLPCORE_INLINE Vec<T> start(index) const { return Vec<T>{}; }
    MLPCORE_INLINE void finish(index i, index column, Vec<T> sum) const {
        T* const p = c + i * stride + column;
        store(p, load(p) - sum);
    }
    MLPCORE_INLINE void finish_rows(index, index) const {}
};
} // namespace detail

// Takes the part of rows first ... end - 1 of U from rows i ... i_end - 1 of A, which lie below:
// A_ij -= sum_k U_ki U_kj. `end` is a multiple of the lanes.
template <class T>
inline void cholesky_update(index first, index end, index i, index i_end, T* a, index stride) {
    const index column = i / lanes<T> * lanes<T>;
    const T* const u = a + first * stride;
    product<T>(i_end - i, end - first, stride - column, Transposed<T>{.a = u + i, .stride = stride},
               u + column, stride,
               detail::Subtract<T>{.c = a + i * stride + column, .stride = stride});
}

namespace detail {
// Subtracts from v what its lanes contribute to one another: lane i, times inverse_i, is the
// unknown i, which row i of the block takes from v. From the first lane up, or from the last down.
template <class T, bool Up>
MLPCORE_INLINE Vec<T> solve_block(const Vec<T> (&block)[lanes<T>], const T* inverse, Vec<T> v) {
    constexpr int L = static_cast<int>(lanes<T>);
    T x[L];
#pragma GCC unroll 16
    for (int step = 0; step < L; ++step) {
        const int i = Up ? step : L - 1 - step;
        x[i] = v[i] * inverse[i];
        v -= broadcast(x[i]) * block[i];
    }
    return load(x);
}
} // namespace detail

// b becomes A^-1 b; b and `inverse` have `stride` numbers, those from n on zero.
template <class T>
inline void cholesky_solve(const T* u, index stride, const T* inverse, T* b) {
    constexpr index L = lanes<T>;
    Vec<T> block[L];
    const auto load_block = [&](index first) {
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i) {
            block[i] = load(u + (first + i) * stride + first);
        }
    };
    for (index first = 0; first < stride; first += L) { // U^T y = b
        load_block(first);
        const Vec<T> y = detail::solve_block<T, true>(block, inverse + first, load(b + first));
        store(b + first, y);
        for (index c = first + L; c < stride; c += L) {
            Vec<T> sum[2] = {};
#pragma GCC unroll 16
            for (int i = 0; i < L; ++i) {
                sum[i % 2] += broadcast(y[i]) * load(u + (first + i) * stride + c);
            }
            store(b + c, load(b + c) - (sum[0] + sum[1]));
        }
    }
    for (index first = stride - L; first >= 0; first -= L) { // U x = y
        Vec<T> sums[L] = {};
        for (index c = first + L; c < stride; c += L) {
            const Vec<T> x = load(b + c);
#pragma GCC unroll 16
            for (int i = 0; i < L; ++i) {
                sums[i] += x * load(u + (first + i) * stride + c);
            }
        }
        const Vec<T> v = load(b + first) - sum_lanes<T, static_cast<int>(L)>(sums);
        load_block(first);
        transpose<T>(block);
        store(b + first, detail::solve_block<T, false>(block, inverse + first, v));
    }
}

} // namespace mlpcore::MLPCORE_ISA
