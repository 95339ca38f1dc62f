// The input Jacobian J_ki = dy_k/dx_i (PRML 5.70 to 5.76), from whichever side is narrower:
//
//   backward, all outputs k side by side:
//       delta^L_k = dy_k/dz^L,  then backpropagation,  J_k = W^1T delta^1_k
//   forward, an input i at a time:
//       dz^1/dx_i = W^1_{.i},  dz^l/dx_i = W^l (h'(z^{l-1}) * dz^{l-1}/dx_i)
//
// Softmax sees differences of logits alone. So one logit m stays out of what goes backward:
//
//       g_k = d(z_k - z_m)/dx,  g_m = 0,   dy_k/dx = y_k (g_k - sum_j y_j g_j)
#pragma once

#include "backward.hpp"

namespace mlpcore::MLPCORE_ISA {

constexpr bool jacobian_runs_backward(const NetworkView& net) {
    return net.n_outputs <= net.n_inputs;
}

namespace detail {
// Inputs for which the last product of the backward mode is held at once.
inline constexpr index jacobian_block = 48;
// Inputs along which the lanes of that product run: whole vectors, where they are many.
template <class T> constexpr index inputs_along(const NetworkView& net) {
    const bool many = net.depth > 1 && net.n_inputs >= 2 * lanes<T>;
    return many ? net.n_inputs / lanes<T> * lanes<T> : 0;
}

// With one hidden layer, unless the outputs have slopes of their own, they share h', and each has
// a matrix:
//
//       J_k = (diag(w_k) W^1)^T h'(z^1)
//
// These are made anew for each tile; that pays where there are not many inputs to a sample, and the
// matrices stay in the second-level cache.
template <class T> constexpr bool shares_slopes(const NetworkView& net, index stride) {
    constexpr index inputs_a_sample = 4, most_bytes = 256 * 1024;
    const index numbers = net.n_outputs * net.layers[0].n_out * net.n_inputs;
    return net.depth == 2 && net.output != Output::sigmoid &&
           numbers * static_cast<index>(sizeof(T)) <= most_bytes &&
           (net.n_outputs == 1 || net.n_inputs <= inputs_a_sample * stride);
}

// Inputs whose columns of the matrices are copied, side by side and aligned: they stay in the
// second-level cache. An odd number of vectors, so that rows don't fall upon the same sets of the
// nearest.
template <class T> inline constexpr index jacobian_panel = 16 * lanes<T>;
template <class T> constexpr index panel_stride(index n_inputs) {
    const index width = n_inputs < jacobian_panel<T> ? n_inputs : jacobian_panel<T>;
    return (padded(width, lanes<T>) / lanes<T> | 1) * lanes<T>;
}

constexpr index widest_hidden(const NetworkView& net) {
    index widest = 0;
    for (index l = 0; l + 1 < net.depth; ++l) {
        widest = net.layers[l].n_out > widest ? net.layers[l].n_out : widest;
    }
    return widest;
}

// What goes backward: a part for each output, of softmax for each but one.
struct Parts {
    index count;
    index left_out; // the output without a part; none if it is their number
    // The output of a part; of part `count`, which nobody computes, it is the one left out.
    index output(index part) const {
        return part == count ? left_out : part + (part >= left_out ? 1 : 0);
    }
};
// Left out is the logit with the smallest weights: their rounding is in all differences.
template <class T> inline Parts parts_of(const NetworkView& net, const T* w) {
    if (net.output != Output::softmax) {
        return {net.n_outputs, net.n_outputs};
    }
    const Layer& l = net.layers[net.depth - 1];
    index smallest = 0;
    T least = 0;
    for (index k = 0; k < net.n_outputs; ++k) {
        T squares = 0;
        for (index i = 0; i < l.n_in; ++i) {
            const T wki = w[l.weights + k * l.n_in + i];
            squares += wki * wki;
        }
        if (k == 0 || squares < least) {
            smallest = k;
            least = squares;
        }
    }
    return {net.n_outputs - 1, smallest};
}

// Of a part, dz_k/da_i below the output layer; of softmax d(z_k - z_m)/da_i.
template <class T> struct PartWeights {
    PartWeights(const NetworkView& net, const T* w, const Parts& parts, index part) {
        const Layer& l = net.layers[net.depth - 1];
        w_k = w + l.weights + parts.output(part) * l.n_in;
        w_m = parts.left_out < net.n_outputs ? w + l.weights + parts.left_out * l.n_in : nullptr;
    }
    T operator()(index i) const { return w_m ? w_k[i] - w_m[i] : w_k[i]; }

    const T *w_k, *w_m;
};

// A row a unit, with parts of `stride` columns. After the product of the backpropagation each part
// is multiplied by h'.
template <class T> struct StoreParts {
    T* c;
    const T* d1; // null: not at all
    index parts, stride;
    MLPCORE_INLINE Vec<T> start(index) const { return Vec<T>{}; }
    MLPCORE_INLINE void finish(index i, index column, Vec<T> sum) const {
        store(c + i * parts * stride + column, sum);
    }
    void finish_rows(index first, index count) const {
        for (index i = first; d1 != nullptr && i < first + count; ++i) {
            for (index p = 0; p < parts; ++p) {
                T* const part = c + (i * parts + p) * stride;
                for (index s = 0; s < stride; s += lanes<T>) {
                    store(part + s, load(part + s) * load(d1 + i * stride + s));
                }
            }
        }
    }
};

// Row i - first, with `pitch` parts, of dy_k/da_i below the output layer, of softmax d(z_k -
// z_m)/da_i; times d1_i if that is not null.
template <class T>
inline void output_parts(const NetworkView& net, const T* w, const Parts& parts, const T* y,
                         const T* d1, index first, index end, T* to, index pitch, index stride) {
    const auto store_part = [&](index p, const auto& dy_dz) {
        const PartWeights<T> weights(net, w, parts, p);
        T* part = to + p * stride;
        for (index i = first; i < end; ++i, part += pitch * stride) {
            const Vec<T> slope = broadcast(weights(i));
            for (index s = 0; s < stride; s += lanes<T>) {
                const Vec<T> value = slope * dy_dz(s);
                store(part + s, d1 ? value * load(d1 + i * stride + s) : value);
            }
        }
    };
    for (index p = 0; p < parts.count; ++p) {
        if (net.output == Output::sigmoid) {
            store_part(
                p, [yk = y + p * stride](index s) { return load(yk + s) * (T(1) - load(yk + s)); });
        } else {
            store_part(p, [](index) { return T(1); });
        }
    }
}

// The columns of W^1 from `first` on, `width` of them, times the weights of a part if it is given.
template <class T>
inline void copy_columns(const Layer& l, const T* w, const PartWeights<T>* part, index first,
                         index width, T* panel, index step) {
    for (index j = 0; j < l.n_out; ++j) {
        const T* const from = w + l.weights + j * l.n_in + first;
        const T scale = part ? (*part)(j) : T(1);
        index i = 0;
        for (; i + lanes<T> <= width; i += lanes<T>) {
            store(panel + j * step + i, scale * load(from + i));
        }
        for (; i < width; ++i) {
            panel[j * step + i] = scale * from[i];
        }
    }
}

// Some rows of a product as a block of it reads them: those of a step side by side.
template <class T> struct SideBySide {
    static constexpr bool down_columns = false;
    const T* a;
    MLPCORE_INLINE T element(index i, index k) const { return a[k * product_rows + i]; }
    MLPCORE_INLINE SideBySide rows_from(index i) const { return {a + i}; }
};

// Copies a part, a row a unit and rows `step` apart: block after block of product_rows samples.
template <class T>
inline void copy_part(index units, index n, const T* part, index step, T* copy) {
    for (index s = 0; s < n; s += product_rows) {
        const index count = n - s < product_rows ? n - s : product_rows;
        for (index j = 0; j < units; ++j, copy += product_rows) {
            const T* const from = part + j * step + s;
            if (count == product_rows) {
#pragma GCC unroll 6
                for (index r = 0; r < product_rows; ++r) {
                    copy[r] = from[r];
                }
            } else {
                for (index r = 0; r < count; ++r) {
                    copy[r] = from[r];
                }
            }
        }
    }
}

// The last product of the backward mode, J_k = W_k^T delta_k of each sample: either all W_k are
// W^1, or all delta_k are h'. With it the layout of the scratch.
template <class T> struct LastProduct {
    LastProduct(const NetworkView& net, index stride)
        : l(net.layers[0]), shares(shares_slopes<T>(net, stride)), along(inputs_along<T>(net)),
          step(panel_stride<T>(net.n_inputs)),
          block(net.n_inputs - along < jacobian_block ? net.n_inputs - along : jacobian_block) {
        const index panels = shares ? net.n_outputs : 1, parts = shares ? 1 : net.n_outputs;
        // To copy the deltas, once for all panels, pays where several blocks of columns read them.
        constexpr index worth_copying = 4 * product_vectors(product_rows) * lanes<T>;
        copies = shares ? l.n_in * panels >= worth_copying && along > 0 : along > jacobian_panel<T>;

        const auto rows = [stride](index numbers) { return (numbers + stride - 1) / stride; };
        const index samples = copies ? padded(stride, product_rows) : stride;
        const index deltas = rows(parts * widest_hidden(net) * samples);
        delta_rows = shares ? 0 : deltas;
        copy_rows = shares && !copies ? 0 : deltas;
        const index beside = along > 0 ? step : 0;
        panel_rows = rows(panels * l.n_out * (beside > block || !shares ? beside : block));
        block_rows = net.n_outputs * block;
    }

    const Layer& l;
    bool shares;
    index along; // inputs along which the lanes run
    index step;  // how far the rows of a panel are apart
    index block; // inputs at once where the lanes run along the samples
    bool copies;
    // Rows of a tile: for the deltas of a layer, for those of the next or a copy, for all panels.
    index delta_rows, copy_rows, panel_rows, block_rows;
};

// Where the lanes run along the inputs, and the product stores the result itself. `delta` has a row
// a unit with its parts; `copy` takes as many.
template <class T>
inline void along_inputs(const NetworkView& net, const T* w, const Tile<T>& tile,
                         const LastProduct<T>& last, const Parts& parts, const T* delta, T* copy,
                         T* panel, T* jacobian) {
    const Layer& l = last.l;
    const index row = net.n_outputs * l.n_in;
    const index delta_parts = last.shares ? 1 : parts.count;
    const index copy_size = l.n_out * padded(tile.n, product_rows);
    const index panel_size = l.n_out * last.step;
    // Samples whose rows are finished while they are in the nearest cache.
    const bool softmax = net.output == Output::softmax;
    const index together = last.copies || softmax ? product_rows : tile.n;
    for (index p = 0; last.copies && p < delta_parts; ++p) {
        copy_part(l.n_out, tile.n, delta + p * tile.stride, delta_parts * tile.stride,
                  copy + p * copy_size);
    }
    for (index first = 0; first < last.along; first += jacobian_panel<T>) {
        const index rest = last.along - first;
        const index width = rest < jacobian_panel<T> ? rest : jacobian_panel<T>;
        for (index p = 0; p < (last.shares ? parts.count : 1); ++p) {
            const PartWeights<T> part(net, w, parts, p);
            copy_columns(l, w, last.shares ? &part : nullptr, first, width, panel + p * panel_size,
                         last.step);
        }
        for (index s = 0; s < tile.n; s += together) {
            const index samples = tile.n - s < together ? tile.n - s : together;
            T* const to = jacobian + s * row + first;
            for (index p = 0; p < parts.count; ++p) {
                const Store<T> rows{to + parts.output(p) * l.n_in, row};
                const T* const right = panel + (last.shares ? p * panel_size : 0);
                const index left = last.shares ? 0 : p;
                if (last.copies) {
                    product(samples, l.n_out, width,
                            SideBySide<T>{copy + left * copy_size + s * l.n_out}, right, last.step,
                            rows);
                } else {
                    product(
                        samples, l.n_out, width,
                        Transposed<T>{delta + left * tile.stride + s, delta_parts * tile.stride},
                        right, last.step, rows);
                }
            }
            for (index r = 0; softmax && r < samples; ++r) {
                T* const of_sample = to + r * row;
                T* const left_out = of_sample + parts.left_out * l.n_in;
                for (index i = 0; i < width; i += lanes<T>) {
                    store(left_out + i, Vec<T>{});
                }
                push_through_softmax<T>(
                    width, net.n_outputs, [&](index k) { return of_sample + k * l.n_in; },
                    [y = tile.outputs() + s + r, &tile](index k, index) {
                        return broadcast(y[k * tile.stride]);
                    });
            }
        }
    }
}

// The inputs from `first` on, where the lanes run along the samples; `block` takes a row an input
// with a part for each output.
template <class T>
inline void along_samples(const NetworkView& net, const T* w, const Tile<T>& tile,
                          const LastProduct<T>& last, const Parts& parts, const T* delta, T* panel,
                          T* block, index first, T* jacobian) {
    const Layer& l = last.l;
    const index stride = tile.stride, outputs = net.n_outputs;
    const index count = net.n_inputs - first < last.block ? net.n_inputs - first : last.block;
    const T* const y = tile.outputs();
    if (net.depth == 1) {
        const T* const no_slopes = nullptr;
        output_parts(net, w, parts, y, no_slopes, first, first + count, block, outputs, stride);
    } else if (!last.shares) {
        product(count, l.n_out, parts.count * stride, Transposed<T>{w + l.weights + first, l.n_in},
                delta, parts.count * stride, StoreParts<T>{block, nullptr, outputs, stride});
    }
    for (index p = 0; last.shares && p < parts.count; ++p) {
        const PartWeights<T> part(net, w, parts, p);
        copy_columns(l, w, &part, first, count, panel, count);
        product(count, l.n_out, stride, Transposed<T>{panel, count}, delta, stride,
                Store<T>{block + p * stride, outputs * stride});
    }
    for (index r = 0; net.output == Output::softmax && r < count; ++r) {
        T* const of_input = block + r * outputs * stride;
        for (index s = 0; s < stride; s += lanes<T>) {
            store(of_input + parts.count * stride + s, Vec<T>{});
        }
        push_through_softmax<T>(
            stride, outputs, [&](index p) { return of_input + p * stride; },
            [&](index p, index s) { return load(y + parts.output(p) * stride + s); });
    }
    for (index p = 0; p < outputs; ++p) {
        tile.write_rows(block + p * stride, outputs * stride, count,
                        jacobian + parts.output(p) * net.n_inputs + first, outputs * net.n_inputs);
    }
}
} // namespace detail

// Rows of a tile that the mode in use takes beside activations and h'.
template <class T> constexpr index jacobian_rows(const NetworkView& net, index stride) {
    if (!jacobian_runs_backward(net)) {
        return 2 * net.widest + net.n_inputs * net.n_outputs;
    }
    const detail::LastProduct<T> last(net, stride);
    return last.delta_rows + last.copy_rows + last.panel_rows + last.block_rows;
}

template <class T>
inline void jacobian_backward(const NetworkView& net, const T* w, Tile<T>& tile,
                              const Slopes<T>& slopes, T* jacobian) {
    const index stride = tile.stride;
    const detail::LastProduct<T> last(net, stride);
    const detail::Parts parts = detail::parts_of(net, w);
    const index columns = parts.count * stride;
    T* delta = tile.take(last.delta_rows);
    T* below = tile.take(last.copy_rows);
    T* const panel = tile.take(last.panel_rows);
    T* const block = tile.take(last.block_rows);
    if (net.depth > 1 && !last.shares) {
        const Layer* l = net.layers + net.depth - 1;
        detail::output_parts(net, w, parts, tile.outputs(), slopes.d1_of(l[-1], stride), 0, l->n_in,
                             delta, parts.count, stride);
        for (--l; l > net.layers; --l) {
            product(l->n_in, l->n_out, columns, Transposed<T>{w + l->weights, l->n_in}, delta,
                    columns,
                    detail::StoreParts<T>{below, slopes.d1_of(l[-1], stride), parts.count, stride});
            T* const swap = delta;
            delta = below;
            below = swap;
        }
    }
    const T* const lowest = last.shares ? slopes.d1_of(net.layers[0], stride) : delta;
    detail::along_inputs(net, w, tile, last, parts, lowest, below, panel, jacobian);
    for (index first = last.along; first < net.n_inputs; first += last.block) {
        detail::along_samples(net, w, tile, last, parts, lowest, panel, block, first, jacobian);
    }
}

template <class T>
inline void jacobian_forward(const NetworkView& net, const T* w, Tile<T>& tile,
                             const Slopes<T>& slopes, T* jacobian) {
    const index stride = tile.stride, per_sample = net.n_outputs * net.n_inputs;
    T* const delta = tile.take(net.widest);
    T* const other = tile.take(net.widest);
    T* const result = tile.take(per_sample);
    const T* const y = tile.outputs();
    const Layer& first = net.layers[0];
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

// dy_k/dx_i, n_outputs x n_inputs numbers a sample.
template <class T>
inline void jacobian_pass(const NetworkView& net, const T* w, const Batch<T>& batch, T* jacobian,
                          T* scratch) {
    Tile<T> tile(net, batch.n, scratch);
    const Slopes<T> slopes{.d1 = tile.take(net.n_units)};
    tile.load_inputs(batch);
    // A linear output layer has the same slope wherever it is.
    const bool outputs_wanted = net.output != Output::linear;
    forward_pass(net, w, slopes, tile, net.depth - (outputs_wanted ? 0 : 1));
    if (outputs_wanted) {
        output_units(net.output, net.n_outputs, tile.outputs(), tile.stride);
    }
    if (jacobian_runs_backward(net)) {
        jacobian_backward(net, w, tile, slopes, jacobian);
    } else {
        jacobian_forward(net, w, tile, slopes, jacobian);
    }
}

} // namespace mlpcore::MLPCORE_ISA
