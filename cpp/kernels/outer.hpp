// Products that sum over the samples of one tile or of several, p q^T: the weight gradient, the
// Hessian and its diagonal. Two ways, chosen by the shape:
//
//   wide    q is turned to samples x rows first, then it is a product along whose rows the lanes
//           run; turning costs what about twelve rows of p cost
//   narrow  both are read along the samples, and the lanes are summed at the end of each block;
//           also for the last rows of q, where they don't fill a vector
#pragma once

#include "product.hpp"
#include "tile.hpp"

namespace mlpcore::MLPCORE_ISA {

inline constexpr int outer_rows = 3;

// What is summed over: the columns of one tile, or of several of one shape, whose rows begin `step`
// numbers apart.
struct OfOne {
    index columns;
    static constexpr index tiles = 1, step = 0;
};
struct OfSeveral {
    index columns, tiles, step;
};

// To sum the lanes of short vectors is cheaper than to turn.
template <class T> inline constexpr bool turns = lanes<T> > 4;

// How many of `rows` rows fill whole vectors once they are turned; the rest stay narrow.
template <class T> constexpr index outer_rows_turned(index rows) {
    return turns<T> ? rows / lanes<T> * lanes<T> : 0;
}

namespace detail {
template <class T> MLPCORE_INLINE void put(Sum<T> g, index i, Vec<T> part) {
    T* const to = g.numbers + i;
    if (g.begun) {
        part += load(to);
    }
    store(to, part);
}
template <class T> MLPCORE_INLINE void put(Sum<T> g, index i, T part) {
    T* const to = g.numbers + i;
    if (g.begun) {
        part += *to;
    }
    *to = part;
}

template <int R, int C, class T, class Samples>
MLPCORE_INLINE void outer_block(const Samples& samples, const T* p, const T* q, index stride,
                                Sum<T> g, index p_step, index q_step) {
    Vec<T> sum[R][C] = {};
    for (index tile = 0; tile < samples.tiles; ++tile) {
        for (index column = 0; column < samples.columns; column += lanes<T>) {
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
        p += samples.step;
        q += samples.step;
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
        const Vec<T> total = sum_lanes<T, C>(sum[r]);
        if constexpr (C == lanes<T>) {
            if (q_step == 1) {
                put(g, r * p_step, total);
                continue;
            }
        }
#pragma GCC unroll 16
        for (int c = 0; c < C; ++c) {
            put<T>(g, r * p_step + c * q_step, total[c]);
        }
    }
}

template <int R, int C, class T, class Samples>
MLPCORE_INLINE void outer_columns(index from, index q_rows, const Samples& samples, const T* p,
                                  const T* q, index stride, Sum<T> g, index p_step, index q_step) {
    index j = from;
    for (; j + C <= q_rows; j += C) {
        outer_block<R, C>(samples, p, q + j * stride, stride, g.from(j * q_step), p_step, q_step);
    }
    if constexpr (C > 1) {
        outer_columns<R, C / 2>(j, q_rows, samples, p, q, stride, g, p_step, q_step);
    }
}
} // namespace detail

// Into g[i * p_step + j * q_step], the sum over the columns of p(i, column) q(j, column). Fast
// where q has at least as many rows as there are lanes.
template <class T, class Samples>
inline void narrow_outer(index p_rows, index q_rows, const Samples& samples, const T* p, const T* q,
                         index stride, Sum<T> g, index p_step, index q_step) {
    constexpr int C = power_of_two_up_to(accumulators / outer_rows) < lanes<T>
                          ? power_of_two_up_to(accumulators / outer_rows)
                          : static_cast<int>(lanes<T>);
    // All rows of p go past some of q that stay in the nearest cache.
    constexpr index kept_bytes = 24 * 1024;
    const index row_bytes = samples.columns * samples.tiles * static_cast<index>(sizeof(T));
    const index kept = row_bytes * C < kept_bytes ? kept_bytes / row_bytes / C * C : C;
    for (index j = 0; j < q_rows; j += kept) {
        const index count = q_rows - j < kept ? q_rows - j : kept;
        const T* const some = q + j * stride;
        const Sum<T> to = g.from(j * q_step);
        index i = 0;
        for (; i + outer_rows <= p_rows; i += outer_rows) {
            detail::outer_columns<outer_rows, C>(0, count, samples, p + i * stride, some, stride,
                                                 to.from(i * p_step), p_step, q_step);
        }
        for (; i < p_rows; ++i) {
            detail::outer_columns<1, C>(0, count, samples, p + i * stride, some, stride,
                                        to.from(i * p_step), p_step, q_step);
        }
    }
}

// The narrow way, whichever of the two has more rows along the lanes of the result. Rows of g begin
// `step` apart.
template <class T, class Samples>
inline void narrow_outer(index p_rows, index q_rows, const Samples& samples, const T* p, const T* q,
                         index stride, Sum<T> g, index step) {
    if (q_rows >= lanes<T> || q_rows >= p_rows) {
        narrow_outer(p_rows, q_rows, samples, p, q, stride, g, step, index{1});
    } else {
        narrow_outer(q_rows, p_rows, samples, q, p, stride, g, index{1}, step);
    }
}

namespace detail {
template <class T> struct PutInto {
    Sum<T> g;
    index stride;
    MLPCORE_INLINE Vec<T> start(index) const { return Vec<T>{}; }
    MLPCORE_INLINE void finish(index i, index column, Vec<T> part) const {
        put(g, i * stride + column, part);
    }
    MLPCORE_INLINE void finish_rows(index, index) const {}
};
} // namespace detail

// Into g, whose rows begin `step` apart, p q^T over the columns of tiles of which this is the
// first.
template <class T, class Samples>
inline void outer(const Tile<T>& tile, const Samples& samples, index p_rows, index q_rows,
                  const T* p, const T* q, Sum<T> g, index step, T* turned) {
    constexpr index worth_turning = 12;
    const index wide = p_rows >= worth_turning ? outer_rows_turned<T>(q_rows) : 0;
    if (wide > 0) {
        for (index t = 0; t < samples.tiles; ++t) {
            tile.write_rows(q + t * samples.step, wide, turned, wide);
            product(p_rows, tile.n, wide, Plain<T>{p + t * samples.step, tile.stride}, turned, wide,
                    detail::PutInto<T>{g.after(t), step});
        }
    }
    if (wide < q_rows) {
        narrow_outer(p_rows, q_rows - wide, samples, p, q + wide * tile.stride, tile.stride,
                     g.from(wide), step);
    }
}

// Into g (p_rows, q_rows), p q^T over the samples of one tile.
template <class T>
inline void outer(const Tile<T>& tile, index p_rows, index q_rows, const T* p, const T* q, Sum<T> g,
                  T* turned) {
    outer(tile, OfOne{tile.stride}, p_rows, q_rows, p, q, g, q_rows, turned);
}

// Into g[i], the sum of row i of p.
template <class T>
inline void sum_rows(index rows, index columns, const T* p, index stride, Sum<T> g) {
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
        detail::put(g, i, sum_lanes<T, C>(sum));
    }
    for (; i < rows; ++i) {
        Vec<T> total = {};
        for (index column = 0; column < columns; column += lanes<T>) {
            total += load(p + i * stride + column);
        }
        detail::put(g, i, sum<T>(total));
    }
}

} // namespace mlpcore::MLPCORE_ISA
