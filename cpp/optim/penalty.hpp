// What is added to the error: a penalty R(w) on the weights, with its derivatives.
#pragma once

#include <cmath>
#include <utility>
#include <vector>

#include "mlpcore/kernels.hpp"

namespace mlpcore {

template <class T> class Penalty {
  public:
    virtual ~Penalty() = default;

    // Whether the calling thread alone may ask for it.
    virtual bool is_of_caller() const { return false; }

    virtual double value(const T* w) const = 0;
    // g += factor dR/dw; returns R(w).
    virtual double add_gradient(const T* w, double factor, T* g) const = 0;
    // product += factor (d2R/dw2) v
    virtual void add_product(const T* w, const T* v, double factor, T* product) const = 0;
    // diagonal += factor d2R/dw_i^2
    virtual void add_diagonal(const T* w, double factor, T* diagonal) const = 0;
};

// A sum over the weights,
//
//     R(w) = sum_i 1/2 alpha_i w_i^2 + sum_i lambda_i (sqrt(w_i^2 + epsilon^2) - epsilon),
//
// normal priors (PRML 5.112, 5.121) and smoothed absolute values.
template <class T> class SeparablePenalty final : public Penalty<T> {
  public:
    // Smoothed absolute values, of which there may be several.
    struct Absolute {
        std::vector<T> lambda; // (W)
        double epsilon;
    };

    // An empty `alpha` has no quadratic part.
    SeparablePenalty(index n, std::vector<T> alpha, std::vector<Absolute> absolutes)
        : n_(n), alpha_(std::move(alpha)), absolutes_(std::move(absolutes)) {}

    bool is_zero() const { return alpha_.empty() && absolutes_.empty(); }

    double value(const T* w) const override { return add_gradient(w, 0, nullptr); }

    double add_gradient(const T* w, double factor, T* g) const override {
        double total = 0;
        for (index i = 0; i < size_of(alpha_); ++i) {
            const T slope = alpha_[static_cast<std::size_t>(i)] * w[i];
            total += 0.5 * static_cast<double>(slope) * static_cast<double>(w[i]);
            if (g != nullptr) {
                g[i] += static_cast<T>(factor * static_cast<double>(slope));
            }
        }
        for (const Absolute& one : absolutes_) {
            for (index i = 0; i < n_; ++i) {
                const auto lambda = static_cast<double>(one.lambda[static_cast<std::size_t>(i)]);
                const auto x = static_cast<double>(w[i]);
                const double root = std::hypot(x, one.epsilon);
                total += lambda * x * (x / (root + one.epsilon)); // without cancellation
                if (g != nullptr) {
                    g[i] += static_cast<T>(factor * (lambda * (x / root)));
                }
            }
        }
        return total;
    }

    void add_product(const T* w, const T* v, double factor, T* product) const override {
        add_second(w, factor, [&](index i, T second) { product[i] += second * v[i]; });
    }
    void add_diagonal(const T* w, double factor, T* diagonal) const override {
        add_second(w, factor, [&](index i, T second) { diagonal[i] += second; });
    }

  private:
    static index size_of(const std::vector<T>& x) { return static_cast<index>(x.size()); }

    template <class Add> void add_second(const T* w, double factor, const Add& add) const {
        for (index i = 0; i < size_of(alpha_); ++i) {
            const auto alpha = static_cast<double>(alpha_[static_cast<std::size_t>(i)]);
            add(i, static_cast<T>(factor * alpha));
        }
        for (const Absolute& one : absolutes_) {
            for (index i = 0; i < n_; ++i) {
                const auto lambda = static_cast<double>(one.lambda[static_cast<std::size_t>(i)]);
                const double root = std::hypot(static_cast<double>(w[i]), one.epsilon);
                const double share = one.epsilon / root;
                add(i, static_cast<T>(factor * (lambda * share * share / root)));
            }
        }
    }

    index n_;
    std::vector<T> alpha_;
    std::vector<Absolute> absolutes_;
};

} // namespace mlpcore
