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
// The root of the mean, weighted as the samples are, of the square of each of `width` columns; 1
// where that is 0. All samples have a weight, none of 0.
template <class T> std::vector<double> column_sizes(const Batch<T>& data, const T* from,
                                                    index width) {
    std::vector<double> most(static_cast<std::size_t>(width)), sum(most);
    double heaviest = 0, weights = 0;
    const auto for_each = [&](const auto& body) {
        for (index s = 0; s < data.n; ++s) {
            const index sample = data.rows ? data.rows[s] : s;
            const T* const row = from + sample * width;
            body(data.sample_weight ? static_cast<double>(data.sample_weight[sample]) : 1.0,
                 [&](const auto& each) {
                     for (index i = 0; i < width; ++i) {
                         each(static_cast<std::size_t>(i), std::abs(static_cast<double>(row[i])));
                     }
                 });
        }
    };
    for_each([&](double weight, const auto& columns) {
        heaviest = std::max(heaviest, weight);
        columns([&](std::size_t i, double size) { most[i] = std::max(most[i], size); });
    });
    // Of the largest, so that no square overflows.
    for_each([&](double weight, const auto& columns) {
        weights += weight / heaviest;
        columns([&](std::size_t i, double size) {
            const double part = most[i] > 0 ? size / most[i] : 0;
            sum[i] += weight / heaviest * part * part;
        });
    });
    for (std::size_t i = 0; i < most.size(); ++i) {
        most[i] = most[i] > 0 ? most[i] * std::sqrt(sum[i] / weights) : 1;
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
