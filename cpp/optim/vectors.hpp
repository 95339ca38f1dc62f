// The few operations on vectors of weights that the methods are written in.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <vector>

#include "mlpcore/kernels.hpp"

namespace mlpcore {

template <class T> double dot(index n, const T* x, const T* y) {
    const double sum = kernels<T>().dot(n, x, y);
    if (sizeof(T) < sizeof(double) && !std::isfinite(sum)) { // products beyond its range, maybe
        return std::inner_product(x, x + n, y, 0.0, std::plus<>(), [](T a, T b) {
            return static_cast<double>(a) * static_cast<double>(b);
        });
    }
    return sum;
}
template <class T> double dot(const std::vector<T>& x, const std::vector<T>& y) {
    return dot(static_cast<index>(x.size()), x.data(), y.data());
}

// |x|, where its square is beyond the range as well.
template <class T> double norm(index n, const T* x) {
    const double length = std::sqrt(dot(n, x, x));
    if (!std::isinf(length)) {
        return length;
    }
    const double most = static_cast<double>(
        std::abs(*std::max_element(x, x + n, [](T a, T b) { return std::abs(a) < std::abs(b); })));
    return most * std::sqrt(std::accumulate(x, x + n, 0.0, [most](double sum, T v) {
               const double part = static_cast<double>(v) / most;
               return sum + part * part;
           }));
}

// y += a x
template <class T> void axpy(double a, const std::vector<T>& x, std::vector<T>& y) {
    kernels<T>().axpy(static_cast<index>(x.size()), static_cast<T>(a), x.data(), y.data());
}

// y = a x
template <class T> void assign(double a, const std::vector<T>& x, std::vector<T>& y) {
    std::transform(x.begin(), x.end(), y.begin(), [a](T v) { return static_cast<T>(a) * v; });
}

// max_i |x_i|
template <class T> double largest(const std::vector<T>& x) {
    T most = 0;
    for (const T v : x) {
        most = std::max(most, std::abs(v));
    }
    return static_cast<double>(most);
}

// max_i |x_i| / max(|w_i|, typical_i): the size of a step x from w.
template <class T>
double relative_size(const std::vector<T>& x, const std::vector<T>& w,
                     const std::vector<T>& typical) {
    double most = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        most = std::max(most, static_cast<double>(std::abs(x[i])) /
                                  static_cast<double>(std::max(std::abs(w[i]), typical[i])));
    }
    return most;
}

// max_i |g_i| max(|w_i|, typical_i): the change of F for a small one of w, that relative to w.
template <class T>
double relative_gradient(const std::vector<T>& g, const std::vector<T>& w,
                         const std::vector<T>& typical) {
    double most = 0;
    for (std::size_t i = 0; i < g.size(); ++i) {
        most = std::max(most, static_cast<double>(std::abs(g[i])) *
                                  static_cast<double>(std::max(std::abs(w[i]), typical[i])));
    }
    return most;
}

} // namespace mlpcore
