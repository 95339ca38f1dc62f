// What the deterministic methods minimize, F(w) = scale (E(w) + 1/2 sum_i alpha_i w_i^2), on all
// samples at once, with its derivatives, each evaluation counted.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "mlpcore/derivatives.hpp"

namespace mlpcore {

// How often each was computed, on all samples.
struct Counts {
    index errors = 0, gradients = 0, products = 0, hessians = 0, factorizations = 0;
};

// Weights, and the objective there; `value` is infinite where anything is not finite.
template <class T> struct Point {
    explicit Point(index n)
        : w(static_cast<std::size_t>(n)), g(static_cast<std::size_t>(n)),
          value(std::numeric_limits<double>::infinity()), error(value) {}

    std::vector<T> w, g; // g = dF/dw
    double value;        // F
    double error;        // scale E
};

template <class T> class Objective {
  public:
    // `alpha` has an element for each weight, or is null where there is no penalty.
    Objective(const NetworkView& net, const Batch<T>& data, double scale, const T* alpha,
              Interrupt* interrupt)
        : net(net), data(data), scale(scale), alpha(alpha), interrupt(interrupt) {}

    const NetworkView& net;
    const Batch<T>& data;
    const double scale;
    const T* const alpha;
    Interrupt* const interrupt;
    Counts counts;

    index size() const { return net.n_weights; }

    // Fills in the objective and its gradient at point.w.
    void evaluate(Point<T>& point) {
        const index n = size();
        ++counts.gradients;
        point.error = scale * gradient(net, point.w.data(), data, point.g.data(), interrupt);
        if (scale != 1) {
            for (T& x : point.g) {
                x *= static_cast<T>(scale);
            }
        }
        double penalty = 0;
        for (index i = 0; alpha != nullptr && i < n; ++i) {
            const auto at = static_cast<std::size_t>(i);
            const T slope = static_cast<T>(scale) * alpha[i] * point.w[at];
            point.g[at] += slope;
            penalty += 0.5 * static_cast<double>(slope) * static_cast<double>(point.w[at]);
        }
        point.value = point.error + penalty;
        const Kernels<T>& k = kernels<T>();
        if (!std::isfinite(point.value) || k.first_nonfinite(n, point.g.data()) < n ||
            k.first_nonfinite(n, point.w.data()) < n) {
            point.value = std::numeric_limits<double>::infinity();
        }
    }
};

} // namespace mlpcore
