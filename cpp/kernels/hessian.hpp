// The Hessian, at any depth. For layers l <= m, with B^m = d2E_n/dz^m dz^mT and a^{l-1} followed by
// a 1 for the bias,
//
//   d2E/dw^l_ji dw^m_qp = sum_n a_i^{l-1} [ B^{l,m}_jq a_p^{m-1} + Q^{l,m}_jp delta_q^m ],
//
//   B^{m,m} = B^m,     B^{l,m} = diag(h') W^{l+1}T B^{l+1,m},       d delta^m / dz^l
//   Q^{l,m} = (da^{m-1}/dz^l)^T:  Q^{m,m} = 0,   Q^{m-1,m} = diag(h'),
//                                 Q^{l,m} = diag(h') W^{l+1}T Q^{l+1,m},
//   B^{m-1} = B^{m-1,m} W^m diag(h') + diag(h'' * (W^mT delta^m)).
//
//   exact             as above
//   gauss_newton      without Q and the term in h'' (PRML 5.84, 5.85):
//                         sum_n J_n^T B^L J_n,  J_n = dz^L/dw
//   empirical_fisher  B^{l,m} = delta^l delta^mT, without Q:
//                         sum_n (dE_n/dw) (dE_n/dw)^T
//
// Either sum is one product of two matrices whose inner dimension is the samples: pairs of units by
// pairs of inputs. Where l = m the two halves of either side are equal, so it has a quarter of the
// pairs. B and Q are made for a tile of samples, from m = L down and for each m from l = m down;
// the products are cut into pieces of the result.
#pragma once

#include "curvature.hpp"
#include "outer.hpp"

namespace mlpcore::MLPCORE_ISA {

namespace detail {
// B^L is diagonal but for softmax.
inline bool top_is_diagonal(const NetworkView& net) { return net.output != Output::softmax; }

// What a tile keeps, in rows.
struct HessianRows {
    index own = 0;        // B^m of all layers but the lowest
    index cross[2] = {};  // B^{l,m}, by m - l even or odd: each is made from the other
    index slopes[2] = {}; // Q^{l,m} for l < m - 1, likewise
    index centred = 0;    // v of softmax
};

inline HessianRows hessian_rows_of(const NetworkView& net) {
    HessianRows rows;
    const Layer* const layers = net.layers;
    const index k = net.n_outputs, top = net.depth - 1;
    rows.own = top_is_diagonal(net) ? k : k * k;
    for (index m = 1; m <= top; ++m) {
        const index n = layers[m].n_out;
        rows.own = m < top ? largest(rows.own, n * n) : rows.own;
        for (index l = 0; l < m; ++l) {
            index& cross = rows.cross[(m - l) % 2];
            cross = largest(cross, layers[l].n_out * n);
            if (l + 1 < m) {
                index& slopes = rows.slopes[(m - l) % 2];
                slopes = largest(slopes, layers[l].n_out * layers[m].n_in);
            }
        }
    }
    rows.centred = top_is_diagonal(net) ? 0 : k * layers[top].n_in;
    return rows;
}

inline index hessian_rows(const NetworkView& net) {
    const HessianRows rows = hessian_rows_of(net);
    return 4 * net.n_units + 2 + 2 * net.n_outputs + net.widest + rows.own + rows.cross[0] +
           rows.cross[1] + rows.slopes[0] + rows.slopes[1] + rows.centred;
}

// The state of one tile while its part of the Hessian is made.
template <class T> struct HessianTile {
    HessianTile(const NetworkView& net, index n, T* state)
        : tile(net, n, state), stride(tile.stride) {
        const HessianRows rows = hessian_rows_of(net);
        d1 = tile.take(net.n_units);
        bend = tile.take(net.n_units);
        delta = tile.take(net.n_units);
        weight = tile.take(1);
        ones = tile.take(1);
        s = tile.take(net.n_outputs);
        diagonal = tile.take(net.n_outputs);
        c = tile.take(net.widest);
        own = tile.take(rows.own);
        for (int parity = 0; parity < 2; ++parity) {
            cross[parity] = tile.take(rows.cross[parity]);
            slopes[parity] = tile.take(rows.slopes[parity]);
        }
        centred = tile.take(rows.centred);
    }

    const T* d1_of(const Layer& l) const { return d1 + l.row * stride; }
    T* bend_of(const Layer& l) const { return bend + l.row * stride; }
    T* delta_of(const Layer& l) const { return delta + l.row * stride; }

    Tile<T> tile;
    index stride;
    T *d1, *bend, *delta; // h', h'' * (W^T delta) and delta, a row a unit
    T *weight, *ones, *s, *diagonal, *c;
    T* own;       // B^m
    T* cross[2];  // B^{l,m}
    T* slopes[2]; // Q^{l,m}
    T* centred;   // v_ri = W_ri - sum_q y_q W_qi of softmax (curvature.hpp), row i * K + r
};

// Stores rows of W^T B, row i times d1_i, where the columns are the samples again and again.
template <class T> struct StoreSloped {
    T* c;
    const T* d1;
    index step, stride;
    MLPCORE_INLINE Vec<T> start(index) const { return Vec<T>{}; }
    MLPCORE_INLINE void finish(index i, index column, Vec<T> sum) const {
        store(c + i * step + column, sum * load(d1 + i * stride + column % stride));
    }
    MLPCORE_INLINE void finish_rows(index, index) const {}
};

// to = diag(d1) W^T from: rows of n_out numbers become rows of n_in, for `width` rows of samples.
template <class T>
inline void pull_back(const Layer& l, const T* w, const T* d1, index width, const T* from, T* to,
                      index stride) {
    for (index q = 0; q < width; ++q) {
        product(l.n_in, l.n_out, stride, Transposed<T>{w + l.weights, l.n_in}, from + q * stride,
                width * stride, StoreSloped<T>{to + q * stride, d1, width * stride, stride});
    }
}

// Row j of B^m for the units q from `first` to `end`.
template <class T>
inline void own_rows(const NetworkView& net, const T* w, HessianKind kind, index m,
                     const HessianTile<T>& state, index j, index first, index end, T* to) {
    const Layer& layer = net.layers[m];
    const index stride = state.stride;
    const Layer& above = net.layers[m + 1];
    const T* const b = state.cross[1] + j * above.n_out * stride;
    const T* const d1 = state.d1_of(layer);
    if (m + 2 == net.depth && net.output == Output::softmax) {
        for (index q = first; q < end; ++q) {
            const T* const v = state.centred + q * above.n_out * stride;
            for (index i = 0; i < stride; i += lanes<T>) {
                Vec<T> sum = {};
                for (index r = 0; r < above.n_out; ++r) {
                    sum += load(b + r * stride + i) * load(v + r * stride + i);
                }
                store(to + (q - first) * stride + i, sum * load(d1 + q * stride + i));
            }
        }
    } else {
        product(end - first, above.n_out, stride,
                Transposed<T>{w + above.weights + first, above.n_in}, b, stride,
                StoreScaled<T>{to, d1 + first * stride, stride});
    }
    if (kind == HessianKind::exact && first <= j && j < end) {
        const T* const bend = state.bend_of(layer) + j * stride;
        T* const on_diagonal = to + (j - first) * stride;
        for (index i = 0; i < stride; i += lanes<T>) {
            store(on_diagonal + i, load(on_diagonal + i) + load(bend + i));
        }
    }
}
} // namespace detail

// Forward and backward propagation of one tile, and B^L.
template <class T>
inline void hessian_begin(const NetworkView& net, const T* w, const Batch<T>& batch,
                          HessianKind kind, T* scratch) {
    detail::HessianTile<T> state(net, batch.n, scratch);
    Tile<T>& tile = state.tile;
    const index stride = tile.stride, k = net.n_outputs;
    const Layer& top = net.layers[net.depth - 1];
    T* const delta = state.delta_of(top);

    const bool exact = kind == HessianKind::exact;
    tile.load_inputs(batch);
    forward_pass(net, w, Slopes<T>{.d1 = state.d1, .d2 = exact ? state.bend : nullptr}, tile);
    tile.load_weights(batch, state.weight);
    for (index s = 0; s < stride; ++s) {
        state.ones[s] = 1;
    }
    if (kind == HessianKind::empirical_fisher) { // a root with each of the two gradients
        for (index s = 0; s < stride; s += lanes<T>) {
            store(state.weight + s, square_root<T>(load(state.weight + s)));
        }
    }
    if (kind == HessianKind::gauss_newton) {
        output_units(net.output, k, tile.outputs(), stride);
    } else {
        tile.load_targets(batch, delta);
        error_and_delta(net.output, k, tile.outputs(), delta, state.weight, stride);
    }
    const T* const y = tile.outputs();

    for (const Layer* l = &top; l > net.layers && kind != HessianKind::gauss_newton; --l) {
        const Layer& below = l[-1];
        T* const d = state.delta_of(below);
        T* const bend = state.bend_of(below);
        const T* const d1 = state.d1_of(below);
        product(l->n_in, l->n_out, stride, Transposed<T>{w + l->weights, l->n_in},
                state.delta_of(*l), stride, Store<T>{d, stride});
        for (index i = 0; i < below.n_out * stride; i += lanes<T>) {
            const Vec<T> back = load(d + i);
            if (exact) {
                store(bend + i, load(bend + i) * back);
            }
            store(d + i, load(d1 + i) * back);
        }
    }

    if (kind == HessianKind::empirical_fisher) {
        return;
    }
    output_curvature(net.output, k, y, state.weight, state.s, state.diagonal, stride);
    for (index s = 0; s < stride; s += lanes<T>) {
        for (index j = 0; detail::top_is_diagonal(net) && j < k; ++j) {
            store(state.own + j * stride + s, load(state.s + j * stride + s));
        }
        for (index j = 0; !detail::top_is_diagonal(net) && j < k; ++j) {
            for (index q = 0; q < k; ++q) {
                const Vec<T> value =
                    q == j ? load(state.diagonal + j * stride + s)
                           : -load(state.s + j * stride + s) * load(y + q * stride + s);
                store(state.own + (j * k + q) * stride + s, value);
            }
        }
    }
    if (net.depth > 1 && !detail::top_is_diagonal(net)) {
        product(top.n_in, k, stride, Transposed<T>{w + top.weights, top.n_in}, y, stride,
                Store<T>{state.c, stride});
        detail::centre(top.n_in, k, w + top.weights, state.c, state.centred, stride);
    }
}

// From B and Q of (l + 1, m) to those of (l, m), l < m; with l = m - 1 also from B^m to B^{m-1}.
template <class T>
inline void hessian_descend(const NetworkView& net, const T* w, HessianKind kind, index l, index m,
                            index n, T* scratch) {
    if (kind == HessianKind::empirical_fisher) {
        return; // its B is made where it is used
    }
    const detail::HessianTile<T> state(net, n, scratch);
    const index stride = state.stride;
    const Layer& layer = net.layers[l];
    const Layer& above = net.layers[l + 1];
    const Layer& upper = net.layers[m];
    const T* const d1 = state.d1_of(layer);
    T* const b = state.cross[(m - l) % 2];

    if (l + 1 == m && m + 1 == net.depth) {
        for (index j = 0; j < layer.n_out; ++j) {
            for (index q = 0; q < upper.n_out; ++q) {
                const Vec<T> wqj = broadcast(w[upper.weights + q * upper.n_in + j]);
                const T* const v = state.centred + (j * upper.n_out + q) * stride;
                for (index i = 0; i < stride; i += lanes<T>) {
                    const Vec<T> weight = detail::top_is_diagonal(net) ? wqj : load(v + i);
                    store(b + (j * upper.n_out + q) * stride + i,
                          weight * load(d1 + j * stride + i) * load(state.s + q * stride + i));
                }
            }
        }
    } else {
        const T* const from = l + 1 == m ? state.own : state.cross[(m - l - 1) % 2];
        detail::pull_back(above, w, d1, upper.n_out, from, b, stride);
    }

    if (l + 1 == m) {
        for (index j = 0; l > 0 && j < layer.n_out; ++j) {
            detail::own_rows(net, w, kind, l, state, j, 0, layer.n_out,
                             state.own + j * layer.n_out * stride);
        }
        return;
    }
    if (kind != HessianKind::exact) {
        return;
    }
    T* const q = state.slopes[(m - l) % 2];
    if (l + 2 < m) {
        detail::pull_back(above, w, d1, upper.n_in, state.slopes[(m - l - 1) % 2], q, stride);
        return;
    }
    const T* const d1_above = state.d1_of(above);
    for (index j = 0; j < layer.n_out; ++j) {
        for (index p = 0; p < above.n_out; ++p) {
            const Vec<T> wpj = broadcast(w[above.weights + p * above.n_in + j]);
            for (index i = 0; i < stride; i += lanes<T>) {
                store(q + (j * above.n_out + p) * stride + i,
                      wpj * load(d1 + j * stride + i) * load(d1_above + p * stride + i));
            }
        }
    }
}

namespace detail {
// The pairs of inputs (i, p) of a piece, in the order of the columns of its product.
struct InputPairs {
    InputPairs(const NetworkView& net, const HessianPiece& piece)
        : first(piece.first_input), end(piece.end_input), triangular(piece.l == piece.m),
          width(piece.slopes ? net.layers[piece.m].n_out : net.layers[piece.m].n_in + 1) {}

    // How many p come with i, and all columns.
    index count_of(index i) const { return triangular ? i + 1 : width; }
    index count() const {
        return triangular ? (end * (end + 1) - first * (first + 1)) / 2 : (end - first) * width;
    }

    index first, end;
    bool triangular;
    index width;
};

// Calls visit(j, q, row, count, at) for each run of pairs (j, q), (j, q + 1), ... in the rows of a
// piece; `at` counts the pairs before it. Returns how many there are.
template <class Visit>
MLPCORE_INLINE index for_each_run(const HessianPiece& piece, index width, const Visit& visit) {
    if (piece.pairs == Pairs::diagonal) {
        const index count = piece.end_row - piece.first_row;
        visit(piece.first_row, piece.first_row, piece.first_row, count, index{0});
        return count;
    }
    index at = 0;
    for (index row = piece.first_row; row < piece.end_row;) {
        const index j = row / width, next = (j + 1) * width;
        const index end = next < piece.end_row ? next : piece.end_row;
        if (piece.pairs == Pairs::upper && row < j * width + j) {
            row = j * width + j;
        }
        if (row < end) {
            visit(j, row - j * width, row, end - row, at);
            at += end - row;
        }
        row = end;
    }
    return at;
}

// Columns that are formed together: they stay in the nearest cache.
inline constexpr index panel_bytes = 24 * 1024, narrowest_panel = 8;
template <class T> inline index panel_width(index stride) {
    const index width = panel_bytes / (stride * static_cast<index>(sizeof(T)));
    return largest(width / narrowest_panel, 1) * narrowest_panel;
}
template <class T> inline index panel_numbers(index stride) {
    return largest(panel_bytes / static_cast<index>(sizeof(T)), narrowest_panel * stride);
}

// Rows q times one row p.
template <class T>
MLPCORE_INLINE void multiply_rows(index count, index stride, const T* p, const T* q, T* to) {
    for (index r = 0; r < count; ++r) {
        for (index s = 0; s < stride; s += lanes<T>) {
            store(to + r * stride + s, load(p + s) * load(q + r * stride + s));
        }
    }
}

// Weight (j, i) of a layer, where i = n_in is the bias: its place among the layer's weights.
inline index place(const Layer& l, index j, index i) {
    return i < l.n_in ? j * l.n_in + i : l.n_out * l.n_in + j;
}

template <class T> MLPCORE_INLINE void add_run(index n, const T* from, T* to) {
    for (index i = 0; i < n; ++i) {
        to[i] += from[i];
    }
}

// sum_n B_jq a_i a_p of one pair of units, row by row of i, into the block of layers l < m.
template <class T>
inline void add_pair(const Layer& lower, const Layer& upper, index j, index q, index first_input,
                     index end_input, const T* from, T* block, index step) {
    for (index i = first_input; i < end_input; ++i) {
        T* const to = block + place(lower, j, i) * step;
        add_run(upper.n_in, from, to + q * upper.n_in);
        to[place(upper, q, upper.n_in)] += from[upper.n_in];
        from += upper.n_in + 1;
    }
}

// The same for l = m and j <= q, from its lower triangle p <= i, into the upper triangle of the
// block.
template <class T>
inline void add_symmetric_pair(const Layer& l, index j, index q, index first_input, index end_input,
                               const T* from, T* block, index step) {
    const index bias = l.n_in;
    for (index i = first_input; i < end_input; ++i) {
        if (i < bias) {
            add_run(i + 1, from, block + place(l, j, i) * step + place(l, q, 0));
        } else {
            for (index p = 0; j < q && p < bias; ++p) {
                block[place(l, q, p) * step + place(l, j, bias)] += from[p];
            }
            block[place(l, j, bias) * step + place(l, q, bias)] += from[bias];
        }
        for (index p = 0; p < i; ++p) {
            block[place(l, j, p) * step + place(l, q, i)] += from[p];
        }
        from += i + 1;
    }
}

// sum_n Q_jp a_i delta_q, row by row of i.
template <class T>
inline void add_slopes(const Layer& lower, const Layer& upper, index j, index p, index first_input,
                       index end_input, const T* from, T* block, index step) {
    for (index i = first_input; i < end_input; ++i) {
        T* const to = block + place(lower, j, i) * step + p;
        for (index q = 0; q < upper.n_out; ++q) {
            to[q * upper.n_in] += from[q];
        }
        from += upper.n_out;
    }
}

// The sums of a piece, and then whole vectors again: those that lie across two lines of the cache
// take twice as long to load.
template <class T> inline index sums_numbers(index rows, index columns) {
    return padded(rows * columns, lanes<T>);
}
} // namespace detail

template <class T>
inline index hessian_piece_scratch(const NetworkView& net, const HessianPiece& piece, index n) {
    const index stride = padded(n, lanes<T>), rows = piece.end_row - piece.first_row;
    return detail::sums_numbers<T>(rows, detail::InputPairs(net, piece).count()) +
           detail::panel_numbers<T>(stride) + rows * stride;
}

// Adds a piece of the block of layers l and m over some tiles, tile t of n[t] samples; row and
// column 0 of the block are at `block`, its rows `step` apart.
template <class T>
inline void hessian_add(const NetworkView& net, const T* w, HessianKind kind,
                        const HessianPiece& piece, index tiles, const index* n, T* const* states,
                        T* block, index step, T* scratch) {
    const Layer& lower = net.layers[piece.l];
    const Layer& upper = net.layers[piece.m];
    const detail::InputPairs inputs(net, piece);
    const index columns = inputs.count();
    const index units = piece.slopes ? upper.n_in : upper.n_out; // the second of a pair (j, .)
    const index rows = detail::for_each_run(piece, units, [](index, index, index, index, index) {});
    T* const sums = scratch;

    for (index t = 0; t < tiles; ++t) {
        const detail::HessianTile<T> state(net, n[t], states[t]);
        const index stride = state.stride, panel = detail::panel_width<T>(stride);
        T* const formed = sums + detail::sums_numbers<T>(rows, columns);
        T* const packed = formed + panel * stride;

        // The rows, B or Q: where the tile has them, or side by side in `packed`.
        const T* pairs = packed;
        if (piece.slopes) {
            pairs = (piece.l + 1 == piece.m ? state.d1_of(lower)
                                            : state.slopes[(piece.m - piece.l) % 2]) +
                    piece.first_row * stride;
        } else if (kind != HessianKind::empirical_fisher && piece.pairs != Pairs::upper) {
            pairs = (piece.l == piece.m ? state.own : state.cross[(piece.m - piece.l) % 2]) +
                    piece.first_row * stride;
        } else {
            detail::for_each_run(
                piece, units, [&](index j, index q, index row, index count, index at) {
                    T* const to = packed + at * stride;
                    if (kind == HessianKind::empirical_fisher) {
                        detail::multiply_rows(count, stride, state.delta_of(lower) + j * stride,
                                              state.delta_of(upper) + q * stride, to);
                    } else if (piece.m == 0 && net.depth > 1) {
                        detail::own_rows(net, w, kind, 0, state, j, q, q + count, to);
                    } else {
                        const T* const from = state.own + row * stride;
                        for (index i = 0; i < count * stride; i += lanes<T>) {
                            store(to + i, load(from + i));
                        }
                    }
                });
        }

        // The columns: a_i a_p, or a_i delta_q.
        const T* const left = state.tile.activations_below(lower);
        const T* const right =
            piece.slopes ? state.delta_of(upper) : state.tile.activations_below(upper);
        const index right_bias = piece.slopes ? -1 : upper.n_in;
        index i = inputs.first, p = 0;
        for (index column = 0; column < columns; column += panel) {
            const index width = columns - column < panel ? columns - column : panel;
            for (index c = 0; c < width; ++c) {
                detail::multiply_rows(1, stride, i == lower.n_in ? state.ones : left + i * stride,
                                      p == right_bias ? state.ones : right + p * stride,
                                      formed + c * stride);
                if (++p == inputs.count_of(i)) {
                    p = 0;
                    ++i;
                }
            }
            narrow_outer(rows, width, OfOne{stride}, pairs, formed, stride,
                         Sum<T>{.numbers = sums + column, .begun = t > 0}, columns, index{1});
        }
    }

    detail::for_each_run(piece, units, [&](index j, index q, index, index count, index at) {
        for (index r = 0; r < count; ++r) {
            const T* const from = sums + (at + r) * columns;
            const index second = q + r, first = piece.pairs == Pairs::diagonal ? second : j;
            if (piece.slopes) {
                detail::add_slopes(lower, upper, first, second, inputs.first, inputs.end, from,
                                   block, step);
            } else if (inputs.triangular) {
                detail::add_symmetric_pair(lower, first, second, inputs.first, inputs.end, from,
                                           block, step);
            } else {
                detail::add_pair(lower, upper, first, second, inputs.first, inputs.end, from, block,
                                 step);
            }
        }
    });
}

} // namespace mlpcore::MLPCORE_ISA
