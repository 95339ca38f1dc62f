#include "mlpcore/architecture.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

namespace mlpcore {

namespace {
// Far above what this package is for, far below where an index could overflow.
constexpr index most_weights = std::numeric_limits<int>::max();
} // namespace

Architecture::Architecture(const std::vector<index>& sizes, const std::vector<Activation>& hidden,
                           Output output)
    : output_(output) {
    if (sizes.size() < 2) {
        throw std::invalid_argument("layers has " + std::to_string(sizes.size()) +
                                    " entries, expected at least 2: (n_inputs, ..., n_outputs)");
    }
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        if (sizes[i] < 1 || sizes[i] > most_weights) {
            throw std::invalid_argument(
                "layers[" + std::to_string(i) + "] is " + std::to_string(sizes[i]) +
                ", expected at least 1 and at most " + std::to_string(most_weights));
        }
    }
    if (hidden.size() != sizes.size() - 2) {
        throw std::invalid_argument("hidden has " + std::to_string(hidden.size()) +
                                    " names, expected one name or one for each of the " +
                                    std::to_string(sizes.size() - 2) + " hidden layers");
    }
    if (output == Output::softmax && sizes.back() < 2) {
        throw std::invalid_argument(
            "output is 'softmax' with 1 output, expected at least 2 outputs "
            "(for two classes and one output use 'sigmoid')");
    }
    n_units_ = sizes.front();
    widest_ = *std::ranges::max_element(sizes);
    for (std::size_t i = 0; i + 1 < sizes.size(); ++i) {
        const index n_in = sizes[i], n_out = sizes[i + 1];
        layers_.push_back({.n_in = n_in,
                           .n_out = n_out,
                           .weights = n_weights_,
                           .biases = n_weights_ + n_out * n_in,
                           .row = n_units_,
                           .h = i < hidden.size() ? hidden[i] : Activation::identity});
        n_units_ += n_out;
        n_weights_ += n_out * (n_in + 1);
        if (n_weights_ > most_weights) {
            throw std::invalid_argument("layers has more than " + std::to_string(most_weights) +
                                        " weights up to layers[" + std::to_string(i + 1) +
                                        "], expected a small network");
        }
    }
}

} // namespace mlpcore
