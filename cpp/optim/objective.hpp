// What the deterministic methods minimize, F(w) = scale (E(w) + R(w)) with a penalty R, on all
// samples at once, with its derivatives, each evaluation counted.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "mlpcore/derivatives.hpp"
#include "optim/penalty.hpp"
#include "optim/typical.hpp"

namespace mlpcore {

// How often each was computed, on all samples.
struct Counts {
    index forwards = 0, gradients = 0, products = 0, hessians = 0, factorizations = 0;
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
    // `penalty` may be null.
    Objective(const NetworkView& net, const Batch<T>& data, double scale, const Penalty<T>* penalty,
              Interrupt* interrupt)
        : net(net), data(data), scale(scale), interrupt(interrupt), typical(net, data),
          penalty_(penalty) {}

    const NetworkView& net;
    const Batch<T>& data;
    const double scale;
    Interrupt* const interrupt;
    const Typical<T> typical;
    Counts counts;

    index size() const { return net.n_weights; }

    // Fills in the objective and its gradient at point.w.
    void evaluate(Point<T>& point) {
        const index n = size();
        point.error = error_gradient(point.w, data, point.g);
        point.value = point.error;
        if (penalty_ != nullptr) {
            point.value += scale * penalty_->add_gradient(point.w.data(), scale, point.g.data());
        }
        const Kernels<T>& k = kernels<T>();
        if (!std::isfinite(point.value) || k.first_nonfinite(n, point.g.data()) < n ||
            k.first_nonfinite(n, point.w.data()) < n) {
            point.value = std::numeric_limits<double>::infinity();
        }
    }

    // scale E of some samples, and its gradient.
    double error_gradient(const std::vector<T>& w, const Batch<T>& samples, std::vector<T>& g) {
        count(counts.gradients);
        const double error = gradient(net, w.data(), samples, g.data(), interrupt);
        multiply_by_scale(size(), g.data());
        return scale * error;
    }

    // The outputs y, or z^L before the output function, (N, K).
    void outputs(const std::vector<T>& w, bool logits, std::vector<T>& y) {
        count(counts.forwards);
        forward(net, w.data(), data, logits, y.data(), interrupt);
    }

    // product = (d2F/dw2) v, or that with the Gauss-Newton approximation of d2E/dw2.
    void product(const std::vector<T>& w, const std::vector<T>& v, ProductKind kind,
                 std::vector<T>& product) {
        count(counts.products);
        hessian_vector_product(net, w.data(), v.data(), 1, data, kind, product.data(), interrupt);
        multiply_by_scale(size(), product.data());
        if (penalty_ != nullptr) {
            penalty_->add_product(w.data(), v.data(), scale, product.data());
        }
    }

    // The Gauss-Newton approximation of d2E/dw2 (W, W), times the scale; without the penalty.
    void gauss_newton(const std::vector<T>& w, T* h) {
        count(counts.hessians);
        hessian(net, w.data(), data, HessianKind::gauss_newton, h, interrupt);
        for (index i = 0; scale != 1 && i < size(); ++i) {
            stop_if_requested(interrupt);
            multiply_by_scale(size(), h + i * size());
        }
    }

    // diagonal += scale d2R/dw_i^2
    void add_penalty_diagonal(const std::vector<T>& w, std::vector<T>& diagonal) const {
        if (penalty_ != nullptr) {
            penalty_->add_diagonal(w.data(), scale, diagonal.data());
        }
    }

  private:
    // Every evaluation is a place to stop, however short.
    void count(index& counter) {
        ++counter;
        stop_if_requested(interrupt);
    }

    void multiply_by_scale(index n, T* x) const {
        if (scale != 1) {
            std::transform(x, x + n, x, [this](T v) { return static_cast<T>(scale) * v; });
        }
    }

    const Penalty<T>* const penalty_;
};

} // namespace mlpcore
