// The weights v in which the methods of minimize take their steps:
//
//     w_i = share_i v_i,    dF/dv_i = share_i dF/dw_i.
//
// Where targets are large, so are the weights to the outputs, and the curvature of all others grows
// with their square: a step that suits the former is far too long for the latter, and saturates
// the hidden units. So the others have as share the inverse of the size of the targets. It is a
// power of two, so that to and fro is exact; and 1 for targets of about unit size, to which
// standardized ones belong.
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
        reach = typical.target;
        if (net.depth > 1) {
            const Layer& last = net.layers[net.depth - 1];
            share_.assign(typical.w.size(),
                          static_cast<T>(std::exp2(-std::round(std::log2(typical.target)))));
            std::fill_n(share_.begin() + last.weights, last.n_in * last.n_out, T(1));
            std::fill_n(share_.begin() + last.biases, last.n_out, T(1));
        }
    }

    double reach = 1; // the length, in v, of a step of which nothing is known

    bool are_one() const { return share_.empty(); }
    T operator[](index i) const { return share_[static_cast<std::size_t>(i)]; }

    // A place or step in v becomes one in w; a gradient in w one in v.
    void multiply(std::vector<T>& x) const {
        if (!are_one()) {
            std::transform(x.begin(), x.end(), share_.begin(), x.begin(), std::multiplies<T>());
        }
    }
    // A place or step in w becomes one in v; a gradient in v one in w.
    void divide(std::vector<T>& x) const {
        if (!are_one()) {
            std::transform(x.begin(), x.end(), share_.begin(), x.begin(), std::divides<T>());
        }
    }

    // A place or step of v, in w; in `room` where that is not the same.
    const T* in_w(const std::vector<T>& v, std::vector<T>& room) const {
        if (are_one()) {
            return v.data();
        }
        room = v;
        multiply(room);
        return room.data();
    }

  private:
    std::vector<T> share_; // empty where all are 1
};

} // namespace mlpcore
