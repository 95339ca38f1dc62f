// The typical size of each weight, by which a change of it is measured where the weight itself is
// smaller (Dennis and Schnabel, Numerical Methods for Unconstrained Optimization, 1983, 7.1): 1
// between hidden units, the inverse of the size of x_i from an input, that of t_k to a linear
// output. So no rule for stopping depends on the units of the data.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "mlpcore/counted.hpp"
#include "mlpcore/kernels.hpp"

namespace mlpcore {

namespace detail {
// The root mean square of each of `width` columns, over at most some thousand of the rows; 1 where
// that is 0.
template <class T> std::vector<double> column_sizes(const Batch<T>& data, const T* from,
                                                    index width) {
    constexpr index looked_at = 1024;
    const index step = (data.n + looked_at - 1) / looked_at;
    std::vector<double> most(static_cast<std::size_t>(width)), sum(most);
    const auto for_each = [&](const auto& body) {
        for (index s = 0; s < data.n; s += step) {
            const T* const row = from + (data.rows ? data.rows[s] : s) * width;
            for (index i = 0; i < width; ++i) {
                body(static_cast<std::size_t>(i), std::abs(static_cast<double>(row[i])));
            }
        }
    };
    for_each([&](std::size_t i, double size) { most[i] = std::max(most[i], size); });
    for_each([&](std::size_t i, double size) {
        const double part = most[i] > 0 ? size / most[i] : 0; // its square does not overflow
        sum[i] += part * part;
    });
    const index rows = (data.n + step - 1) / step;
    for (std::size_t i = 0; i < most.size(); ++i) {
        most[i] = most[i] > 0 ? most[i] * std::sqrt(sum[i] / static_cast<double>(rows)) : 1;
    }
    return most;
}
} // namespace detail

template <class T> struct Typical {
    std::vector<T> w; // of each weight
    double error;     // of a sample, where nothing has been learned
    double target;    // of the largest linear output, 1 where there is none

    Typical(const NetworkView& net, const Batch<T>& all)
        : w(static_cast<std::size_t>(net.n_weights), T(1)), error(1), target(1) {
        const Counted<T> counted(all);
        const Batch<T>& data = counted.batch;
        if (data.n == 0) {
            return;
        }
        const Layer& first = net.layers[0];
        const std::vector<double> x = detail::column_sizes(data, data.x, net.n_inputs);
        for (index i = 0; i < first.n_in * first.n_out; ++i) {
            scale(first.weights + i, 1 / x[static_cast<std::size_t>(i % first.n_in)]);
        }
        if (net.output != Output::linear) {
            return;
        }
        const Layer& last = net.layers[net.depth - 1];
        const std::vector<double> t = detail::column_sizes(data, data.t, net.n_outputs);
        error = target = 0;
        for (index k = 0; k < last.n_out; ++k) {
            const double size = t[static_cast<std::size_t>(k)];
            for (index i = 0; i < last.n_in; ++i) {
                scale(last.weights + k * last.n_in + i, size);
            }
            scale(last.biases + k, size);
            error += 0.5 * size * size;
            target = std::max(target, size);
        }
    }

  private:
    void scale(index i, double by) {
        T& size = w[static_cast<std::size_t>(i)];
        size = static_cast<T>(static_cast<double>(size) * by);
    }
};

} // namespace mlpcore
