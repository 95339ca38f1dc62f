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
// Along so many inputs the lanes of that product can run.
template <class T> constexpr bool runs_along_inputs(const NetworkView& net) {
    return net.depth > 1 && net.n_inputs >= 2 * lanes<T>;
}
// Inputs whose columns of W are copied, side by side and aligned: they stay in the second-level
// cache. An odd number of vectors, so that rows don't fall upon the same sets of the nearest.
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
    const Layer& l = net.layers[net.depth - 1];
    const auto store_part = [&](index p, const auto& slope_at, const auto& dy_dz) {
        T* part = to + p * stride;
        for (index i = first; i < end; ++i, part += pitch * stride) {
            const Vec<T> slope = broadcast(slope_at(i));
            for (index s = 0; s < stride; s += lanes<T>) {
                const Vec<T> value = slope * dy_dz(s);
                store(part + s, d1 ? value * load(d1 + i * stride + s) : value);
            }
        }
    };
    const auto one = [](index) { return T(1); };
    for (index p = 0; p < parts.count; ++p) {
        const index k = parts.output(p);
        const T* const wk = w + l.weights + k * l.n_in;
        const auto as_it_is = [wk](index i) { return wk[i]; };
        switch (net.output) {
        case Output::linear:
            store_part(p, as_it_is, one);
            break;
        case Output::sigmoid:
            store_part(p, as_it_is, [yk = y + k * stride](index s) {
                return load(yk + s) * (T(1) - load(yk + s));
            });
            break;
        case Output::softmax:
            const T* const wm = w + l.weights + parts.left_out * l.n_in;
            store_part(p, [wk, wm](index i) { return wk[i] - wm[i]; }, one);
            break;
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
// Copying delta so, once for all panels, pays where there are several.
template <class T> constexpr bool copies_delta(const NetworkView& net) {
    return runs_along_inputs<T>(net) && net.n_inputs / lanes<T> * lanes<T> > jacobian_panel<T>;
}
// Rows of a tile for the deltas of a layer with all their parts, or for that copy.
template <class T> constexpr index delta_rows(const NetworkView& net, index stride) {
    const index samples = copies_delta<T>(net) ? padded(stride, product_rows) : stride;
    return net.n_outputs * ((widest_hidden(net) * samples + stride - 1) / stride);
}

// Copies one part of `delta`, a row a unit: block after block of product_rows samples.
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

// The last product, J_k = delta_k^T W of each sample, where the lanes run along many inputs and it
// stores the result itself: the first inputs, whole vectors of them, whose number is returned.
// `delta` has a row a unit of layer l, the first, with its parts; `copy` takes as many.
template <class T>
inline index along_inputs(const NetworkView& net, const T* w, Tile<T>& tile, const Layer& l,
                          const Parts& parts, const T* delta, T* copy, T* jacobian) {
    const index step = panel_stride<T>(l.n_in), row = net.n_outputs * l.n_in;
    const index whole = l.n_in / lanes<T> * lanes<T>;
    const index part_size = l.n_out * padded(tile.n, product_rows);
    const bool copies = copies_delta<T>(net), softmax = net.output == Output::softmax;
    // Samples whose rows are finished while they are in the nearest cache.
    const index together = copies || softmax ? product_rows : tile.n;
    T* const panel = tile.take((l.n_out * step + tile.stride - 1) / tile.stride);
    for (index p = 0; copies && p < parts.count; ++p) {
        copy_part(l.n_out, tile.n, delta + p * tile.stride, parts.count * tile.stride,
                  copy + p * part_size);
    }
    for (index first = 0; first < whole; first += jacobian_panel<T>) {
        const index rest = whole - first;
        const index width = rest < jacobian_panel<T> ? rest : jacobian_panel<T>;
        for (index j = 0; j < l.n_out; ++j) {
            const T* const from = w + l.weights + j * l.n_in + first;
            for (index i = 0; i < width; i += lanes<T>) {
                store(panel + j * step + i, load(from + i));
            }
        }
        for (index s = 0; s < tile.n; s += together) {
            const index samples = tile.n - s < together ? tile.n - s : together;
            T* const to = jacobian + s * row + first;
            for (index p = 0; p < parts.count; ++p) {
                const Store<T> rows{to + parts.output(p) * l.n_in, row};
                if (copies) {
                    product(samples, l.n_out, width,
                            SideBySide<T>{copy + p * part_size + s * l.n_out}, panel, step, rows);
                } else {
                    product(samples, l.n_out, width,
                            Transposed<T>{delta + p * tile.stride + s, parts.count * tile.stride},
                            panel, step, rows);
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
    return whole;
}
} // namespace detail

// Rows of a tile that the mode in use takes beside activations and h'.
template <class T> constexpr index jacobian_rows(const NetworkView& net, index stride) {
    if (!jacobian_runs_backward(net)) {
        return 2 * net.widest + net.n_inputs * net.n_outputs;
    }
    const index panel = detail::runs_along_inputs<T>(net)
                            ? net.layers[0].n_out * detail::panel_stride<T>(net.n_inputs)
                            : 0;
    return net.n_outputs * detail::jacobian_block + 2 * detail::delta_rows<T>(net, stride) +
           (panel + stride - 1) / stride;
}

template <class T>
inline void jacobian_backward(const NetworkView& net, const T* w, Tile<T>& tile,
                              const Slopes<T>& slopes, T* jacobian) {
    const index stride = tile.stride, outputs = net.n_outputs;
    const detail::Parts parts = detail::parts_of(net, w);
    const index columns = parts.count * stride;
    T* delta = tile.take(detail::delta_rows<T>(net, stride));
    T* below = tile.take(detail::delta_rows<T>(net, stride));
    T* const block = tile.take(outputs * detail::jacobian_block);
    const T* const y = tile.outputs();
    const Layer* l = net.layers + net.depth - 1;
    if (net.depth > 1) {
        detail::output_parts(net, w, parts, y, slopes.d1_of(l[-1], stride), 0, l->n_in, delta,
                             parts.count, stride);
        for (--l; l > net.layers; --l) {
            product(l->n_in, l->n_out, columns, Transposed<T>{w + l->weights, l->n_in}, delta,
                    columns,
                    detail::StoreParts<T>{below, slopes.d1_of(l[-1], stride), parts.count, stride});
            T* const swap = delta;
            delta = below;
            below = swap;
        }
    }
    const index done = detail::runs_along_inputs<T>(net)
                           ? detail::along_inputs(net, w, tile, *l, parts, delta, below, jacobian)
                           : 0;
    for (index i = done; i < net.n_inputs; i += detail::jacobian_block) {
        const index end =
            i + detail::jacobian_block < net.n_inputs ? i + detail::jacobian_block : net.n_inputs;
        if (net.depth > 1) {
            product(end - i, l->n_out, columns, Transposed<T>{w + l->weights + i, l->n_in}, delta,
                    columns, detail::StoreParts<T>{block, nullptr, outputs, stride});
        } else {
            const T* const no_slopes = nullptr;
            detail::output_parts(net, w, parts, y, no_slopes, i, end, block, outputs, stride);
        }
        for (index r = 0; net.output == Output::softmax && r < end - i; ++r) {
            T* const of_input = block + r * outputs * stride;
            for (index s = 0; s < stride; s += lanes<T>) {
                store(of_input + parts.count * stride + s, Vec<T>{});
            }
            push_through_softmax<T>(
                stride, outputs, [&](index p) { return of_input + p * stride; },
                [&](index p, index s) { return load(y + parts.output(p) * stride + s); });
        }
        for (index p = 0; p < outputs; ++p) {
            tile.write_rows(block + p * stride, outputs * stride, end - i,
                            jacobian + parts.output(p) * net.n_inputs + i, outputs * net.n_inputs);
        }
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
    forward_pass(net, w, slopes, tile);
    output_units(net.output, net.n_outputs, tile.outputs(), tile.stride);
    if (jacobian_runs_backward(net)) {
        jacobian_backward(net, w, tile, slopes, jacobian);
    } else {
        jacobian_forward(net, w, tile, slopes, jacobian);
    }
}

} // namespace mlpcore::MLPCORE_ISA
