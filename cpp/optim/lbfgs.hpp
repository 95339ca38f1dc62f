// What L-BFGS remembers: the last pairs of steps and changes of the gradient (Nocedal and Wright,
// Numerical Optimization, 2006, section 7.2). With the weights it is all the state there is, so
// that a run can be taken up again where it ended.
#pragma once

#include <vector>

#include "mlpcore/kernels.hpp"
#include "optim/archive.hpp"
#include "optim/shares.hpp"

namespace mlpcore {

template <class T> class LbfgsMemory {
  public:
    LbfgsMemory(index n, index capacity)
        : n_(n), step_(padded(n)), ring_{capacity}, s_(static_cast<std::size_t>(step_ * capacity)),
          y_(s_), rho_(static_cast<std::size_t>(capacity)), gamma_(rho_), alpha_(rho_) {}

    // So many numbers for as many pairs.
    static double size(index n, index capacity) {
        return (2 * static_cast<double>(padded(n)) + 3) * static_cast<double>(capacity);
    }

    index pairs() const { return ring_.count; }
    bool is_identity() const { return pairs() == 0; } // the H that they stand for
    void forget() { ring_.count = 0; }

    // Pair i, the oldest first.
    const T* s(index i) const { return s_.data() + ring_.place(i) * step_; }
    const T* y(index i) const { return y_.data() + ring_.place(i) * step_; }

    // Takes s = w_{k+1} - w_k and y = g_{k+1} - g_k in place of the oldest pair, if s.y > 0
    // and the curvature is no rounding error.
    void remember(const T* s, const T* y);

    void visit(Archive& a);

    // From the pairs in w to those in the weights v in which the steps are taken, and back.
    void enter(const Shares<T>& shares);
    void leave(const Shares<T>& shares);

    // d = -H g by the two-loop recursion (kernels/two_loop.hpp), -g where there are no pairs.
    void direction(const std::vector<T>& g, std::vector<T>& d);

  private:
    // change(s, y), in place.
    template <class Change> void for_each_pair(const Change& change);

    static constexpr index padded(index n) {
        constexpr index unit = 32; // numbers, two of the longest vectors
        return (n + unit - 1) / unit * unit;
    }

    index n_, step_;
    Ring ring_;
    std::vector<T> s_, y_;                    // capacity x step
    std::vector<double> rho_, gamma_, alpha_; // a number for each pair (StepPairs)
};

} // namespace mlpcore
