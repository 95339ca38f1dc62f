// All products of rows with rows, each summed over the samples: c += p q^T, where the rows of p and
// of q are the numbers of one tile. Both are read along the samples, and the lanes are summed at
// the end of each register block; that costs little where a tile is long.
#pragma once

#include "product.hpp"

namespace mlpcore::MLPCORE_ISA {

namespace detail {
inline constexpr int row_product_rows = 3;

template <int R, int C, class T>
MLPCORE_INLINE void row_products_block(index columns, const T* p, const T* q, index stride, T* c,
                                       index step) {
    Vec<T> sum[R][C] = {};
    for (index column = 0; column < columns; column += lanes<T>) {
        Vec<T> pv[R];
#pragma GCC unroll 8
        for (int i = 0; i < R; ++i) {
            pv[i] = load(p + i * stride + column);
        }
#pragma GCC unroll 8
        for (int j = 0; j < C; ++j) {
            const Vec<T> qv = load(q + j * stride + column);
#pragma GCC unroll 8
            for (int i = 0; i < R; ++i) {
                sum[i][j] += pv[i] * qv;
            }
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) {
        const Vec<T> total = sum_lanes<T, C>(sum[i]);
        if constexpr (C == lanes<T>) {
            store(c + i * step, load(c + i * step) + total);
        } else {
#pragma GCC unroll 8
            for (int j = 0; j < C; ++j) {
                c[i * step + j] += total[j];
            }
        }
    }
}

template <int R, int C, class T>
MLPCORE_INLINE void row_products_of(index q_rows, index columns, const T* p, const T* q,
                                    index stride, T* c, index step) {
    index j = 0;
    for (; j + C <= q_rows; j += C) {
        row_products_block<R, C>(columns, p, q + j * stride, stride, c + j, step);
    }
    if constexpr (C > 1) {
        if (j < q_rows) {
            row_products_of<R, C / 2>(q_rows - j, columns, p, q + j * stride, stride, c + j, step);
        }
    }
}
} // namespace detail

// c[i * step + j] += sum over the columns of p(i, column) q(j, column), rows `stride` apart.
template <class T>
inline void row_products(index p_rows, index q_rows, index columns, const T* p, const T* q,
                         index stride, T* c, index step) {
    constexpr int R = detail::row_product_rows;
    constexpr int most = power_of_two_up_to(accumulators / R);
    constexpr int C = most < lanes<T> ? most : static_cast<int>(lanes<T>);
    index i = 0;
    for (; i + R <= p_rows; i += R) {
        detail::row_products_of<R, C>(q_rows, columns, p + i * stride, q, stride, c + i * step,
                                      step);
    }
    if (p_rows - i == 2) {
        detail::row_products_of<2, C>(q_rows, columns, p + i * stride, q, stride, c + i * step,
                                      step);
    } else if (p_rows - i == 1) {
        detail::row_products_of<1, C>(q_rows, columns, p + i * stride, q, stride, c + i * step,
                                      step);
    }
}

} // namespace mlpcore::MLPCORE_ISA
