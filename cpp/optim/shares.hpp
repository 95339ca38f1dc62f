// The weights v in which the methods of minimize take their steps:
//
//     w_i = share_i v_i,    dF/dv_i = share_i dF/dw_i.
//
// Where targets are large, so are the weights to the outputs, and the curvature of all others grows
// with their square: a step that suits the former is far too long for the latter, and saturates
// the hidden units. So the others have as share the inverse of the size of the targets where that
// is above 16, and else 1, as the weights to the outputs have. It is a power of two, so that to and
// fro is exact, but where it leads out of the normal numbers.
#pragma once

#include <cmath>
#include <functional>

#include "optim/typical.hpp"

namespace mlpcore {

template <class T> class Shares {
  public:
    Shares(const NetworkView& net, const Typical<T>& typical) {
        constexpr double worth_scaling = 16;
        if (typical.target <= worth_scaling) {
            return;
        }
        reach_ = typical.target;
        if (net.depth > 1) {
            const Layer& last = net.layers[net.depth - 1];
            of_others_ = std::exp2(-std::round(std::log2(typical.target)));
            share_.assign(typical.w.size(), static_cast<T>(of_others_));
            std::fill_n(share_.begin() + last.weights, last.n_in * last.n_out, T(1));
            std::fill_n(share_.begin() + last.biases, last.n_out, T(1));
        }
    }

    // The length, in v, of a step of which nothing is known.
    double reach() const { return reach_; }

    bool are_one() const { return share_.empty(); }
    // Of all weights but those to the outputs.
    double of_others() const { return of_others_; }
    T operator[](index i) const { return are_one() ? T(1) : share_[static_cast<std::size_t>(i)]; }

    // A place or step in v becomes one in w; a gradient in w one in v.
    void multiply(T* x) const {
        std::transform(share_.begin(), share_.end(), x, x, std::multiplies<T>());
    }
    // A place or step in w becomes one in v; a gradient in v one in w.
    void divide(T* x) const {
        std::transform(share_.begin(), share_.end(), x, x,
                       [](T share, T value) { return value / share; });
    }

    // A place or step of v, in w; in `room` where that is not the same.
    const T* in_w(const std::vector<T>& v, std::vector<T>& room) const {
        if (are_one()) {
            return v.data();
        }
        room = v;
        multiply(room.data());
        return room.data();
    }

  private:
    double reach_ = 1, of_others_ = 1;
    std::vector<T> share_; // empty where all are 1
};

} // namespace mlpcore
