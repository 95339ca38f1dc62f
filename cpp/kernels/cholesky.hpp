// The two steps of a blocked Cholesky factorization A = U^T U (Golub and Van Loan, Matrix
// Computations, 2013, section 4.2), right-looking, in the upper triangle of A. Rows stand `stride`
// apart, a multiple of the lanes, and may be written up to there; what is below the diagonal is
// never read.
#pragma once

#include "product.hpp"
#include "vectors.hpp"

namespace mlpcore::MLPCORE_ISA {

// Rows first ... end - 1 of U, from what earlier updates left of A. Returns the first row whose
// pivot is not positive, or `end`.
template <class T>
inline index cholesky_panel(index n, index first, index end, T* a, index stride) {
    for (index k = first; k < end; ++k) {
        T* const row = a + k * stride;
        const T pivot = row[k];
        if (!(pivot > 0 && pivot - pivot == 0)) {
            return k;
        }
        const T scale = T(1) / square_root<T>(broadcast(pivot))[0];
        for (index j = k; j < n; ++j) {
            row[j] *= scale;
        }
        for (index i = k + 1; i < end; ++i) {
            axpy(n - i, -row[i], row + i, a + i * stride + i);
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

} // namespace mlpcore::MLPCORE_ISA
