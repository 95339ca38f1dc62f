#include "optim/cholesky.hpp"

#include <algorithm>

#include "mlpcore/parallel.hpp"

namespace mlpcore {

namespace {

constexpr index panel = 32, rows_of_a_piece = 48; // whole vectors, whole register blocks
constexpr double worth_a_thread = 1e5;            // multiply-adds

} // namespace

template <class T>
Cholesky<T>::Cholesky(index n)
    : n_(n), stride_((n + kernels<T>().lanes - 1) / kernels<T>().lanes * kernels<T>().lanes),
      // Not cleared: to touch so much memory for the first time may take seconds.
      u_(std::make_unique_for_overwrite<T[]>(static_cast<std::size_t>(stride_ * stride_))),
      inverse_(static_cast<std::size_t>(stride_)), b_(inverse_) {
    std::fill_n(u_.get() + n_ * stride_, (stride_ - n_) * stride_, T(0));
}

template <class T> bool Cholesky<T>::factor(const T* a, const T* shift, Interrupt* interrupt) {
    const Kernels<T>& k = kernels<T>();
    for (index i = 0; i < n_; ++i) {
        if (i % panel == 0) {
            stop_if_requested(interrupt);
        }
        T* const to = u_.get() + i * stride_;
        std::fill_n(std::copy(a + i * n_ + i, a + (i + 1) * n_, to + i), stride_ - n_, T(0));
        to[i] += shift[i];
    }
    for (index first = 0; first < n_; first += panel) {
        stop_if_requested(interrupt);
        const index end = std::min(first + panel, n_);
        if (k.cholesky_panel(first, end, u_.get(), stride_, inverse_.data()) < end) {
            return false;
        }
        const index rest = n_ - end, pieces = (rest + rows_of_a_piece - 1) / rows_of_a_piece;
        const double work = 0.5 * static_cast<double>(rest) * static_cast<double>(rest) * panel;
        const double threads = std::min(work / worth_a_thread, static_cast<double>(max_threads()));
        parallel_for(pieces, std::max(static_cast<int>(threads), 1), interrupt, [&](index piece) {
            const index i = end + piece * rows_of_a_piece;
            k.cholesky_update(first, end, i, std::min(i + rows_of_a_piece, n_), u_.get(), stride_);
        });
    }
    return true;
}

template <class T> void Cholesky<T>::solve(T* b) {
    // The rest is 0 once more: a NaN that the last b had left there would spread.
    std::fill(std::copy_n(b, n_, b_.begin()), b_.end(), T(0));
    kernels<T>().cholesky_solve(u_.get(), stride_, inverse_.data(), b_.data());
    std::copy_n(b_.begin(), n_, b);
}

template class Cholesky<double>;
template class Cholesky<float>;

} // namespace mlpcore
