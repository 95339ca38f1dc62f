// Products that sum over the samples of a tile, g += p q^T: the weight gradient, and the diagonal
// of the Hessian. Two ways, chosen by the shape:
//
//   wide    q is turned to samples x rows first, then it is a product along whose rows the lanes
//           run; turning costs what about twelve rows of p cost
//   narrow  both are read along the samples, and the lanes are summed at the end of each block
#pragma once

#include "product.hpp"
#include "tile.hpp"

namespace mlpcore::MLPCORE_ISA {

inline constexpr int outer_rows = 3;

// To sum the lanes of short vectors is cheaper than to turn.
template <class T> inline constexpr bool turns = lanes<T> > 4;

// Rows of a tile that outer() takes to turn up to `rows`.
template <class T> constexpr index outer_rows_turned(index rows) {
    return turns<T> ? padded(rows, lanes<T>) : 0;
}

namespace detail {
template <int R, int C, class T>
MLPCORE_INLINE void outer_block(index columns, const T* p, const T* q, index stride, T* g,
                                index p_step, index q_step) {
    Vec<T> sum[R][C] = {};
    for (index column = 0; column < columns; column += lanes<T>) {
        Vec<T> pv[R];
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            pv[r] = load(p + r * stride + column);
        }
#pragma GCC unroll 8
        for (int c = 0; c < C; ++c) {
            const Vec<T> qv = load(q + c * stride + column);
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) {
                sum[r][c] += pv[r] * qv;
            }
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
        const Vec<T> total = sum_lanes<T, C>(sum[r]);
        T* to = g + r * p_step;
        if constexpr (C == lanes<T>) {
            if (q_step == 1) {
                store(to, load(to) + total);
                continue;
            }
        }
#pragma GCC unroll 16
        for (int c = 0; c < C; ++c) {
            to[c * q_step] += total[c];
        }
    }
}

template <int R, int C, class T>
MLPCORE_INLINE void outer_columns(index from, index q_rows, index columns, const T* p, const T* q,
                                  index stride, T* g, index p_step, index q_step) {
    index j = from;
    for (; j + C <= q_rows; j += C) {
        outer_block<R, C>(columns, p, q + j * stride, stride, g + j * q_step, p_step, q_step);
    }
    if constexpr (C > 1) {
        outer_columns<R, C / 2>(j, q_rows, columns, p, q, stride, g, p_step, q_step);
    }
}
} // namespace detail

// g[i * p_step + j * q_step] += sum over the columns of p(i, column) q(j, column): a product that
// sums over the samples. Fast where q has at least as many rows as there are lanes.
template <class T>
inline void narrow_outer(index p_rows, index q_rows, index columns, const T* p, const T* q,
                         index stride, T* g, index p_step, index q_step) {
    constexpr int C = power_of_two_up_to(accumulators / outer_rows) < lanes<T>
                          ? power_of_two_up_to(accumulators / outer_rows)
                          : static_cast<int>(lanes<T>);
    index i = 0;
    for (; i + outer_rows <= p_rows; i += outer_rows) {
        detail::outer_columns<outer_rows, C>(0, q_rows, columns, p + i * stride, q, stride,
                                             g + i * p_step, p_step, q_step);
    }
    for (; i < p_rows; ++i) {
        detail::outer_columns<1, C>(0, q_rows, columns, p + i * stride, q, stride, g + i * p_step,
                                    p_step, q_step);
    }
}

// The narrow way, whichever of the two has more rows along the lanes of the result.
template <class T>
inline void narrow_outer(index p_rows, index q_rows, index columns, const T* p, const T* q,
                         index stride, T* g) {
    if (q_rows >= lanes<T> || q_rows >= p_rows) {
        narrow_outer(p_rows, q_rows, columns, p, q, stride, g, q_rows, index{1});
    } else {
        narrow_outer(q_rows, p_rows, columns, q, p, stride, g, index{1}, q_rows);
    }
}

namespace detail {
// Adds to rows of `width` numbers that need not be a whole number of vectors.
template <class T> struct AddTo {
    T* g;
    index width;
    MLPCORE_INLINE Vec<T> start(index) const { return Vec<T>{}; }
    MLPCORE_INLINE void finish(index i, index column, Vec<T> sum) const {
        T* const to = g + i * width + column;
        if (column + lanes<T> <= width) {
            store(to, load(to) + sum);
        } else {
            for (index lane = 0; lane < width - column; ++lane) {
                to[lane] += sum[lane];
            }
        }
    }
    MLPCORE_INLINE void finish_rows(index, index) const {}
};
} // namespace detail

// g (p_rows, q_rows) += p q^T over the samples of the tile.
template <class T>
inline void outer(const Tile<T>& tile, index p_rows, index q_rows, const T* p, const T* q, T* g,
                  T* turned) {
    constexpr index worth_turning = 12;
    if (!turns<T> || p_rows < worth_turning || 2 * q_rows < lanes<T>) {
        narrow_outer(p_rows, q_rows, tile.stride, p, q, tile.stride, g);
        return;
    }
    const index width = padded(q_rows, lanes<T>);
    tile.write_rows(q, q_rows, turned, width);
    for (index s = 0; q_rows < width && s < tile.n; ++s) {
        for (index i = q_rows; i < width; ++i) {
            turned[s * width + i] = 0;
        }
    }
    product(p_rows, tile.n, width, Plain<T>{p, tile.stride}, turned, width,
            detail::AddTo<T>{g, q_rows});
}

// g[i] += the sum of row i of p.
template <class T>
inline void sum_rows(index rows, index columns, const T* p, index stride, T* g) {
    constexpr int C = static_cast<int>(lanes<T>);
    index i = 0;
    for (; i + C <= rows; i += C) {
        Vec<T> sum[C] = {};
        for (index column = 0; column < columns; column += lanes<T>) {
#pragma GCC unroll 16
            for (int c = 0; c < C; ++c) {
                sum[c] += load(p + (i + c) * stride + column);
            }
        }
        store(g + i, load(g + i) + sum_lanes<T, C>(sum));
    }
    for (; i < rows; ++i) {
        Vec<T> total = {};
        for (index column = 0; column < columns; column += lanes<T>) {
            total += load(p + i * stride + column);
        }
        g[i] += sum<T>(total);
    }
}

} // namespace mlpcore::MLPCORE_ISA
