// Products of the Jacobians with vectors, without the Jacobians: forward with a tangent,
//
//   in x:  dz^1 = W^1 dx,   dz^l = W^l (h' * dz^{l-1}),
//   in w:  R{z^L} (rop.hpp),
//   dy = dy/dz dz^L,
//
// and backward with an adjoint: delta^L = (dy/dz)^T dY (dy/dz is symmetric), then backpropagation,
// which ends with W^1T delta^1 in x, and with the sum of delta^l a^{l-1}T in w.
#pragma once

#include "rop.hpp"

namespace mlpcore::MLPCORE_ISA {

// (dy/dx) dx, n_outputs numbers a sample; `dx` is the batch with dx in the place of its inputs.
template <class T>
inline void jvp_pass(const NetworkView& net, const T* w, const Batch<T>& batch, const Batch<T>& dx,
                     T* product_rows, T* scratch) {
    Tile<T> tile(net, batch.n, scratch);
    const index stride = tile.stride;
    const Slopes<T> slopes{.d1 = tile.take(net.n_units)};
    T* tangent = tile.take(net.widest);
    T* next = tile.take(net.widest);
    tile.load_inputs(dx);
    for (index i = 0; i < net.n_inputs * stride; i += lanes<T>) {
        store(tangent + i, load(tile.inputs() + i));
    }
    tile.load_inputs(batch);
    forward_pass(net, w, slopes, tile);
    output_units(net.output, net.n_outputs, tile.outputs(), stride);
    for (const Layer* l = net.layers; l < net.layers + net.depth; ++l) {
        const Plain<T> matrix{w + l->weights, l->n_in};
        const T* const from = tangent;
        if (l + 1 == net.layers + net.depth) {
            product(l->n_out, l->n_in, stride, matrix, from, stride, Store<T>{next, stride});
        } else {
            product(l->n_out, l->n_in, stride, matrix, from, stride,
                    StoreScaled<T>{next, slopes.d1_of(*l, stride), stride});
        }
        T* const swap = tangent;
        tangent = next;
        next = swap;
    }
    push_through_output(net.output, net.n_outputs, tile.outputs(), tangent, stride);
    tile.write_rows(tangent, net.n_outputs, product_rows, net.n_outputs);
}

// (dy/dw) v, n_outputs numbers a sample.
template <class T>
inline void weight_jvp_pass(const NetworkView& net, const T* w, const T* v, const Batch<T>& batch,
                            T* product_rows, T* scratch) {
    Tile<T> tile(net, batch.n, scratch);
    const Slopes<T> slopes{.d1 = tile.take(net.n_units)};
    const Tangents<T> tangents{.rz = tile.take(n_hidden(net)), .ra = tile.take(n_hidden(net))};
    T* const dy = tile.take(net.n_outputs);
    const T* const no_curvature = nullptr;
    tile.load_inputs(batch);
    forward_pass(net, w, slopes, tile);
    output_units(net.output, net.n_outputs, tile.outputs(), tile.stride);
    tangent_pass(net, w, v, 1, slopes, no_curvature, tile, tangents, dy);
    push_through_output(net.output, net.n_outputs, tile.outputs(), dy, tile.stride);
    tile.write_rows(dy, net.n_outputs, product_rows, net.n_outputs);
}

namespace detail {
// Calls visit(l, delta^l) from the output layer down, where delta^L = (dy/dz)^T dY; the batch has
// dY in the place of its targets. Takes n_units + n_outputs rows.
template <class T, class Visit>
inline void walk_adjoint(const NetworkView& net, const T* w, const Batch<T>& batch, Tile<T>& tile,
                         const Visit& visit) {
    const Slopes<T> slopes{.d1 = tile.take(net.n_units)};
    T* const seed = tile.take(net.n_outputs);
    tile.load_inputs(batch);
    forward_pass(net, w, slopes, tile);
    output_units(net.output, net.n_outputs, tile.outputs(), tile.stride);
    tile.load_targets(batch, seed);
    push_through_output(net.output, net.n_outputs, tile.outputs(), seed, tile.stride);
    walk_down(net, static_cast<const T*>(seed), {0, net.n_outputs},
              OverSlopes<T>{slopes.d1, tile.stride}, Backpropagate<T>{w, slopes, tile.stride},
              [&](const Layer& l, const T* d, SeedRange) { visit(l, d); });
}
} // namespace detail

// (dy/dx)^T dY, n_inputs numbers a sample.
template <class T>
inline void vjp_pass(const NetworkView& net, const T* w, const Batch<T>& batch, T* product_rows,
                     T* scratch) {
    Tile<T> tile(net, batch.n, scratch);
    T* const result = tile.take(net.n_inputs);
    detail::walk_adjoint(net, w, batch, tile, [&](const Layer& l, const T* delta) {
        if (&l == net.layers) {
            product(l.n_in, l.n_out, tile.stride, Transposed<T>{w + l.weights, l.n_in}, delta,
                    tile.stride, Store<T>{result, tile.stride});
        }
    });
    tile.write_rows(result, net.n_inputs, product_rows, net.n_inputs);
}

// Puts sum_n (dy_n/dw)^T dY_n into `sum`.
template <class T>
inline void weight_vjp_pass(const NetworkView& net, const T* w, const Batch<T>& batch, Sum<T> sum,
                            T* scratch) {
    Tile<T> tile(net, batch.n, scratch);
    T* const weight = tile.take(1);
    T* const dz = tile.take(net.widest);
    T* const turned = tile.take(outer_rows_turned<T>(net.widest));
    tile.load_weights(batch, weight); // 0 for the padding, which must not be summed
    detail::walk_adjoint(net, w, batch, tile, [&](const Layer& l, const T* delta) {
        for (index j = 0; j < l.n_out; ++j) {
            for (index s = 0; s < tile.stride; s += lanes<T>) {
                store(dz + j * tile.stride + s,
                      load(weight + s) * load(delta + j * tile.stride + s));
            }
        }
        outer(tile, l.n_out, l.n_in, static_cast<const T*>(dz), tile.activations_below(l),
              sum.from(l.weights), turned);
        sum_rows(l.n_out, tile.stride, static_cast<const T*>(dz), tile.stride, sum.from(l.biases));
    });
}

} // namespace mlpcore::MLPCORE_ISA
