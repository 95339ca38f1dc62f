// What the deterministic methods minimize, F(w) = scale (E(w) + R(w)) with a penalty R, on all
// samples at once, with its derivatives, each evaluation counted. All places and steps, here and in
// the methods, are in the weights v (shares.hpp), and so are the derivatives.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "mlpcore/derivatives.hpp"
#include "optim/penalty.hpp"
#include "optim/shares.hpp"
#include "optim/vectors.hpp"

namespace mlpcore {

// How often each was computed, on all samples.
struct Counts {
    index forwards = 0, gradients = 0, products = 0, hessians = 0, factorizations = 0;
};

// A place, and the objective there; `value` is infinite where anything is not finite.
template <class T> struct Point {
    explicit Point(index n)
        : v(static_cast<std::size_t>(n)), g(static_cast<std::size_t>(n)),
          value(std::numeric_limits<double>::infinity()), error(value) {}

    std::vector<T> v, g; // g = dF/dv
    double value;        // F
    double error;        // scale E
};

template <class T> class Objective {
  public:
    // `penalty` may be null.
    Objective(const NetworkView& net, const Batch<T>& data, double scale, const Penalty<T>* penalty,
              Interrupt* interrupt)
        : net(net), data(data), scale(scale), interrupt(interrupt), typical(net, data),
          shares(net, typical), penalty_(penalty) {
        shares.divide(typical.w.data());
    }

    const NetworkView& net;
    const Batch<T>& data;
    const double scale;
    Interrupt* const interrupt;
    Typical<T> typical; // in v
    const Shares<T> shares;
    Counts counts;

    index size() const { return net.n_weights; }

    // Fills in the objective and its gradient at point.v.
    void evaluate(Point<T>& point) {
        const index n = size();
        const T* const w = shares.in_w(point.v, w_);
        point.error = error_gradient_in_w(w, data, point.g);
        point.value = point.error;
        if (penalty_ != nullptr) {
            point.value += scale * penalty_->add_gradient(w, scale, point.g.data());
        }
        shares.multiply(point.g.data());
        const Kernels<T>& k = kernels<T>();
        if (!std::isfinite(point.value) || k.first_nonfinite(n, point.g.data()) < n ||
            k.first_nonfinite(n, point.v.data()) < n) {
            point.value = std::numeric_limits<double>::infinity();
        }
    }

    // The same at `to`, a step d, times `length`, from `from`.
    void evaluate(const Point<T>& from, double length, const std::vector<T>& d, Point<T>& to) {
        std::copy(from.v.begin(), from.v.end(), to.v.begin());
        axpy(length, d, to.v);
        evaluate(to);
    }

    // scale E of some samples, and its gradient.
    double error_gradient(const std::vector<T>& v, const Batch<T>& samples, std::vector<T>& g) {
        const double error = error_gradient_in_w(shares.in_w(v, w_), samples, g);
        shares.multiply(g.data());
        return error;
    }

    // The outputs y, or z^L before the output function, (N, K).
    void outputs(const std::vector<T>& v, bool logits, std::vector<T>& y) {
        count(counts.forwards);
        forward(net, shares.in_w(v, w_), data, logits, y.data(), interrupt);
    }

    // product = (d2F/dv2) step, or that with the Gauss-Newton approximation of d2E/dv2.
    void product(const std::vector<T>& v, const std::vector<T>& step, ProductKind kind,
                 std::vector<T>& product) {
        count(counts.products);
        const T *const w = shares.in_w(v, w_), *const s = shares.in_w(step, step_);
        hessian_vector_product(net, w, s, 1, data, kind, product.data(), interrupt);
        multiply_by(scale, size(), product.data());
        if (penalty_ != nullptr) {
            penalty_->add_product(w, s, scale, product.data());
        }
        shares.multiply(product.data());
    }

    // The Gauss-Newton approximation of d2E/dv2 (W, W), times the scale; without the penalty.
    void gauss_newton(const std::vector<T>& v, T* h) {
        count(counts.hessians);
        hessian(net, shares.in_w(v, w_), data, HessianKind::gauss_newton, h, interrupt);
        if (scale == 1 && shares.are_one()) {
            return;
        }
        for (index i = 0; i < size(); ++i) {
            stop_if_requested(interrupt);
            T* const row = h + i * size();
            multiply_by(scale, size(), row);
            multiply_by(static_cast<double>(shares[i]), size(), row);
            shares.multiply(row); // for the columns
        }
    }

    // diagonal += scale d2R/dv_i^2
    void add_penalty_diagonal(const std::vector<T>& v, std::vector<T>& diagonal) {
        if (penalty_ == nullptr) {
            return;
        }
        step_.assign(v.size(), T(0));
        penalty_->add_diagonal(shares.in_w(v, w_), scale, step_.data());
        shares.multiply(step_.data()); // for the row
        shares.multiply(step_.data()); // for the column
        kernels<T>().accumulate(size(), step_.data(), diagonal.data());
    }

  private:
    // Every evaluation is a place to stop, however short.
    void count(index& counter) {
        ++counter;
        stop_if_requested(interrupt);
    }

    double error_gradient_in_w(const T* w, const Batch<T>& samples, std::vector<T>& g) {
        count(counts.gradients);
        const double error = gradient(net, w, samples, g.data(), interrupt);
        multiply_by(scale, size(), g.data());
        return scale * error;
    }

    static void multiply_by(double factor, index n, T* x) {
        if (factor != 1) {
            std::transform(x, x + n, x, [factor](T v) {
                // The factor may be beyond T.
                return static_cast<T>(factor * static_cast<double>(v));
            });
        }
    }

    const Penalty<T>* const penalty_;
    std::vector<T> w_, step_; // where v is not w
};

} // namespace mlpcore
