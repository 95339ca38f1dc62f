// The diagonal of the Hessian, at any depth. With B^l = d2E_n/dz^l dz^lT,
//
//   B^l = diag(h') W^{l+1}T B^{l+1} W^{l+1} diag(h') + diag(h'' * (W^{l+1}T delta^{l+1})),
//   d2E/dw_ji^2 = sum_n B^l_jj (a_i^{l-1})^2,    d2E/db_j^2 = sum_n B^l_jj.
//
// exact         all of B is carried down; the lowest layer needs only its diagonal
// gauss_newton  without the term in h''
// becker_lecun  only the diagonal of B is carried (PRML 5.79 to 5.81; Becker and LeCun, 1989)
//
// At the top B^L = diag(s) - c u u^T (output.hpp), which is never written out. For softmax, where
// u = s = y and sum_r y_r = 1, W^T B^L W is computed in its centred form, without cancellation:
//
//   sum_r y_r v_ri v_rj,   v_ri = W_ri - sum_q y_q W_qi.
#pragma once

#include "backward.hpp"

namespace mlpcore::MLPCORE_ISA {

namespace detail {
// Beyond this many units in a layer no memory could hold B, and its size could overflow.
inline constexpr index most_curved = index{1} << 20;

inline index largest(index a, index b) { return a < b ? b : a; }

// Rows for B of the widest layer that needs all of it: the hidden layers but the lowest.
inline index curvature_rows(const NetworkView& net) {
    index rows = 0;
    for (index l = 1; l + 1 < net.depth; ++l) {
        const index n = net.layers[l].n_out < most_curved ? net.layers[l].n_out : most_curved;
        rows = largest(rows, n * n);
    }
    return rows;
}
// Rows for W^{l+1}T B^{l+1} of the same layers, or for v of softmax.
inline index half_product_rows(const NetworkView& net) {
    index rows = net.output == Output::softmax ? net.n_outputs * net.layers[net.depth - 1].n_in : 0;
    for (index l = 1; l + 1 < net.depth; ++l) {
        rows = largest(rows, net.layers[l].n_out * net.layers[l + 1].n_out);
    }
    return rows;
}

// B_ij = d1_i d1_j sum_r P_ir W_rj for one i and all j <= i, and mirrored.
template <class T> struct StoreSymmetric {
    T* b;
    const T* d1;
    index i, n, stride;
    MLPCORE_INLINE Vec<T> start(index) const { return Vec<T>{}; }
    MLPCORE_INLINE void finish(index j, index s, Vec<T> sum) const {
        const Vec<T> value = sum * (load(d1 + i * stride + s) * load(d1 + j * stride + s));
        store(b + (i * n + j) * stride + s, value);
        store(b + (j * n + i) * stride + s, value);
    }
    MLPCORE_INLINE void finish_rows(index, index) const {}
};

// b_j += 2 W_rj (sum_{q < r} B_rq W_qj + B_rr W_rj / 2) for one r.
template <class T> struct AddTwice {
    T* b;
    const T* b_rr;
    const T* w_row;
    index stride;
    MLPCORE_INLINE Vec<T> start(index) const { return Vec<T>{}; }
    MLPCORE_INLINE void finish(index j, index s, Vec<T> sum) const {
        T* const to = b + j * stride + s;
        const Vec<T> half = load(b_rr + s) * (T(0.5) * w_row[j]);
        store(to, load(to) + (sum + half) * (T(2) * w_row[j]));
    }
    MLPCORE_INLINE void finish_rows(index, index) const {}
};

// Stores the column r of P = W^T B.
template <class T> struct StoreColumn {
    T* p;
    index r, n_upper, stride;
    MLPCORE_INLINE Vec<T> start(index) const { return Vec<T>{}; }
    MLPCORE_INLINE void finish(index i, index s, Vec<T> sum) const {
        store(p + (i * n_upper + r) * stride + s, sum);
    }
    MLPCORE_INLINE void finish_rows(index, index) const {}
};
// v_ri = W_ri - c_i into row i * n_upper + r, where c = W^T y has n rows.
template <class T>
inline void centre(index n, index n_upper, const T* w, const T* c, T* v, index stride) {
    for (index i = 0; i < n; ++i) {
        for (index r = 0; r < n_upper; ++r) {
            const Vec<T> wri = broadcast(w[r * n + i]);
            for (index s = 0; s < stride; s += lanes<T>) {
                store(v + (i * n_upper + r) * stride + s, wri - load(c + i * stride + s));
            }
        }
    }
}

// sum_r y_r v_ri v_rj for one vector of samples.
template <class T>
MLPCORE_INLINE Vec<T> centred_product(index i, index j, index n_upper, const T* y, const T* v,
                                      index stride) {
    Vec<T> sum = {};
    for (index r = 0; r < n_upper; ++r) {
        sum += load(y + r * stride) * load(v + (i * n_upper + r) * stride) *
               load(v + (j * n_upper + r) * stride);
    }
    return sum;
}
} // namespace detail

// Puts the diagonal of the tile's Hessian into `diagonal`.
template <class T>
inline void hessian_diagonal_pass(const NetworkView& net, const T* w, const Batch<T>& batch,
                                  Curvature kind, Sum<T> diagonal, T* scratch) {
    Tile<T> tile(net, batch.n, scratch);
    const index stride = tile.stride, k = net.n_outputs;
    const bool exact = kind != Curvature::gauss_newton;
    const bool diagonal_only = kind == Curvature::becker_lecun;
    Slopes<T> slopes{.d1 = tile.take(net.n_units), .d2 = tile.take(net.n_units)};
    if (!exact) {
        slopes.d2 = nullptr;
    }
    T* const t = tile.take(k);
    T* const weight = tile.take(1);
    T* const s_rows = tile.take(k);
    T* const squares = tile.take(net.widest);
    T* const turned = tile.take(outer_rows_turned<T>(net.widest));
    T* const b = tile.take(net.widest);
    T* const b_below = tile.take(net.widest);
    T* const c = tile.take(net.widest); // W^T y of softmax
    T* delta = tile.take(net.widest);
    T* delta_below = tile.take(net.widest);
    T* const full = tile.take(detail::curvature_rows(net));
    T* const half = tile.take(detail::half_product_rows(net));

    tile.load_inputs(batch);
    forward_pass(net, w, slopes, tile);
    tile.load_weights(batch, weight);
    const T* const y = tile.outputs();
    if (exact) {
        tile.load_targets(batch, t);
        error_and_delta(net.output, k, tile.outputs(), t, weight, stride);
        for (index i = 0; i < k * stride; ++i) {
            delta[i] = t[i];
        }
    } else {
        output_units(net.output, k, tile.outputs(), stride);
    }
    output_curvature(net.output, k, y, weight, s_rows, b, stride);

    const Layer* l = net.layers + net.depth - 1;
    for (bool output_layer = true;; output_layer = false) {
        // The rows of `b` are the diagonal of B^l.
        const T* const a = tile.activations_below(*l);
        for (index i = 0; i < l->n_in * stride; i += lanes<T>) {
            store(squares + i, load(a + i) * load(a + i));
        }
        outer(tile, l->n_out, l->n_in, b, squares, diagonal.from(l->weights), turned);
        sum_rows(l->n_out, stride, b, stride, diagonal.from(l->biases));
        if (l == net.layers) {
            return;
        }

        const Layer& below = l[-1];
        const bool lowest = &below == net.layers;
        const index n = below.n_out, n_upper = l->n_out;
        const T* const d1 = slopes.d1_of(below, stride);
        const Transposed<T> w_transposed{w + l->weights, l->n_in};
        const bool centred = output_layer && net.output == Output::softmax && !diagonal_only;
        if (centred) {
            product(n, n_upper, stride, w_transposed, y, stride, Store<T>{c, stride});
            detail::centre(n, n_upper, w + l->weights, c, half, stride);
        }

        if (centred && lowest) {
            for (index i = 0; i < n; ++i) {
                for (index s = 0; s < stride; s += lanes<T>) {
                    store(b_below + i * stride + s,
                          detail::centred_product(i, i, n_upper, s_rows + s, half + s, stride));
                }
            }
        } else if (diagonal_only || (output_layer && lowest)) {
            // B^l is diagonal: the squares of the weights suffice.
            product(n, n_upper, stride, TransposedSquared<T>{w + l->weights, l->n_in},
                    diagonal_only ? b : s_rows, stride, Store<T>{b_below, stride});
        } else if (lowest) {
            // sum_rq W_rj B_rq W_qj, of which the pairs q < r count twice.
            for (index i = 0; i < n * stride; ++i) {
                b_below[i] = 0;
            }
            for (index r = 0; r < n_upper; ++r) {
                const T* const row = full + r * n_upper * stride;
                product(
                    n, r, stride, w_transposed, row, stride,
                    detail::AddTwice<T>{b_below, row + r * stride, w + l->weights + r * n, stride});
            }
        } else if (centred) {
            for (index i = 0; i < n; ++i) {
                const detail::StoreSymmetric<T> symmetric{full, d1, i, n, stride};
                for (index j = 0; j <= i; ++j) {
                    for (index s = 0; s < stride; s += lanes<T>) {
                        symmetric.finish(
                            j, s,
                            detail::centred_product(i, j, n_upper, s_rows + s, half + s, stride));
                    }
                }
            }
        } else {
            // `half` is W^T B^l, n x n_upper, then B^{l-1} replaces B^l.
            if (output_layer) {
                for (index i = 0; i < n; ++i) {
                    for (index r = 0; r < n_upper; ++r) {
                        const Vec<T> wri = broadcast(w_transposed.element(i, r));
                        for (index s = 0; s < stride; s += lanes<T>) {
                            store(half + (i * n_upper + r) * stride + s,
                                  wri * load(s_rows + r * stride + s));
                        }
                    }
                }
            } else {
                for (index r = 0; r < n_upper; ++r) {
                    product(n, n_upper, stride, w_transposed, full + r * stride, n_upper * stride,
                            detail::StoreColumn<T>{half, r, n_upper, stride});
                }
            }
            for (index i = 0; i < n; ++i) {
                product(i + 1, n_upper, stride, w_transposed, half + i * n_upper * stride, stride,
                        detail::StoreSymmetric<T>{full, d1, i, n, stride});
            }
        }
        const bool scaled = !(diagonal_only || lowest); // `full` has its factors d1 already

        if (exact) {
            product(n, n_upper, stride, w_transposed, delta, stride, Store<T>{delta_below, stride});
        }
        for (index i = 0; i < n; ++i) {
            for (index s = 0; s < stride; s += lanes<T>) {
                const index at = i * stride + s;
                T* const diagonal_of_full = full + (i * n + i) * stride + s;
                const Vec<T> slope = load(d1 + at);
                Vec<T> value = scaled ? load(diagonal_of_full) : load(b_below + at) * slope * slope;
                if (exact) {
                    const Vec<T> back = load(delta_below + at);
                    value += load(slopes.d2_of(below, stride) + at) * back;
                    store(delta_below + at, slope * back);
                }
                if (scaled) {
                    store(diagonal_of_full, value);
                }
                store(b + at, value);
            }
        }
        T* const swap = delta;
        delta = delta_below;
        delta_below = swap;
        --l;
    }
}

} // namespace mlpcore::MLPCORE_ISA
