// A tile: some samples, held features x samples, so that a row is one unit's values over the
// samples and a vector holds neighbouring samples of one unit. Rows are padded to a whole number
// of vectors by repeating the last sample, with a weight of zero: so the padding overflows only
// where a sample does. This file alone knows how scratch memory is laid out and how samples come in
// and results go out.
#pragma once

#include "mlpcore/kernels.hpp"
#include "simd.hpp"

namespace mlpcore::MLPCORE_ISA {

constexpr index padded(index n, index step) { return (n + step - 1) / step * step; }

template <class T> class Tile {
  public:
    Tile(const NetworkView& net, index n, T* scratch)
        : n(n), stride(padded(n, lanes<T>)), activations_(scratch), net_(net),
          top_(scratch + net.n_units * stride) {}

    const index n;      // samples
    const index stride; // samples with padding: the length of a row

    // Rows of all layers: a^0 = x first; those of the output layer hold z^L or y.
    T* inputs() const { return activations_; }
    T* activations(const Layer& l) const { return activations_ + l.row * stride; }
    T* activations_below(const Layer& l) const { return activations_ + (l.row - l.n_in) * stride; }
    T* outputs() const { return activations_ + (net_.n_units - net_.n_outputs) * stride; }

    // The next `rows` rows of scratch.
    T* take(index rows) {
        T* const p = top_;
        top_ += rows * stride;
        return p;
    }

    void load_inputs(const Batch<T>& batch) { gather(batch, batch.x, net_.n_inputs, inputs()); }

    // Targets (K rows); labels become indicators.
    void load_targets(const Batch<T>& batch, T* targets) const {
        const index k = net_.n_outputs;
        if (batch.labels == nullptr) {
            gather(batch, batch.t, k, targets);
            return;
        }
        for (index i = 0; i < k * stride; ++i) {
            targets[i] = 0;
        }
        for (index s = 0; s < n; ++s) {
            targets[batch.labels[batch.rows ? batch.rows[s] : s] * stride + s] = 1;
        }
    }

    // The weight of each sample, 0 for padding (1 row).
    void load_weights(const Batch<T>& batch, T* weights) const {
        const bool all_one = batch.sample_weight == nullptr;
        for (index s = 0; all_one && s < n; ++s) {
            weights[s] = 1;
        }
        for (index s = 0; !all_one && s < n; ++s) {
            weights[s] = batch.sample_weight[batch.rows ? batch.rows[s] : s];
        }
        for (index s = n; s < stride; ++s) {
            weights[s] = 0;
        }
    }

    // Writes `count` rows to `to`: sample s goes to to[s * step ...], one number for each row.
    // `rows(i, m, s, to)` puts the vectors that begin at column s of the rows i ... i + m - 1
    // there.
    template <class Rows> void write(index count, T* to, index step, const Rows& rows) const {
        for (index s = 0; s < n; s += lanes<T>) {
            const index samples = n - s < lanes<T> ? n - s : lanes<T>;
            index i = 0;
            for (; i + lanes<T> <= count; i += lanes<T>) {
                Vec<T> block[lanes<T>];
                rows(i, static_cast<int>(lanes<T>), s, block);
                transpose<T>(block);
                if (samples == lanes<T>) {
#pragma GCC unroll 16
                    for (int r = 0; r < lanes<T>; ++r) {
                        store(to + (s + r) * step + i, block[r]);
                    }
                } else {
                    for (index r = 0; r < samples; ++r) {
                        store(to + (s + r) * step + i, block[r]);
                    }
                }
            }
            for (; i < count; ++i) {
                Vec<T> values[1];
                rows(i, 1, s, values);
                if (step == 1 && samples == lanes<T>) {
                    store(to + s, values[0]);
                } else {
                    for (index r = 0; r < samples; ++r) {
                        to[(s + r) * step + i] = values[0][r];
                    }
                }
            }
        }
    }

    // Rows that begin `row_step` apart; those of this tile do so by its stride.
    void write_rows(const T* rows, index row_step, index count, T* to, index step) const {
        write(count, to, step, [&](index i, int m, index s, Vec<T>* vectors) {
#pragma GCC unroll 16
            for (int r = 0; r < m; ++r) {
                vectors[r] = load(rows + (i + r) * row_step + s);
            }
        });
    }
    void write_rows(const T* rows, index count, T* to, index step) const {
        write_rows(rows, stride, count, to, step);
    }

  private:
    // Reads samples of `width` numbers into rows.
    void gather(const Batch<T>& batch, const T* from, index width, T* rows) const {
        if (width == 1 && batch.rows == nullptr) { // a row already
            for (index s = 0; s < n; ++s) {
                rows[s] = from[s];
            }
            for (index s = n; s < stride; ++s) {
                rows[s] = from[n - 1];
            }
            return;
        }
        const auto sample = [&](index s) {
            return from + (batch.rows ? batch.rows[s] : s) * width;
        };
        for (index s = 0; s < stride; s += lanes<T>) {
            const index samples = n - s < lanes<T> ? n - s : lanes<T>;
            const T* source[lanes<T>] = {};
            for (index r = 0; r < lanes<T>; ++r) {
                source[r] = sample(s + (r < samples ? r : samples - 1));
            }
            index i = 0;
            for (; i + lanes<T> <= width; i += lanes<T>) {
                Vec<T> block[lanes<T>];
#pragma GCC unroll 16
                for (int r = 0; r < lanes<T>; ++r) {
                    block[r] = load(source[r] + i);
                }
                transpose<T>(block);
#pragma GCC unroll 16
                for (int r = 0; r < lanes<T>; ++r) {
                    store(rows + (i + r) * stride + s, block[r]);
                }
            }
            for (; i < width; ++i) {
                for (index r = 0; r < lanes<T>; ++r) {
                    rows[i * stride + s + r] = source[r][i];
                }
            }
        }
    }

    T* activations_;
    const NetworkView& net_;
    T* top_;
};

} // namespace mlpcore::MLPCORE_ISA
