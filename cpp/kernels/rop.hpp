// Products of the Hessian with vectors, by the R-operator (Pearlmutter, 1994; PRML 5.96 to 5.111).
// R{.} = v^T d/dw is the derivative along v, whose layers are V^l and v_b^l. With
// back^l = W^{l+1}T delta^{l+1}, applied to the forward and the backward pass it gives
//
//   R{z^l} = V^l a^{l-1} + v_b^l + W^l R{a^{l-1}},   R{a^l} = h' * R{z^l},   R{a^0} = 0,
//   R{delta^L} = d2E_n/dz2 R{z^L},
//   R{delta^l} = h' * (W^{l+1}T R{delta^{l+1}} + V^{l+1}T delta^{l+1}) + h'' * back^l * R{z^l},
//   R{dE_n/dW^l} = R{delta^l} a^{l-1}T + delta^l R{a^{l-1}}T,   R{dE_n/db^l} = R{delta^l}.
//
// gauss_newton (PRML 5.84) is the same with delta = 0: what stands behind the outputs is linear.
//
// Several directions go side by side. Their results are stacked layer by layer: dE_n/dW^l of all
// directions one below the other, then dE_n/db^l of all; a row of a layer's block is a unit of one
// of the directions. So R{delta^l} a^{l-1}T is one product for all of them.
#pragma once

#include "backward.hpp"

namespace mlpcore::MLPCORE_ISA {

namespace detail {
// delta^l = h' * back^l, and h'' * back^l (perhaps in the place of h'').
template <class T> struct StoreBent {
    T *delta, *bent;
    const T *d1, *d2;
    index stride;
    MLPCORE_INLINE Vec<T> start(index) const { return Vec<T>{}; }
    MLPCORE_INLINE void finish(index i, index column, Vec<T> back) const {
        const index at = i * stride + column;
        store(delta + at, load(d1 + at) * back);
        store(bent + at, load(d2 + at) * back);
    }
    MLPCORE_INLINE void finish_rows(index, index) const {}
};

// Where R{z^l} of one direction goes: as R{a^l}, and as h'' * back^l * R{z^l}.
template <class T> struct Pushed {
    T *rz, *ra;
    const T *d1, *curved; // d1 null: R{z^l} itself, to rz; curved null: R{a^l} alone
    index stride;
    MLPCORE_INLINE void put(index i, index column, Vec<T> z) const {
        const index at = i * stride + column;
        if (d1 == nullptr) {
            store(rz + at, z);
            return;
        }
        store(ra + at, load(d1 + at) * z);
        if (curved != nullptr) {
            store(rz + at, load(curved + at) * z);
        }
    }
};

// R{z^l} = V^l a^{l-1} + v_b^l, all of it for the lowest layer.
template <class T> struct StartTangent {
    const T* bias;
    Pushed<T> to;
    bool complete;
    MLPCORE_INLINE Vec<T> start(index i) const { return broadcast(bias[i]); }
    MLPCORE_INLINE void finish(index i, index column, Vec<T> sum) const {
        if (complete) {
            to.put(i, column, sum);
        } else {
            store(to.rz + i * to.stride + column, sum);
        }
    }
    MLPCORE_INLINE void finish_rows(index, index) const {}
};

// R{z^l} += W^l R{a^{l-1}}.
template <class T> struct CompleteTangent {
    Pushed<T> to;
    MLPCORE_INLINE Vec<T> start(index) const { return Vec<T>{}; }
    MLPCORE_INLINE void finish(index i, index column, Vec<T> sum) const {
        to.put(i, column, load(to.rz + i * to.stride + column) + sum);
    }
    MLPCORE_INLINE void finish_rows(index, index) const {}
};

// R{delta^l} from W^{l+1}T R{delta^{l+1}}.
template <class T> struct StoreRDelta {
    T* rdelta;
    const T *d1, *v_back, *curved_rz; // the latter two null where delta counts for nothing
    index stride;
    MLPCORE_INLINE Vec<T> start(index) const { return Vec<T>{}; }
    MLPCORE_INLINE void finish(index i, index column, Vec<T> sum) const {
        const index at = i * stride + column;
        if (v_back == nullptr) {
            store(rdelta + at, load(d1 + at) * sum);
        } else {
            store(rdelta + at, load(d1 + at) * (sum + load(v_back + at)) + load(curved_rz + at));
        }
    }
    MLPCORE_INLINE void finish_rows(index, index) const {}
};
} // namespace detail

// Of the hidden units, for one direction or several, stacked; layer l begins at row
// m * (l.row - n_inputs).
template <class T> struct Tangents {
    T *rz, *ra;
};

constexpr index n_hidden(const NetworkView& net) {
    return net.n_units - net.n_inputs - net.n_outputs;
}

// From m directions, the rows of v, to R{z^L} (m n_outputs rows). `curved` has h'' * back^l in the
// rows of h'', or is null.
template <class T>
inline void tangent_pass(const NetworkView& net, const T* w, const T* v, index m,
                         const Slopes<T>& slopes, const T* curved, const Tile<T>& tile,
                         const Tangents<T>& tangents, T* rz_output) {
    const index stride = tile.stride;
    const T* ra_below = nullptr;
    for (const Layer* l = net.layers; l < net.layers + net.depth; ++l) {
        const bool last = l + 1 == net.layers + net.depth;
        const index at = m * (l->row - net.n_inputs) * stride;
        for (index i = 0; i < m; ++i) {
            const index shift = at + i * l->n_out * stride;
            const T* const vi = v + i * net.n_weights;
            const detail::Pushed<T> to{.rz = last ? rz_output + i * l->n_out * stride
                                                  : tangents.rz + shift,
                                       .ra = tangents.ra + shift,
                                       .d1 = last ? nullptr : slopes.d1_of(*l, stride),
                                       .curved = curved ? curved + l->row * stride : nullptr,
                                       .stride = stride};
            product(l->n_out, l->n_in, stride, Plain<T>{vi + l->weights, l->n_in},
                    tile.activations_below(*l), stride,
                    detail::StartTangent<T>{vi + l->biases, to, ra_below == nullptr});
            if (ra_below != nullptr) {
                product(l->n_out, l->n_in, stride, Plain<T>{w + l->weights, l->n_in},
                        ra_below + i * l->n_in * stride, stride, detail::CompleteTangent<T>{to});
            }
        }
        ra_below = tangents.ra + at;
    }
}

// Rows of a tile for m directions; the calls of Tile::take below, added up.
template <class T> constexpr index rop_rows(const NetworkView& net, index m) {
    return 4 * net.n_units + net.n_outputs + 1 + net.widest + outer_rows_turned<T>(net.widest) +
           2 * m * (n_hidden(net) + net.widest);
}

// Puts the tile's Hessian times each of m vectors, the rows of v, into `result`, stacked.
template <class T>
inline void hessian_vector_product_pass(const NetworkView& net, const T* w, const T* v, index m,
                                        const Batch<T>& batch, ProductKind kind, Sum<T> result,
                                        T* scratch) {
    Tile<T> tile(net, batch.n, scratch);
    const index stride = tile.stride, k = net.n_outputs;
    const bool exact = kind == ProductKind::exact;
    Slopes<T> slopes{.d1 = tile.take(net.n_units), .d2 = tile.take(net.n_units)};
    T* const d2 = slopes.d2;
    T* const delta = tile.take(net.n_units);
    T* const t = tile.take(k);
    T* const weight = tile.take(1);
    T* const v_back = tile.take(net.widest);
    T* const turned = tile.take(outer_rows_turned<T>(net.widest));
    const Tangents<T> tangents{.rz = tile.take(m * n_hidden(net)),
                               .ra = tile.take(m * n_hidden(net))};
    T* rdelta = tile.take(m * net.widest);
    T* other = tile.take(m * net.widest);
    const Layer* const first = net.layers;
    const Layer* const top = net.layers + net.depth - 1;
    if (!exact) {
        slopes.d2 = nullptr;
    }
    const auto delta_of = [&](const Layer& l) { return &l == top ? t : delta + l.row * stride; };

    tile.load_inputs(batch);
    forward_pass(net, w, slopes, tile);
    tile.load_weights(batch, weight);
    if (exact) {
        tile.load_targets(batch, t);
        error_and_delta(net.output, k, tile.outputs(), t, weight, stride);
        for (const Layer* l = top; l != first; --l) {
            const index at = l[-1].row * stride;
            product(l->n_in, l->n_out, stride, Transposed<T>{w + l->weights, l->n_in},
                    static_cast<const T*>(delta_of(*l)), stride,
                    detail::StoreBent<T>{delta + at, d2 + at, slopes.d1 + at, d2 + at, stride});
        }
    } else {
        output_units(net.output, k, tile.outputs(), stride);
    }

    tangent_pass(net, w, v, m, slopes, exact ? d2 : nullptr, tile, tangents, rdelta);
    for (index i = 0; i < m; ++i) {
        T* const rz = rdelta + i * k * stride;
        push_through_output(net.output, k, tile.outputs(), rz, stride);
        for (index s = 0; s < stride; s += lanes<T>) {
            const Vec<T> g = load(weight + s);
            const IntVec<T> absent = g == Vec<T>{};
            for (index j = 0; j < k; ++j) {
                T* const p = rz + j * stride + s;
                store(p, select<T>(absent, Vec<T>{}, g * load(p)));
            }
        }
    }

    for (const Layer* l = top;; --l) {
        const index n_out = l->n_out, n_in = l->n_in, size = n_out * n_in;
        const Sum<T> to = result.from(m * l->weights);
        outer(tile, m * n_out, n_in, rdelta, tile.activations_below(*l), to, turned);
        sum_rows(m * n_out, stride, rdelta, stride, result.from(m * l->biases));
        if (l == first) {
            return;
        }
        const index below = m * (l[-1].row - net.n_inputs) * stride;
        for (index i = 0; i < m; ++i) {
            const index shift = i * n_in * stride;
            if (exact) {
                outer(tile, n_out, n_in, delta_of(*l), tangents.ra + below + shift,
                      Sum<T>{to.numbers + i * size, true}, turned);
                product(n_in, n_out, stride,
                        Transposed<T>{v + i * net.n_weights + l->weights, n_in},
                        static_cast<const T*>(delta_of(*l)), stride, Store<T>{v_back, stride});
            }
            product(n_in, n_out, stride, Transposed<T>{w + l->weights, n_in},
                    static_cast<const T*>(rdelta + i * n_out * stride), stride,
                    detail::StoreRDelta<T>{.rdelta = other + shift,
                                           .d1 = slopes.d1_of(l[-1], stride),
                                           .v_back = exact ? v_back : nullptr,
                                           .curved_rz = tangents.rz + below + shift,
                                           .stride = stride});
        }
        T* const swap = rdelta;
        rdelta = other;
        other = swap;
    }
}

} // namespace mlpcore::MLPCORE_ISA
