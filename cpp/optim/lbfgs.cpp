// L-BFGS (Nocedal and Wright, Numerical Optimization, 2006, Algorithms 7.4 and 7.5).
#include "optim/lbfgs.hpp"

#include <cmath>

#include "optim/methods.hpp"
#include "optim/quasi_newton.hpp"

namespace mlpcore {

template <class T> void LbfgsMemory<T>::remember(const T* s, const T* y) {
    const double sy = dot(n_, s, y);
    const double gamma = sy / dot(n_, y, y);
    if (!(sy > 0) || !std::isfinite(gamma)) {
        return;
    }
    if (ring_.count == ring_.capacity) {
        ring_.first = ring_.place(1);
        --ring_.count;
    }
    const index at = ring_.place(ring_.count++);
    std::copy_n(s, n_, s_.data() + at * step_);
    std::copy_n(y, n_, y_.data() + at * step_);
    rho_[static_cast<std::size_t>(at)] = 1 / sy;
    gamma_[static_cast<std::size_t>(at)] = gamma;
}

template <class T> void LbfgsMemory<T>::visit(Archive& a) {
    a.below("pairs", ring_.count, ring_.capacity + 1);
    a.below("first", ring_.first, ring_.capacity);
    a.fixed("s", s_);
    a.fixed("y", y_);
    a.fixed("rho", rho_);
    a.fixed("gamma", gamma_);
}

template <class T> void LbfgsMemory<T>::direction(const std::vector<T>& g, std::vector<T>& d) {
    std::copy(g.begin(), g.end(), d.begin());
    kernels<T>().two_loop({.n = n_,
                           .step = step_,
                           .ring = ring_,
                           .s = s_.data(),
                           .y = y_.data(),
                           .rho = rho_.data(),
                           .gamma = gamma_.data(),
                           .alpha = alpha_.data()},
                          d.data());
}

template <class T> template <class Change>
void LbfgsMemory<T>::for_each_pair(const Change& change) {
    for (index i = 0; i < ring_.count; ++i) {
        const index at = ring_.place(i);
        T *const s = s_.data() + at * step_, *const y = y_.data() + at * step_;
        change(s, y);
        gamma_[static_cast<std::size_t>(at)] = dot(n_, s, y) / dot(n_, y, y);
    }
}
template <class T> void LbfgsMemory<T>::enter(const Shares<T>& shares) {
    for_each_pair([&](T* s, T* y) {
        shares.divide(s);
        shares.multiply(y);
    });
}
template <class T> void LbfgsMemory<T>::leave(const Shares<T>& shares) {
    for_each_pair([&](T* s, T* y) {
        shares.multiply(s);
        shares.divide(y);
    });
}

template <class T>
void run_lbfgs(Objective<T>& objective, Point<T>& at, LbfgsMemory<T>& memory, Course<T>& course) {
    run_quasi_newton(objective, at, memory, course);
}

#define MLPCORE_INSTANTIATE(T)                                                                     \
    template class LbfgsMemory<T>;                                                                 \
    template void run_lbfgs(Objective<T>&, Point<T>&, LbfgsMemory<T>&, Course<T>&);
MLPCORE_INSTANTIATE(double)
MLPCORE_INSTANTIATE(float)
#undef MLPCORE_INSTANTIATE

} // namespace mlpcore
