// The second derivatives of the outputs, d2y_k/dx_i dx_m (n_inputs x n_inputs for each output).
// With the tangents J^l = dz^l/dx, and back_k^l = dy_k/da^l from backpropagation,
//
//   d2y_k/dx dx^T = sum_l J^lT diag(h'' * back_k^l) J^l + J^LT (d2y_k/dz2) J^L,
//
// l over the hidden layers: each activation bends what comes from below, and its part is carried
// to the output once, whereas to carry d2z^l/dx dx^T upwards would cost every weight n_inputs^2 / 2
// products. The part of the output units, with r = J^L:
//
//   linear 0,   sigmoid y_k (1 - y_k) (1 - 2 y_k) r_k r_k^T,
//   softmax y_k (u_k u_k^T - sum_q y_q u_q u_q^T),   u_k = r_k - sum_q y_q r_q.
//
// Only one half is computed, and mirrored: the result is symmetric to the last bit.
#pragma once

#include "rop.hpp"

namespace mlpcore::MLPCORE_ISA {

namespace detail {
// Tangents of the layers, and one half of the result, in rows.
constexpr index tangent_rows(const NetworkView& net) {
    return net.n_inputs * (net.n_units - net.n_inputs);
}
constexpr index half_square(index n) { return n * (n + 1) / 2; }

// Adds the product.
template <class T> struct AddRows {
    T* c;
    index stride;
    MLPCORE_INLINE Vec<T> start(index) const { return Vec<T>{}; }
    MLPCORE_INLINE void finish(index i, index column, Vec<T> sum) const {
        T* const to = c + i * stride + column;
        store(to, load(to) + sum);
    }
    MLPCORE_INLINE void finish_rows(index, index) const {}
};

// half_im += sum_j c_j J_ji J_jm for m = first .. first + M - 1: units j of one layer whose
// tangents are n_inputs rows each. Row i (i + 1) / 2 + m of `half` is (i, m), m <= i.
template <int M, class T>
MLPCORE_INLINE void bend(index i, index first, index units, index n_inputs, const T* c,
                         const T* tangents, index stride, T* half) {
    for (index s = 0; s < stride; s += lanes<T>) {
        T* const to = half + (half_square(i) + first) * stride + s;
        Vec<T> sum[M];
#pragma GCC unroll 8
        for (int m = 0; m < M; ++m) {
            sum[m] = load(to + m * stride);
        }
        const T* unit = tangents + s;
        for (index j = 0; j < units; ++j, unit += n_inputs * stride) {
            const Vec<T> left = load(c + j * stride + s) * load(unit + i * stride);
#pragma GCC unroll 8
            for (int m = 0; m < M; ++m) {
                sum[m] += left * load(unit + (first + m) * stride);
            }
        }
#pragma GCC unroll 8
        for (int m = 0; m < M; ++m) {
            store(to + m * stride, sum[m]);
        }
    }
}

// half += sum_j c_j J_j J_j^T.
template <class T>
inline void bend_all(index units, index n_inputs, const T* c, const T* tangents, index stride,
                     T* half) {
    for (index i = 0; i < n_inputs; ++i) {
        index m = 0;
        for (; m + 8 <= i + 1; m += 8) {
            bend<8>(i, m, units, n_inputs, c, tangents, stride, half);
        }
        for (; m + 2 <= i + 1; m += 2) {
            bend<2>(i, m, units, n_inputs, c, tangents, stride, half);
        }
        if (m <= i) {
            bend<1>(i, m, units, n_inputs, c, tangents, stride, half);
        }
    }
}

// The same of the lowest layer, whose tangents are its weights: a product of matrices.
template <class T> struct PairOfWeights {
    static constexpr bool down_columns = true;
    const T *column, *w;
    index n_in;
    MLPCORE_INLINE T element(index m, index j) const { return column[j * n_in] * w[j * n_in + m]; }
    MLPCORE_INLINE PairOfWeights rows_from(index m) const { return {column, w + m, n_in}; }
};
template <class T>
inline void bend_lowest(const Layer& l, const T* w, const T* c, index stride, T* half) {
    for (index i = 0; i < l.n_in; ++i) {
        product(i + 1, l.n_out, stride, PairOfWeights<T>{w + l.weights + i, w + l.weights, l.n_in},
                c, stride, AddRows<T>{half + half_square(i) * stride, stride});
    }
}

// J^l from J^{l-1}: row j * n_inputs + i is dz_j/dx_i; a product whose columns are i and the
// samples.
template <class T>
inline void tangents_of_inputs(const NetworkView& net, const T* w, const Slopes<T>& slopes,
                               index stride, T* tangents, T* scaled) {
    const index d = net.n_inputs;
    for (const Layer* l = net.layers; l < net.layers + net.depth; ++l) {
        T* const to = tangents + d * (l->row - d) * stride;
        if (l == net.layers) {
            for (index r = 0; r < l->n_out * d; ++r) {
                const Vec<T> value = broadcast(w[l->weights + r]);
                for (index s = 0; s < stride; s += lanes<T>) {
                    store(to + r * stride + s, value);
                }
            }
            continue;
        }
        const T* const d1 = slopes.d1_of(l[-1], stride);
        const T* const below = tangents + d * (l[-1].row - d) * stride;
        for (index j = 0; j < l->n_in; ++j) {
            for (index i = 0; i < d; ++i) {
                const index row = (j * d + i) * stride;
                for (index s = 0; s < stride; s += lanes<T>) {
                    store(scaled + row + s, load(d1 + j * stride + s) * load(below + row + s));
                }
            }
        }
        product(l->n_out, l->n_in, d * stride, Plain<T>{w + l->weights, l->n_in},
                static_cast<const T*>(scaled), d * stride, Store<T>{to, d * stride});
    }
}
} // namespace detail

// Rows of a tile; the calls of Tile::take below, added up.
constexpr index output_hessian_rows(const NetworkView& net) {
    return 4 * net.n_units + net.n_outputs + net.widest + detail::tangent_rows(net) +
           net.n_inputs * (net.widest + net.n_outputs) + 2 * detail::half_square(net.n_inputs);
}

// d2y_k/dx_i dx_m, n_outputs x n_inputs x n_inputs numbers a sample.
template <class T>
inline void output_hessian_pass(const NetworkView& net, const T* w, const Batch<T>& batch,
                                T* hessian, T* scratch) {
    Tile<T> tile(net, batch.n, scratch);
    const index stride = tile.stride, d = net.n_inputs, k = net.n_outputs;
    const index half_size = detail::half_square(d) * stride;
    const Slopes<T> slopes{.d1 = tile.take(net.n_units), .d2 = tile.take(net.n_units)};
    T* const delta = tile.take(net.n_units);
    T* const seed = tile.take(k);
    T* const scaled = tile.take(d * net.widest);
    T* const tangents = tile.take(detail::tangent_rows(net));
    T* const centred = tile.take(d * k); // u of softmax
    T* const half = tile.take(2 * detail::half_square(d));
    T* const common = half + half_size; // sum_q y_q u_q u_q^T of softmax
    T* const factor = tile.take(net.widest);
    const Layer* const first = net.layers;
    const Layer* const top = net.layers + net.depth - 1;

    tile.load_inputs(batch);
    forward_pass(net, w, slopes, tile);
    output_units(net.output, k, tile.outputs(), stride);
    const T* const y = tile.outputs();
    detail::tangents_of_inputs(net, w, slopes, stride, tangents, scaled);
    const T* const r = tangents + d * (top->row - d) * stride;

    if (net.output == Output::softmax) {
        for (index i = 0; i < d; ++i) {
            for (index s = 0; s < stride; s += lanes<T>) {
                Vec<T> mean = {};
                for (index q = 0; q < k; ++q) {
                    mean += load(y + q * stride + s) * load(r + (q * d + i) * stride + s);
                }
                for (index q = 0; q < k; ++q) {
                    const index at = (q * d + i) * stride + s;
                    store(centred + at, load(r + at) - mean);
                }
            }
        }
        for (index i = 0; i < half_size; ++i) {
            common[i] = 0;
        }
        detail::bend_all(k, d, y, static_cast<const T*>(centred), stride, common);
    }

    for (index output = 0; output < k; ++output) {
        const T* const yk = y + output * stride;
        for (index i = 0; i < half_size; ++i) {
            half[i] = 0;
        }
        SeedRange range = output_derivative(net.output, k, output, y, seed, stride);
        const T* current = seed;
        for (const Layer* l = top; l != first; --l) {
            const Layer& below = l[-1];
            const index at = below.row * stride;
            product(
                l->n_in, range.end - range.first, stride,
                Transposed<T>{w + l->weights + range.first * l->n_in, l->n_in}, current, stride,
                detail::StoreBent<T>{delta + at, factor, slopes.d1 + at, slopes.d2 + at, stride});
            if (&below == first) {
                detail::bend_lowest(below, w, static_cast<const T*>(factor), stride, half);
            } else {
                detail::bend_all(below.n_out, d, static_cast<const T*>(factor),
                                 static_cast<const T*>(tangents + d * (below.row - d) * stride),
                                 stride, half);
            }
            current = delta + at;
            range = {0, below.n_out};
        }
        if (net.output == Output::sigmoid) {
            for (index s = 0; s < stride; s += lanes<T>) {
                const Vec<T> p = load(yk + s);
                store(factor + s, p * (T(1) - p) * (T(1) - T(2) * p));
            }
            detail::bend_all(1, d, static_cast<const T*>(factor), r + output * d * stride, stride,
                             half);
        } else if (net.output == Output::softmax) {
            detail::bend_all(1, d, yk, static_cast<const T*>(centred + output * d * stride), stride,
                             half);
            for (index row = 0; row < detail::half_square(d); ++row) {
                for (index s = 0; s < stride; s += lanes<T>) {
                    T* const to = half + row * stride + s;
                    store(to, load(to) - load(yk + s) * load(common + row * stride + s));
                }
            }
        }
        tile.write(d * d, hessian + output * d * d, k * d * d,
                   [&](index first, int count, index s, Vec<T>* rows) {
                       for (int row = 0; row < count; ++row) {
                           const index i = (first + row) / d, m = (first + row) % d;
                           const index at =
                               i < m ? detail::half_square(m) + i : detail::half_square(i) + m;
                           rows[row] = load(half + at * stride + s);
                       }
                   });
    }
}

} // namespace mlpcore::MLPCORE_ISA
