// Error backpropagation (PRML 5.53 to 5.56):
//
//   delta^L = y - t,   delta^l = h'(z^l) * (W^{l+1}T delta^{l+1}),
//   dE_n/dW^l = delta^l a^{l-1}T,   dE_n/db^l = delta^l.
//
// The gradient sums these over the samples, the per-sample gradient writes them out, and the
// weight Jacobian is the same pass begun with dy_k/dz^L in place of y - t. The sum is made tile by
// tile, or block by block of the weights once all tiles have their deltas.
#pragma once

#include "forward.hpp"
#include "outer.hpp"
#include "output.hpp"

namespace mlpcore::MLPCORE_ISA {

// delta of the layer below, from the rows [first, end) of delta of layer l (the others are zero).
template <class T>
inline void backpropagate(const Layer& l, const T* w, const T* delta, SeedRange range,
                          const T* d1_below, T* delta_below, index stride) {
    product(l.n_in, range.end - range.first, stride,
            Transposed<T>{w + l.weights + range.first * l.n_in, l.n_in}, delta, stride,
            StoreScaled<T>{delta_below, d1_below, stride});
}

// The same of all rows, and the sums of those of the layer below over the samples, dE/db.
template <class T>
inline void backpropagate_and_sum(const Layer& l, const T* w, const T* delta, const T* d1_below,
                                  T* delta_below, index stride, Sum<T> sums) {
    if (l.n_out > 1) {
        backpropagate(l, w, delta, {0, l.n_out}, d1_below, delta_below, stride);
        sum_rows(l.n_in, stride, delta_below, stride, sums);
        return;
    }
    // So little is done beside the stores that the sums cost nothing.
    constexpr int together = 4;
    for (index i = 0; i < l.n_in; ++i) {
        const Vec<T> wi = broadcast(w[l.weights + i]);
        const T* const d1 = d1_below + i * stride;
        T* const to = delta_below + i * stride;
        Vec<T> total[together] = {};
        const auto next = [&](index column, Vec<T>& part) __attribute__((always_inline)) {
            const Vec<T> d = wi * load(delta + column) * load(d1 + column);
            store(to + column, d);
            part += d;
        };
        index column = 0;
        for (; column + together * lanes<T> <= stride; column += together * lanes<T>) {
#pragma GCC unroll 8
            for (int c = 0; c < together; ++c) {
                next(column + c * lanes<T>, total[c]);
            }
        }
        for (; column < stride; column += lanes<T>) {
            next(column, total[0]);
        }
        detail::put(sums, i, sum<T>((total[0] + total[1]) + (total[2] + total[3])));
    }
}

// A step of the walk below: to(l, delta^l, range, place of delta of the layer below).
template <class T> struct Backpropagate {
    const T* w;
    Slopes<T> slopes;
    index stride;
    void operator()(const Layer& l, const T* delta, SeedRange range, T* below) const {
        backpropagate(l, w, delta, range, slopes.d1_of((&l)[-1], stride), below, stride);
    }
};

// Walks from the output layer down, calling visit(l, delta^l, range), where rows outside of the
// range are zero and not stored. `place(l)` says where delta^l goes, `step` puts it there.
template <class T, class Place, class Step, class Visit>
inline void walk_down(const NetworkView& net, const T* seed, SeedRange range, const Place& place,
                      const Step& step, const Visit& visit) {
    const T* current = seed;
    for (const Layer* l = net.layers + net.depth - 1;; --l) {
        visit(*l, current, range);
        if (l == net.layers) {
            return;
        }
        const Layer& below = l[-1];
        T* const delta = place(below);
        step(*l, current, range, delta);
        range = {0, below.n_out};
        current = delta;
    }
}

// Two places in turn, of the widest layer each, where h' is needed once more.
template <class T> struct InTurn {
    T* even;
    T* odd;
    const Layer* first;
    T* operator()(const Layer& l) const { return (&l - first) % 2 == 0 ? even : odd; }
};

// delta^l replaces h'(z^l).
template <class T> struct OverSlopes {
    T* d1;
    index stride;
    T* operator()(const Layer& l) const { return d1 + l.row * stride; }
};

template <class T>
inline double error_pass(const NetworkView& net, const T* w, const Batch<T>& batch, T* scratch) {
    Tile<T> tile(net, batch.n, scratch);
    T* const t = tile.take(net.n_outputs);
    T* const weight = tile.take(1);
    tile.load_inputs(batch);
    forward_pass(net, w, Slopes<T>{}, tile);
    tile.load_targets(batch, t);
    tile.load_weights(batch, weight);
    return error_and_delta(net.output, net.n_outputs, tile.outputs(), t, weight, tile.stride);
}

// What a pass over the error takes of a tile. The deltas replace the slopes, and the targets stand
// where those of the output layer would.
template <class T> struct ErrorRows {
    ErrorRows(const NetworkView& net, Tile<T>& tile)
        : slopes{.d1 = tile.take(net.n_units)}, weight(tile.take(1)) {}
    T* delta_of(const Layer& l, index stride) const { return slopes.d1 + l.row * stride; }

    Slopes<T> slopes;
    T* weight;
};

// Forward and back over a tile: visit(l, delta^l) from the output layer down. Returns the error.
template <class T, class Step, class Visit>
inline double walk_error(const NetworkView& net, const T* w, const Batch<T>& batch, Tile<T>& tile,
                         const ErrorRows<T>& rows, const Step& step, const Visit& visit) {
    T* const t = rows.delta_of(net.layers[net.depth - 1], tile.stride);
    tile.load_inputs(batch);
    forward_pass(net, w, rows.slopes, tile);
    tile.load_targets(batch, t);
    tile.load_weights(batch, rows.weight);
    const double error =
        error_and_delta(net.output, net.n_outputs, tile.outputs(), t, rows.weight, tile.stride);
    walk_down(net, static_cast<const T*>(t), {0, net.n_outputs},
              OverSlopes<T>{rows.slopes.d1, tile.stride}, step,
              [&](const Layer& l, const T* d, SeedRange) { visit(l, d); });
    return error;
}

// Puts the gradient of the tile's error into `gradient`, returns that error.
template <class T>
inline double gradient_pass(const NetworkView& net, const T* w, const Batch<T>& batch,
                            Sum<T> gradient, T* scratch) {
    Tile<T> tile(net, batch.n, scratch);
    const ErrorRows<T> rows(net, tile);
    T* const turned = tile.take(outer_rows_turned<T>(net.widest));
    const index stride = tile.stride;
    const auto step = [&](const Layer& l, const T* d, SeedRange, T* to) {
        const Layer& below = (&l)[-1];
        backpropagate_and_sum(l, w, d, rows.slopes.d1_of(below, stride), to, stride,
                              gradient.from(below.biases));
    };
    return walk_error(net, w, batch, tile, rows, step, [&](const Layer& l, const T* d) {
        outer(tile, l.n_out, l.n_in, d, tile.activations_below(l), gradient.from(l.weights),
              turned);
        if (&l == net.layers + net.depth - 1) {
            sum_rows(l.n_out, stride, d, stride, gradient.from(l.biases));
        }
    });
}

template <class T>
inline double gradient_begin(const NetworkView& net, const T* w, const Batch<T>& batch, T* state) {
    Tile<T> tile(net, batch.n, state);
    const ErrorRows<T> rows(net, tile);
    return walk_error(net, w, batch, tile, rows, Backpropagate<T>{w, rows.slopes, tile.stride},
                      [](const Layer&, const T*) {});
}

template <class T>
inline void gradient_put(const NetworkView& net, const WeightBlock& block, index n, index tiles,
                         T* states, index step, Sum<T> gradient, T* scratch) {
    Tile<T> tile(net, n, states);
    const ErrorRows<T> rows(net, tile);
    const Layer& l = net.layers[block.layer];
    const index units = block.end_unit - block.first_unit;
    const T* const delta = rows.delta_of(l, tile.stride) + block.first_unit * tile.stride;
    outer(tile, OfSeveral{tile.stride, tiles, step}, units, block.end_input - block.first_input,
          delta, tile.activations_below(l) + block.first_input * tile.stride,
          gradient.from(l.weights + block.first_unit * l.n_in + block.first_input), l.n_in,
          scratch);
    for (index t = 0; block.first_input == 0 && t < tiles; ++t) {
        sum_rows(units, tile.stride, delta + t * step, tile.stride,
                 gradient.from(l.biases + block.first_unit).after(t));
    }
}

namespace detail {
// Writes delta_j a_i and delta_j of one layer, a row of w a sample.
template <class T>
inline void write_weight_derivatives(const Tile<T>& tile, const Layer& l, const T* delta,
                                     SeedRange range, T* to, index step) {
    const index stride = tile.stride;
    const T* const below = tile.activations_below(l);
    const auto delta_row = [&](index j, index s) {
        const bool zero = j < range.first || j >= range.end;
        return zero ? Vec<T>{} : load(delta + (j - range.first) * stride + s);
    };
    tile.write(l.n_out * l.n_in, to + l.weights, step,
               [&](index first, int m, index s, Vec<T>* vectors) {
                   index j = first / l.n_in, i = first - j * l.n_in;
                   Vec<T> d = delta_row(j, s);
#pragma GCC unroll 16
                   for (int r = 0; r < m; ++r) {
                       vectors[r] = d * load(below + i * stride + s);
                       if (++i == l.n_in && r + 1 < m) {
                           i = 0;
                           d = delta_row(++j, s);
                       }
                   }
               });
    tile.write(l.n_out, to + l.biases, step, [&](index first, int m, index s, Vec<T>* vectors) {
#pragma GCC unroll 16
        for (int r = 0; r < m; ++r) {
            vectors[r] = delta_row(first + r, s);
        }
    });
}
} // namespace detail

// dE_n/dw, a row of n_weights numbers a sample.
template <class T>
inline void per_sample_gradient_pass(const NetworkView& net, const T* w, const Batch<T>& batch,
                                     T* gradients, T* scratch) {
    Tile<T> tile(net, batch.n, scratch);
    const ErrorRows<T> rows(net, tile);
    const Backpropagate<T> step{w, rows.slopes, tile.stride};
    walk_error(net, w, batch, tile, rows, step, [&](const Layer& l, const T* d) {
        detail::write_weight_derivatives(tile, l, d, {0, l.n_out}, gradients, net.n_weights);
    });
}

// dy_k/dw, n_outputs rows of n_weights numbers a sample.
template <class T>
inline void weight_jacobian_pass(const NetworkView& net, const T* w, const Batch<T>& batch,
                                 T* jacobian, T* scratch) {
    Tile<T> tile(net, batch.n, scratch);
    const Slopes<T> slopes{.d1 = tile.take(net.n_units)};
    T* const seed = tile.take(net.n_outputs);
    T* const even = tile.take(net.widest);
    T* const odd = tile.take(net.widest);

    tile.load_inputs(batch);
    forward_pass(net, w, slopes, tile);
    output_units(net.output, net.n_outputs, tile.outputs(), tile.stride);
    for (index k = 0; k < net.n_outputs; ++k) {
        const SeedRange range =
            output_derivative(net.output, net.n_outputs, k, tile.outputs(), seed, tile.stride);
        walk_down(net, seed, range, InTurn<T>{even, odd, net.layers},
                  Backpropagate<T>{w, slopes, tile.stride},
                  [&](const Layer& l, const T* d, SeedRange seeds) {
                      detail::write_weight_derivatives(tile, l, d, seeds,
                                                       jacobian + k * net.n_weights,
                                                       net.n_outputs * net.n_weights);
                  });
    }
}

} // namespace mlpcore::MLPCORE_ISA
