// The input Jacobian J_ki = dy_k/dx_i (PRML 5.70 to 5.76), from whichever side is narrower:
//
//   backward, an output k at a time:  delta^L_j = dy_k/dz^L_j, backpropagation, J_k = W^1T delta^1;
//   forward, an input i at a time:    dz^1/dx_i = W^1_{.i},  dz^l/dx_i = W^l (h'(z^{l-1}) *
//   dz^{l-1}/dx_i).
#pragma once

#include "backward.hpp"

namespace mlpcore::MLPCORE_ISA {

constexpr bool jacobian_runs_backward(const NetworkView& net) {
    return net.n_outputs <= net.n_inputs;
}

// Rows of tangents that the forward mode keeps until they are written together.
constexpr index jacobian_rows(const NetworkView& net) {
    return jacobian_runs_backward(net) ? net.n_inputs : net.n_inputs * net.n_outputs;
}

// dy_k/dx_i, n_outputs x n_inputs numbers a sample.
template <class T>
inline void jacobian_pass(const NetworkView& net, const T* w, const Batch<T>& batch, T* jacobian,
                          T* scratch) {
    Tile<T> tile(net, batch.n, scratch);
    const Slopes<T> slopes{.d1 = tile.take(net.n_units)};
    T* const seed = tile.take(net.n_outputs);
    T* const delta = tile.take(net.widest);
    T* const other = tile.take(net.widest);
    T* const result = tile.take(jacobian_rows(net));
    const index stride = tile.stride, per_sample = net.n_outputs * net.n_inputs;
    const Layer& first = net.layers[0];

    tile.load_inputs(batch);
    forward_pass(net, w, slopes, tile);
    const T* const y = tile.outputs();
    output_units(net.output, net.n_outputs, tile.outputs(), stride);

    if (jacobian_runs_backward(net)) {
        for (index k = 0; k < net.n_outputs; ++k) {
            const SeedRange range =
                output_derivative(net.output, net.n_outputs, k, y, seed, stride);
            walk_down(net, w, slopes, stride, seed, range, InTurn<T>{delta, other, net.layers},
                      [&](const Layer& l, const T* d, SeedRange seeds) {
                          if (&l == &first) {
                              product(l.n_in, seeds.end - seeds.first, stride,
                                      Transposed<T>{w + l.weights + seeds.first * l.n_in, l.n_in},
                                      d, stride, Store<T>{result, stride});
                          }
                      });
            tile.write_rows(result, net.n_inputs, jacobian + k * net.n_inputs, per_sample);
        }
        return;
    }

    // Row k * n_inputs + i of `result` is dy_k/dx_i.
    for (index i = 0; i < net.n_inputs; ++i) {
        T* tangent = delta;
        T* next = other;
        for (index j = 0; j < first.n_out; ++j) {
            const Vec<T> wji = broadcast(w[first.weights + j * first.n_in + i]);
            for (index s = 0; s < stride; s += lanes<T>) {
                store(tangent + j * stride + s, wji);
            }
        }
        for (const Layer* l = net.layers + 1; l < net.layers + net.depth; ++l) {
            const T* const d1 = slopes.d1_of(l[-1], stride);
            for (index s = 0; s < l->n_in * stride; s += lanes<T>) {
                store(tangent + s, load(tangent + s) * load(d1 + s));
            }
            product(l->n_out, l->n_in, stride, Plain<T>{w + l->weights, l->n_in}, tangent, stride,
                    Store<T>{next, stride});
            T* const swap = tangent;
            tangent = next;
            next = swap;
        }
        push_through_output(net.output, net.n_outputs, y, tangent, stride);
        for (index k = 0; k < net.n_outputs; ++k) {
            T* const to = result + (k * net.n_inputs + i) * stride;
            for (index s = 0; s < stride; s += lanes<T>) {
                store(to + s, load(tangent + k * stride + s));
            }
        }
    }
    tile.write_rows(result, per_sample, jacobian, per_sample);
}

} // namespace mlpcore::MLPCORE_ISA
