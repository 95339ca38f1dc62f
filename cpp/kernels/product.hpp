// The product of a matrix and a tile, along which the lanes run: what every pass is made of.
#pragma once

#include "simd.hpp"

namespace mlpcore::MLPCORE_ISA {

// Register blocks: as many accumulators as leave room for the operands. Where there are but few
// columns, more rows keep them busy.
inline constexpr int accumulators = MLPCORE_VECTOR_REGISTERS >= 32 ? 24 : 12;
inline constexpr int product_rows = 6;
inline constexpr int many_rows = 12;
// Where sums are short, the stores at the end of a block count: Zen 3 hides eight of them behind
// the next block, but not twelve.
inline constexpr index short_sum = 24;
inline constexpr int few_rows = MLPCORE_VECTOR_REGISTERS >= 32 ? product_rows : 4;

// Longer sums are made in pieces: those that may stand in the result (`place` of an epilogue), and
// those of whole blocks of rows that are copied.
inline constexpr index longest_sum = 1024;

constexpr int power_of_two_up_to(int n) {
    int p = 1;
    while (2 * p <= n) {
        p *= 2;
    }
    return p;
}
constexpr int product_vectors(int rows) {
    const int p = power_of_two_up_to(accumulators / rows);
    return p < 8 ? p : 8;
}

// How a product reads the matrix on its left, W (n_out, n_in) row-major: as it is, transposed, or
// transposed with every element squared. Where `down_columns`, neighbours in a row of the product
// lie far apart, and each is on a page of its own if the matrix is wide. `rows_from` is the matrix
// below a row: found once for all blocks of columns, for beside short sums it would count.
template <class T> struct Plain {
    static constexpr bool down_columns = false;
    const T* a;
    index stride;
    MLPCORE_INLINE T element(index i, index k) const { return a[i * stride + k]; }
    MLPCORE_INLINE Plain rows_from(index i) const { return {a + i * stride, stride}; }
    Plain from(index k) const { return {a + k, stride}; }
};
template <class T> struct Transposed {
    static constexpr bool down_columns = true;
    const T* a;
    index stride;
    MLPCORE_INLINE T element(index i, index k) const { return a[k * stride + i]; }
    MLPCORE_INLINE Transposed rows_from(index i) const { return {a + i, stride}; }
};
template <class T> struct TransposedSquared {
    static constexpr bool down_columns = true;
    const T* a;
    index stride;
    MLPCORE_INLINE T element(index i, index k) const {
        return a[k * stride + i] * a[k * stride + i];
    }
    MLPCORE_INLINE TransposedSquared rows_from(index i) const { return {a + i, stride}; }
};

namespace detail {
// Some rows of a matrix, copied so that the operands of a step lie side by side.
template <int R, class T> struct Packed {
    T numbers[R * longest_sum];
    template <class Left> MLPCORE_INLINE void pack(const Left& a, index k0, index inner) {
        for (index k = 0; k < inner; ++k) {
#pragma GCC unroll 12
            for (int r = 0; r < R; ++r) {
                numbers[k * R + r] = a.element(r, k0 + k);
            }
        }
    }
    MLPCORE_INLINE T element(index i, index k) const { return numbers[k * R + i]; }
};

template <int R, int C, class T, class Left, class Epilogue>
MLPCORE_INLINE void product_block(index i0, index inner, index column, const Left& a, const T* b,
                                  index stride, const Epilogue& epilogue) {
    Vec<T> sum[R][C];
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
        const Vec<T> start = epilogue.start(i0 + r);
#pragma GCC unroll 12
        for (int c = 0; c < C; ++c) {
            sum[r][c] = start;
        }
    }
    for (index k = 0; k < inner; ++k) {
        Vec<T> bk[C];
#pragma GCC unroll 12
        for (int c = 0; c < C; ++c) {
            bk[c] = load(b + k * stride + column + c * lanes<T>);
        }
#pragma GCC unroll 12
        for (int r = 0; r < R; ++r) {
            const Vec<T> ark = broadcast(a.element(r, k));
#pragma GCC unroll 12
            for (int c = 0; c < C; ++c) {
                sum[r][c] += ark * bk[c];
            }
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 12
        for (int c = 0; c < C; ++c) {
            epilogue.finish(i0 + r, column + c * lanes<T>, sum[r][c]);
        }
    }
}

// The columns from `column` to `columns` of R rows, in blocks of C vectors, then of half as many.
template <int R, int C, class T, class Left, class Epilogue>
MLPCORE_INLINE void product_columns(index i0, index inner, index column, index columns,
                                    const Left& a, const T* b, index stride,
                                    const Epilogue& epilogue) {
    for (; column + C * lanes<T> <= columns; column += C * lanes<T>) {
        product_block<R, C>(i0, inner, column, a, b, stride, epilogue);
    }
    if constexpr (C > 1) {
        product_columns<R, C / 2>(i0, inner, column, columns, a, b, stride, epilogue);
    }
}

// A sum in pieces, between which it stands where the result will; nobody else may read there.
template <class T, class Epilogue> struct Piece {
    const Epilogue& whole;
    bool first, last;
    MLPCORE_INLINE Vec<T> start(index i) const { return first ? whole.start(i) : Vec<T>{}; }
    MLPCORE_INLINE void finish(index i, index column, Vec<T> sum) const {
        T* const place = whole.place(i, column);
        if (!first) {
            sum += load(place);
        }
        if (last) {
            whole.finish(i, column, sum);
        } else {
            store(place, sum);
        }
    }
    MLPCORE_INLINE void finish_rows(index i, index count) const {
        if (last) {
            whole.finish_rows(i, count);
        }
    }
};

// The same for an epilogue with no place of its own: beside the result, for R rows from `row` on
// and some columns from `column` on.
template <int R, class T, class Epilogue> struct Aside {
    static constexpr index columns = 256;
    const Epilogue& whole;
    index row, column;
    T* sums; // R * columns
    MLPCORE_INLINE Vec<T> start(index i) const { return whole.start(i); }
    MLPCORE_INLINE void finish(index i, index c, Vec<T> sum) const { whole.finish(i, c, sum); }
    MLPCORE_INLINE T* place(index i, index c) const {
        return sums + (i - row) * columns + (c - column);
    }
};

template <int R, int C, class T, class Left, class Epilogue>
inline void product_rows_in_pieces(index i0, index inner, index columns, const Left& a, const T* b,
                                   index stride, const Epilogue& epilogue) {
    using Sums = Aside<R, T, Epilogue>;
    Packed<R, T> packed;
    T sums[R * Sums::columns];
    const index pieces = (inner + longest_sum - 1) / longest_sum;
    const index length = (inner + pieces - 1) / pieces;
    for (index column = 0; column < columns; column += Sums::columns) {
        const index end = columns - column < Sums::columns ? columns : column + Sums::columns;
        const Sums aside{epilogue, i0, column, sums};
        for (index k = 0; k < inner; k += length) {
            const bool last = k + length >= inner;
            const index terms = last ? inner - k : length;
            packed.pack(a, k, terms);
            product_columns<R, C>(i0, terms, column, end, packed, b + k * stride, stride,
                                  Piece<T, Sums>{aside, k == 0, last});
        }
    }
}

template <int R, class T, class Left, class Epilogue>
MLPCORE_INLINE void product_rows_of(index i0, index inner, index columns, const Left& all,
                                    const T* b, index stride, const Epilogue& epilogue) {
    constexpr int C = product_vectors(R);
    const Left a = all.rows_from(i0);
    if constexpr (R >= product_rows && Left::down_columns) {
        // Copying pays where several blocks of columns read the copy.
        constexpr index worth_copying = 64;
        if (inner >= worth_copying && columns >= 4 * C * lanes<T>) {
            if (inner > longest_sum) {
                product_rows_in_pieces<R, C>(i0, inner, columns, a, b, stride, epilogue);
            } else {
                Packed<R, T> packed;
                packed.pack(a, 0, inner);
                product_columns<R, C>(i0, inner, 0, columns, packed, b, stride, epilogue);
            }
            epilogue.finish_rows(i0, R);
            return;
        }
    }
    product_columns<R, C>(i0, inner, 0, columns, a, b, stride, epilogue);
    epilogue.finish_rows(i0, R);
}

// A sum of one term keeps no accumulators busy: row by row, at the speed of the stores. In a
// network with one output half of what goes back is such a product, with one input half of what
// goes forward.
template <class T, class Left, class Epilogue>
inline void product_of_one(index rows, index columns, const Left& a, const T* b,
                           const Epilogue& epilogue) {
    constexpr int together = 4;
    for (index i = 0; i < rows; ++i) {
        const Vec<T> start = epilogue.start(i), ai = broadcast(a.element(i, 0));
        index column = 0;
        for (; column + together * lanes<T> <= columns; column += together * lanes<T>) {
            Vec<T> sum[together];
#pragma GCC unroll 8
            for (int c = 0; c < together; ++c) {
                sum[c] = start + ai * load(b + column + c * lanes<T>);
            }
#pragma GCC unroll 8
            for (int c = 0; c < together; ++c) {
                epilogue.finish(i, column + c * lanes<T>, sum[c]);
            }
        }
        for (; column < columns; column += lanes<T>) {
            epilogue.finish(i, column, start + ai * load(b + column));
        }
        if ((i + 1) % product_rows == 0 || i + 1 == rows) {
            const index first = i / product_rows * product_rows;
            epilogue.finish_rows(first, i + 1 - first);
        }
    }
}

template <class T, class Left, class Epilogue>
inline void product_by_rows(index rows, index inner, index columns, const Left& a, const T* b,
                            index stride, const Epilogue& epilogue) {
    index i = 0;
    if (columns <= accumulators / many_rows * lanes<T>) {
        for (; i + many_rows <= rows; i += many_rows) {
            product_rows_of<many_rows>(i, inner, columns, a, b, stride, epilogue);
        }
    }
    if constexpr (few_rows < product_rows) {
        const bool few = inner <= short_sum && rows > product_rows; // else one block has them all
        for (; few && i + few_rows <= rows; i += few_rows) {
            product_rows_of<few_rows>(i, inner, columns, a, b, stride, epilogue);
        }
    }
    for (; i + product_rows <= rows; i += product_rows) {
        product_rows_of<product_rows>(i, inner, columns, a, b, stride, epilogue);
    }
    switch (rows - i) {
    case 5:
        return product_rows_of<5>(i, inner, columns, a, b, stride, epilogue);
    case 4:
        return product_rows_of<4>(i, inner, columns, a, b, stride, epilogue);
    case 3:
        return product_rows_of<3>(i, inner, columns, a, b, stride, epilogue);
    case 2:
        return product_rows_of<2>(i, inner, columns, a, b, stride, epilogue);
    case 1:
        return product_rows_of<1>(i, inner, columns, a, b, stride, epilogue);
    default:
        return;
    }
}
} // namespace detail

// For i < rows and each vector of the columns: epilogue.finish(i, column, start(i) + sum_k a(i, k)
// b(k, column)), where row k of b begins at b + k * stride and `columns` is a multiple of the
// lanes. After each block of whole rows comes epilogue.finish_rows(first, count), while those
// rows are in the nearest cache.
template <class T, class Left, class Epilogue>
inline void product(index rows, index inner, index columns, const Left& a, const T* b, index stride,
                    const Epilogue& epilogue) {
    if (inner == 1) {
        return detail::product_of_one(rows, columns, a, b, epilogue);
    }
    // Every block of rows reads the whole of b. Long sums are made in pieces, for which a part of b
    // stays in the nearest cache.
    if constexpr (requires { epilogue.place(index{}, index{}); }) {
        constexpr index piece = 256;
        if (inner > longest_sum) {
            const index pieces = (inner + piece - 1) / piece;
            const index length = (inner + pieces - 1) / pieces;
            for (index k = 0; k < inner; k += length) {
                const bool last = k + length >= inner;
                detail::product_by_rows(rows, last ? inner - k : length, columns, a.from(k),
                                        b + k * stride, stride,
                                        detail::Piece<T, Epilogue>{epilogue, k == 0, last});
            }
            return;
        }
    }
    detail::product_by_rows(rows, inner, columns, a, b, stride, epilogue);
}

// Stores the plain product.
template <class T> struct Store {
    T* c;
    index stride;
    MLPCORE_INLINE Vec<T> start(index) const { return Vec<T>{}; }
    MLPCORE_INLINE void finish(index i, index column, Vec<T> sum) const {
        store(c + i * stride + column, sum);
    }
    MLPCORE_INLINE void finish_rows(index, index) const {}
};

// Stores the product times another tile, elementwise.
template <class T> struct StoreScaled {
    T* c;
    const T* scale;
    index stride;
    MLPCORE_INLINE Vec<T> start(index) const { return Vec<T>{}; }
    MLPCORE_INLINE void finish(index i, index column, Vec<T> sum) const {
        store(c + i * stride + column, sum * load(scale + i * stride + column));
    }
    MLPCORE_INLINE void finish_rows(index, index) const {}
};

} // namespace mlpcore::MLPCORE_ISA
